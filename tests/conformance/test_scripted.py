"""What only the scripted engine does: it remembers, and it refuses on request."""

from __future__ import annotations

import asyncio

import pytest

from claude_code_api.engine.scripted import ScriptedEngine, WaitFor
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import Ended, EndReason, Started
from claude_code_api.turn.request import TurnRequest

PLAN = Plan("turn-1", 7, "m", TurnRequest("m", ()))
WHOLE = (Started("turn-1", "m", 7), Ended(EndReason.STOP))


async def test_it_remembers_its_plans_and_who_left_early() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(lambda _: (WHOLE[0], WaitFor(gate), WHOLE[1]))
    async with engine.lease(PLAN):
        assert engine.running == 1
    gate.set()
    async with engine.lease(PLAN) as lease:
        assert [event async for batch in lease.batches() for event in batch] == list(WHOLE)
    assert (engine.plans, engine.left_early, engine.running) == ([PLAN, PLAN], ["turn-1"], 0)


async def test_it_refuses_on_request() -> None:
    engine = ScriptedEngine(lambda _: WHOLE, refusal=TurnError(ErrorKind.NO_CREDENTIALS, "no"))
    with pytest.raises(TurnRefusedError):
        await engine.offer()
    with pytest.raises(TurnRefusedError):
        async with engine.lease(PLAN):
            pass
    with pytest.raises(TurnRefusedError):
        await engine.count_tokens(PLAN)
    assert engine.plans == engine.counted == []
