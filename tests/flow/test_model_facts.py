"""Who is asked about a model, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field

from typing_extensions import override

from claude_code_api.engine.scripted import ScriptedEngine
from claude_code_api.flow.catalogue import Model, Resolved
from claude_code_api.flow.model_facts import ModelFacts
from claude_code_api.flow.options import FlowOptions
from claude_code_api.turn.request import JsonObject

NEW = "claude-opus-9"


@dataclass
class Told(ScriptedEngine):
    """Remembers which models it was asked about."""

    asked: list[str] = field(default_factory=list)

    @override
    async def told_of(self, model: str) -> JsonObject | None:
        self.asked.append(model)
        return self.told.get(model)


def engine(**told: JsonObject) -> Told:
    return Told(lambda _: (), told={name.replace("_", "-"): said for name, said in told.items()})


def resolved(name: str, *, thinking_off: bool | None = None) -> Resolved:
    model = Model(name, name, name, 0, effort_levels=("low",), thinking_off=thinking_off)
    return Resolved(name, fell_back=False, model=model)


async def test_a_model_of_the_table_is_not_asked_about() -> None:
    asking = engine()
    found = await ModelFacts(asking, FlowOptions()).of(resolved("claude-opus-5-5"))
    assert (found.id, asking.asked) == ("claude-opus-5-5", [])


async def test_a_new_one_is_asked_about_once() -> None:
    asking = engine(claude_opus_9={"max_tokens": 7})
    facts = ModelFacts(asking, FlowOptions())
    first, found = [await facts.of(resolved(NEW, thinking_off=True)) for _ in range(2)]
    assert first == found
    assert (found.max_output_tokens, found.effort_levels) == (7, ("low",))
    assert "disabled" in found.thinking
    assert asking.asked == [NEW]


async def test_where_nothing_is_said_the_newest_of_its_family_counts() -> None:
    facts = ModelFacts(engine(), FlowOptions())
    found, newest = await facts.of(resolved(NEW)), await facts.of(resolved("claude-opus-5-5"))
    assert (found.thinking, found.prefill) == (newest.thinking, newest.prefill)


async def test_the_operator_is_asked_first() -> None:
    asking = engine(claude_opus_9={"max_tokens": 7})
    facts = ModelFacts(asking, FlowOptions(model_capabilities={NEW: {"max_output_tokens": 5}}))
    assert (await facts.of(resolved(NEW))).max_output_tokens == 5
    assert asking.asked == []
