"""The table of what models accept: names, families, and what an operator puts over it."""

from __future__ import annotations

import pytest

from claude_code_api.models.capabilities import CapabilityError, CapabilityTable, Offer, base_name, table
from tests.models.asking import TABLE, asks, fitted


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("anthropic/claude-opus-5-5", "claude-opus-5-5"),
        ("claude-opus-4-1@20250805", "claude-opus-4-1"),
        ("opus", "opus"),
    ],
)
def test_a_name_without_its_day(name: str, base: str) -> None:
    assert base_name(name) == base


def test_a_newer_name_takes_the_newest_row_of_its_family() -> None:
    newest = {row.family: row for row in table()}
    for family, row in newest.items():
        assert TABLE.of(f"claude-{family}-7-20280101").effort_levels == row.effort_levels
        assert TABLE.of(f"claude-{family}-7").thinking == row.thinking
    assert TABLE.of("gpt-9").thinking == ()


def test_the_cli_knows_a_newer_one_better() -> None:
    offer = Offer(("low", "ultra"), adaptive=True, thinking_off=True)
    found = TABLE.of("claude-opus-7", offer)
    assert (found.thinking, found.effort_levels) == (("disabled", "adaptive"), ("low", "ultra"))
    # A row of the table is of this very model.
    assert TABLE.of("claude-opus-5-5", offer) == TABLE.of("claude-opus-5-5")


def test_an_operator_knows_best() -> None:
    own = CapabilityTable({"claude-opus-5-5": {"temperature": "any"}, "claude-opus-8": {"prefill": True}})
    assert own.of("claude-opus-5-5-20261001").temperature == "any"
    assert own.of("claude-opus-5-5").thinking == TABLE.of("claude-opus-5-5").thinking
    assert own.of("claude-opus-8").prefill
    for wrong in ({"temprature": "any"}, {"temperature": "hot"}, {"thinking": "adaptive"}, {"prefill": 1}):
        with pytest.raises(CapabilityError, match=next(iter(wrong))):
            CapabilityTable({"claude-opus-5-5": wrong})


def test_what_is_said_in_the_models_own_words_is_sent_as_it_came() -> None:
    request = asks(exact=True, as_is={"thinking": {"type": "adaptive"}})
    found = fitted("claude-opus-4-7", request)
    assert found.changed == ()
    assert found.request.messages == request.messages
    # Nothing of the CLI's beside it.
    assert found.request.as_is == {
        "thinking": {"type": "adaptive"},
        **dict.fromkeys(("output_config", "temperature", "top_p", "top_k")),
    }


def test_a_model_in_whose_place_another_is_asked_has_the_others_rules() -> None:
    assert TABLE.of("claude-opus-4-1-20250805") == TABLE.of("claude-opus-5-5")
    own = TABLE.row("claude-opus-4-1")
    assert own is not None
    assert own.temperature == "any"
