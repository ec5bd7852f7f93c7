"""Which models there are, and which one a name stands for."""

from __future__ import annotations

import pytest

from claude_code_api.flow.catalogue import TABLE, UNDATED_S, Catalogue
from claude_code_api.flow.options import DEFAULT_ALIASES, FlowOptions, UnknownModel
from claude_code_api.flow.ports import EngineOffer, OfferedModel
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

OPUS = OfferedModel("opus", "claude-opus-9", "Opus", "Opus 9 · Best for all · $4/$20 per Mtok", ("low", "high"))
SONNET = OfferedModel("sonnet", "claude-sonnet-9", "Sonnet", "Sonnet 9 · Everyday")
HAIKU = OfferedModel("haiku", "claude-haiku-9", "Haiku", "Haiku 9 · Fast · $0.80/$4 per Mtok")
DEFAULT = OfferedModel("default", "claude-opus-9", "Default", "Use the default model (currently Opus 9)")


def catalogue(*models: OfferedModel, **options: object) -> Catalogue:
    async def offer() -> EngineOffer:
        return EngineOffer("1", models)

    return Catalogue(FlowOptions(**options), offer)  # type: ignore[arg-type]


async def test_the_list_is_the_clis_own_and_then_the_table() -> None:
    models = await catalogue(OPUS, HAIKU).models()
    assert [model.id for model in models] == ["claude-opus-9", "claude-haiku-9", *(model.id for model in TABLE)]


async def test_a_model_of_the_table_that_the_cli_offers_stands_once_with_what_the_table_knows() -> None:
    known = TABLE[0]
    models = await catalogue(OfferedModel("old", known.id, "Old", "Old · $1/$2 per Mtok")).models()
    assert [model.id for model in models].count(known.id) == 1
    assert models[0].context_tokens == known.context_tokens
    assert models[0].aliases == ("old",)


async def test_names_and_prices_come_from_the_clis_description() -> None:
    opus, sonnet, haiku, *_ = await catalogue(OPUS, SONNET, HAIKU).models()
    assert (opus.name, opus.input_usd, opus.output_usd) == ("Opus 9", 4.0, 20.0)
    assert (haiku.input_usd, haiku.output_usd) == (0.8, 4.0)
    assert (sonnet.input_usd, sonnet.output_usd, sonnet.context_tokens) == (None, None, None)
    assert opus.effort_levels == ("low", "high")
    assert opus.created_s == UNDATED_S


async def test_a_model_under_two_names_is_described_by_the_one_that_says_most() -> None:
    models = await catalogue(DEFAULT, OPUS).models()
    assert [model.id for model in models].count("claude-opus-9") == 1
    assert (models[0].name, models[0].input_usd, models[0].effort_levels) == ("Opus 9", 4.0, ("low", "high"))
    assert models[0].aliases[:2] == ("default", "opus")


async def test_the_default_alone_still_has_a_name() -> None:
    assert (await catalogue(DEFAULT).models())[0].name == "Opus 9"
    assert (await catalogue(OfferedModel("x", "claude-x", "X")).models())[0].name == "X"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opus", "claude-opus-9"),
        ("claude-opus-9", "claude-opus-9"),
        ("gpt-4", "claude-opus-9"),
        ("gpt-4o", "claude-sonnet-9"),
        ("claude-haiku", "claude-haiku-9"),
        (TABLE[0].id, TABLE[0].id),
    ],
)
async def test_a_name_that_is_known(name: str, value: str) -> None:
    resolved = await catalogue(OPUS, SONNET, HAIKU).resolve(name)
    assert (resolved.value, resolved.fell_back) == (value, False)


@pytest.mark.parametrize("name", ["claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-sonnet-4-6[1m]"])
async def test_a_model_that_no_list_has_is_asked_if_it_is_known(name: str) -> None:
    resolved = await catalogue(OPUS).resolve(name)
    assert (resolved.value, resolved.id, resolved.fell_back) == (name, name, False)


@pytest.mark.parametrize(
    "name", ["llama-3", "OPUS", "opus ", "", "claude-opus-9x", "anthropic/claude-opus-5", "claude-opus-5[\n]"]
)
async def test_a_name_that_nobody_knows_falls_back(name: str) -> None:
    resolved = await catalogue(OPUS, SONNET, default_model="opus").resolve(name)
    assert (resolved.value, resolved.fell_back) == ("claude-opus-9", True)


async def test_a_default_that_nobody_knows_is_left_to_the_cli() -> None:
    resolved = await catalogue(default_model="sonnet").resolve("llama-3")
    assert (resolved.value, resolved.fell_back) == ("sonnet", True)


async def test_a_name_that_nobody_knows_is_refused_where_that_is_wanted() -> None:
    with pytest.raises(TurnRefusedError) as refusal:
        await catalogue(OPUS, unknown_model=UnknownModel.REFUSE).resolve("llama-3")
    error = refusal.value.error
    assert (error.kind, error.param, error.source) == (ErrorKind.MODEL_NOT_FOUND, "model", "client")
    assert "'llama-3'" in error.message


async def test_aliases_of_the_operators() -> None:
    found = catalogue(
        OPUS, model_aliases={"best": "opus", "dated": TABLE[1].id, "lost": "nothing", "full": "claude-opus-9"}
    )
    assert (await found.resolve("best")).value == "claude-opus-9"
    assert (await found.resolve("full")).value == "claude-opus-9"
    assert (await found.resolve("dated")).value == TABLE[1].id
    assert (await found.resolve("lost")).fell_back
    assert (await found.resolve("gpt-4")).fell_back, "one's own aliases take the place of ours"


async def test_an_alias_never_hides_a_model() -> None:
    found = catalogue(OPUS, HAIKU, model_aliases={"claude-opus-9": "haiku"})
    assert (await found.resolve("claude-opus-9")).value == "claude-opus-9"


async def test_entries_without_a_target_are_passed_over() -> None:
    models = await catalogue(OfferedModel("broken", "", "Broken"), OfferedModel("", "", ""), OPUS).models()
    assert models[0].id == "claude-opus-9"
    assert all(model.id for model in models)


async def test_an_engine_that_cannot_be_asked() -> None:
    async def offer() -> EngineOffer:
        raise TurnRefusedError(TurnError(ErrorKind.ENGINE_UNAVAILABLE, "The CLI does not start."))

    found = Catalogue(FlowOptions(), offer)
    for ask in (found.models, lambda: found.resolve("opus"), lambda: found.find("opus")):
        with pytest.raises(TurnRefusedError, match="does not start"):
            await ask()


def test_the_aliases_that_ship_name_what_the_cli_takes() -> None:
    assert set(DEFAULT_ALIASES.values()) == {"opus", "sonnet", "haiku"}
