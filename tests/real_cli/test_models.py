"""One process for all models: what it asks after a change is what a fresh one asks, whatever was before."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.prove import MODEL_CHANGES, Proof
from claude_code_api.standin import Answer, Text, ToolUse, calls, fails
from claude_code_api.turn.events import TurnEvent
from claude_code_api.turn.request import ClientTool
from tests.real_cli.rig import Rig, asks, checked, plan

LISTED = ("opus", "sonnet", "haiku")
# The CLI tries them out before it changes to them.
UNLISTED = ("claude-sonnet-4-20250514", "claude-sonnet-4-5-20250929[1m]", "claude-made-up-1")
ENDS = {
    "said": Answer((Text("ok"),)),
    "cut": Answer((Text("ok"),), stop_reason="max_tokens"),
    "refused": Answer((Text("no"),), stop_reason="refusal"),
    "called": calls(ToolUse("toolu_1", "f", {})),
    "too long": fails(400, "prompt is too long: 300000 tokens > 200000 maximum"),
    "not allowed": fails(401, "no such key"),
    "no such model": fails(404, "model: claude"),
    "too much": fails(429, "slow down"),
    "broken": fails(500, "oops"),
    "overloaded": fails(529, "later"),
}
TOOL = ClientTool("f", "does f", {"type": "object"})


def warm(rig: Rig) -> ClaudeEngine:
    engine = ClaudeEngine(replace(rig.options, spares=0), rig.site)
    engine.trust(Proof({"all": True, MODEL_CHANGES: True}))
    return engine


async def turn(engine: ClaudeEngine, model: str) -> list[TurnEvent]:
    async with engine.lease(plan(asks("hi", tools=(TOOL,)), model=model)) as lease:
        return [event async for batch in lease.batches() for event in batch]


def asked(rig: Rig) -> dict[str, Any]:
    """The only call: its body, without the process's name for itself, and what stands above it of abilities."""
    (call,) = rig.calls()
    fields = {name: value for name, value in call.body.items() if name != "metadata"}
    return {**fields, **{name: value for name, value in call.headers.items() if name.startswith("anthropic-")}}


async def told(rig: Rig, engine: ClaudeEngine, model: str) -> tuple[dict[str, Any], Any]:
    """What a plain turn asks, and what it is said to have cost."""
    rig.upstream.clear()
    rig.upstream.always(ENDS["said"])
    result = checked(await turn(engine, model))
    return asked(rig), result.usage


async def fresh(rig: Rig, *models: str) -> dict[str, tuple[dict[str, Any], Any]]:
    found = {}
    for model in models:
        engine = warm(rig)
        found[model] = await told(rig, engine, model)
        await engine.close()
    return found


async def test_each_model_after_each_other_one(rig: Rig) -> None:
    wanted = await fresh(rig, *LISTED, *UNLISTED)
    engine = warm(rig)
    for models in itertools.permutations((*LISTED, *UNLISTED), 2):
        for model in models:
            # A try-out would have been a second call.
            assert await told(rig, engine, model) == wanted[model], models
    assert engine.live == 1
    await engine.close()


@pytest.mark.parametrize("model", ["haiku", "claude-sonnet-4-20250514"])
async def test_a_change_after_any_ending(rig: Rig, model: str) -> None:
    wanted = await fresh(rig, model)
    engine = warm(rig)
    for name, answer in ENDS.items():
        rig.upstream.clear()
        rig.upstream.always(answer)
        checked(await turn(engine, "opus"))
        assert await told(rig, engine, model) == wanted[model], name
    assert engine.live == 1
    await engine.close()


async def test_a_name_that_the_cli_does_not_change_to_is_asked_by_a_fresh_process(rig: Rig) -> None:
    engine = warm(rig)
    await told(rig, engine, "opus")
    (resident,) = engine._starter.alive  # noqa: SLF001 - nobody else needs to know
    assert resident.door is not None
    with capture_logs() as logs:
        # A CLI whose try-out is refused keeps its model, and says so.
        resident.door.rehearse = resident.door.shut  # type: ignore[method-assign]
        asked_of, _ = await told(rig, engine, "claude-made-up-1")
    assert asked_of["model"] == "claude-made-up-1"
    (line,) = [line for line in logs if line["event"] == "cli_model_not_changed"]
    assert "model not changed" in line["reason"]
    assert resident not in engine._starter.alive or not resident.alive  # noqa: SLF001
    await engine.close()
