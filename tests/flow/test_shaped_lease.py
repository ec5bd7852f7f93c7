"""A turn whose JSON is asked for once more: interrupted, failed, refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step, WaitFor
from claude_code_api.flow.ports import Plan
from claude_code_api.flow.records import Mode
from claude_code_api.flow.shaped_lease import JsonOutcome, ShapedLease
from claude_code_api.models.fitted import AnswerShape, JsonWanted
from claude_code_api.turn.approvals import Decision, Verdict
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed, Started, TurnEvent
from claude_code_api.turn.order import Order
from claude_code_api.turn.request import TurnRequest
from claude_code_api.turn.result import TurnResult, fold
from tests.flow.talk import you
from tests.http.loopback import Door, answer_events

PLAN = Plan("turn", 1, "m", TurnRequest("m", (you("hi"),)))
SHAPE = AnswerShape(json=JsonWanted({"type": "object"}))


def then(*second: Step) -> ScriptedEngine:
    """Answer the first question with what is no JSON, the second one as it is given."""

    def script(plan: Plan) -> Sequence[Step]:
        return answer_events(plan, "no") if plan.request is PLAN.request else second

    return ScriptedEngine(script)


async def read(engine: ScriptedEngine, lease: ShapedLease) -> TurnResult:
    order, events = Order(), list[TurnEvent]()
    async for batch in lease.batches():
        for event in batch:
            order.check(event)
            events.append(event)
    assert order.over
    return fold(events)


async def outcome_of(engine: ScriptedEngine) -> tuple[TurnResult, JsonOutcome | None]:
    async with engine.lease(PLAN) as first:
        lease = ShapedLease(engine, PLAN, first, SHAPE)
        return await read(engine, lease), lease.outcome


async def test_the_second_answer_takes_the_place_of_the_first() -> None:
    result, outcome = await outcome_of(then(*answer_events(PLAN, "{", "}")))
    assert ([part.text for part in result.parts], outcome) == (["{}"], JsonOutcome.REPAIRED)
    assert result.usage is not None
    assert (result.usage.input_tokens, result.usage.cost_usd) == (24, 0.5)


@pytest.mark.parametrize("kind", [ErrorKind.UPSTREAM_OVERLOADED, ErrorKind.ENGINE_DIED])
async def test_a_second_answer_that_fails_is_the_failure(kind: ErrorKind) -> None:
    failed = Failed(TurnError(kind, "no", source="upstream"))
    result, outcome = await outcome_of(then(Started("turn", "m", 1), failed))
    assert result.error == failed.error
    assert outcome is None
    assert result.usage is not None, "the first answer has been paid for"


async def test_a_second_answer_that_is_refused_is_the_failure() -> None:
    engine = then()
    async with engine.lease(PLAN) as first:
        engine.refusal = TurnError(ErrorKind.AT_CAPACITY, "full")
        result = await read(engine, ShapedLease(engine, PLAN, first, SHAPE))
    assert result.error == engine.refusal


async def test_an_interrupt_reaches_the_second_answer() -> None:
    door = Door()
    engine = then(Started("turn", "m", 1), WaitFor(door))
    async with engine.lease(PLAN) as first:
        lease = ShapedLease(engine, PLAN, first, SHAPE)
        reading = asyncio.create_task(read(engine, lease))
        await door.reached.wait()
        lease.interrupt()
        result = await reading
    assert result.error is not None
    assert result.error.kind is ErrorKind.INTERRUPTED


async def test_who_leaves_in_the_middle_ends_both() -> None:
    door = Door()
    engine = then(Started("turn", "m", 1), WaitFor(door))
    async with engine.lease(PLAN) as first:
        reading = asyncio.create_task(read(engine, ShapedLease(engine, PLAN, first, SHAPE)))
        await door.reached.wait()
        reading.cancel()
        await asyncio.wait([reading])
    assert (engine.running, engine.left_early) == (0, ["turn"])


async def test_the_rest_is_the_leases_own() -> None:
    engine = then()
    async with engine.lease(PLAN) as first:
        lease = ShapedLease(engine, PLAN, first, SHAPE)
        assert not lease.answer("unknown", Verdict(Decision.ALLOW))
        await lease.set_mode(Mode.ASK)
    assert engine.modes == [Mode.ASK]
