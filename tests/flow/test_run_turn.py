"""The one path of every turn: its events are checked, its end is certain, and everything is given back."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import pytest
from typing_extensions import override

from claude_code_api.engine.scripted import ScriptedEngine, Step, WaitFor
from claude_code_api.flow import run_turn
from claude_code_api.flow.access import Caller
from claude_code_api.flow.catalogue import Catalogue
from claude_code_api.flow.ledger import Ledger
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Engine, EngineOffer, Lease, Plan
from claude_code_api.flow.records import Mode
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.models.fitted import RequestControl
from claude_code_api.turn.approvals import Verdict
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import (
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    TurnEvent,
    Usage,
)
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from tests.http.loopback import Door, a_store

CALLER = Caller("somebody", admin=False)
REQUEST = TurnRequest("sonnet", (Message("user", (TextBlock("hi"),)),))
EVENTS: tuple[TurnEvent, ...] = (
    Started("t", "m", 1),
    PartStarted(0, PartKind.TEXT),
    PartDelta(0, "a"),
    PartDelta(0, "b"),
    PartEnded(0),
    Usage(1, 2),
    Ended(EndReason.STOP),
)


class HeldClock:
    def now_s(self) -> float:
        return 1767225600.9

    def monotonic_s(self) -> float:
        return 0.0


class Making(Protocol):
    """Makes a runner around an engine."""

    def __call__(self, engine: Engine, **options: float) -> TurnRunner: ...


@pytest.fixture
async def runner_of() -> AsyncIterator[Making]:
    async with a_store() as (store, _):

        def make(engine: Engine, **options: float) -> TurnRunner:
            flow, clock = FlowOptions(**options), HeldClock()  # type: ignore[arg-type]
            ledger = Ledger(store, flow, clock, engine.unworkable)
            catalogue = Catalogue(flow, engine.offer)
            return TurnRunner(engine=engine, catalogue=catalogue, ledger=ledger, options=flow, clock=clock)

        yield make


def plays(*steps: Step) -> ScriptedEngine:
    return ScriptedEngine(lambda _: steps)


async def read(runner: TurnRunner, request: TurnRequest = REQUEST) -> list[TurnEvent]:
    async with runner.run(request, CALLER, "openai_chat") as turn:
        return [event async for batch in turn.batches() for event in batch]


def kind_of(events: Sequence[TurnEvent]) -> ErrorKind:
    """The kind of the failure that a turn ended with; there is exactly one, and it is the last event."""
    failures = [event for event in events if isinstance(event, (Failed, Ended))]
    assert len(failures) == 1
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.error.source != "gateway", "the turn had begun: no client may have it run again by itself"
    return last.error.kind


@dataclass
class BentEngine:
    """An engine that does what no engine should: its lease is any iterator at all."""

    make: Callable[[], AsyncIterator[Sequence[TurnEvent]]]
    credentials: str | None = "bent"
    live: int = 0
    unworkable: ClassVar[Mapping[Profile, str]] = {}
    left: list[str] = field(default_factory=list)
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)

    async def offer(self) -> EngineOffer:
        return EngineOffer("bent")

    async def told_of(self, model: str) -> None:
        return None

    def control(self, workplace: str | None) -> RequestControl:
        return RequestControl()

    async def count_tokens(self, plan: Plan) -> int:
        raise NotImplementedError

    def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        return self.make()

    def interrupt(self) -> None:
        self.interrupted.set()

    def answer(self, approval_id: str, verdict: Verdict) -> bool:
        raise NotImplementedError

    async def set_mode(self, mode: Mode) -> None:
        raise NotImplementedError

    def ahead(self, principal: str, model: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def lease(self, plan: Plan) -> AbstractAsyncContextManager[Lease]:
        return self._lease(plan)

    @asynccontextmanager
    async def _lease(self, plan: Plan) -> AsyncIterator[Lease]:
        try:
            yield self
        finally:
            self.left.append(plan.turn_id)


async def test_the_events_pass_as_they_come_and_are_folded(runner_of: Making) -> None:
    engine = plays(*EVENTS)
    runner = runner_of(engine)
    async with runner.run(REQUEST, CALLER, "openai_chat") as turn:
        assert turn.result.started is None
        assert [event async for batch in turn.batches() for event in batch] == list(EVENTS)
        assert turn.result.text_of(PartKind.TEXT) == "ab"
        assert turn.result.usage == Usage(1, 2)
        assert turn.result.ended == Ended(EndReason.STOP)
    assert turn.plan is engine.plans[0]
    assert (turn.plan.created_s, turn.plan.model) == (1767225600, "sonnet")
    # What the CLI says by itself is taken away; else it is what was asked.
    assert replace(turn.plan.request, as_is={}) == REQUEST
    assert turn.plan.request.as_is["thinking"] is None
    assert runner.admission.running == 0


async def test_every_turn_has_an_id_of_its_own(runner_of: Making) -> None:
    engine = plays(*EVENTS)
    runner = runner_of(engine)
    for _ in range(3):
        await read(runner)
    ids = {plan.turn_id for plan in engine.plans}
    assert len(ids) == 3
    assert all(len(id_) == 32 for id_ in ids), "128 random bits"


@pytest.mark.parametrize(
    "steps",
    [
        [EVENTS[2]],
        [EVENTS[6]],
        [EVENTS[0], EVENTS[0]],
        [EVENTS[0], EVENTS[2]],
        [EVENTS[0], EVENTS[1], EVENTS[1]],
        [EVENTS[0], EVENTS[1], EVENTS[6]],
        [EVENTS[0], EVENTS[1], PartDelta(1, "x")],
        [EVENTS[0], PartStarted(1, PartKind.TEXT)],
        [EVENTS[0], EVENTS[1], PartEnded(7)],
    ],
)
@pytest.mark.parametrize("apart", [True, False])
async def test_an_engine_that_breaks_the_order(runner_of: Making, steps: list[TurnEvent], apart: bool) -> None:
    """Whether the breach comes alone or in a burst: one failure, and nothing of what follows."""

    async def batches() -> AsyncIterator[Sequence[TurnEvent]]:
        if apart:
            for event in [*steps, *EVENTS]:
                yield [event]
        else:
            yield [*steps, *EVENTS]

    engine = BentEngine(batches)
    events = await read(runner_of(engine))
    assert kind_of(events) is ErrorKind.INTERNAL
    assert events[:-1] == steps[:-1]
    assert len(engine.left) == 1


async def test_what_comes_after_the_end_is_not_passed_on(runner_of: Making) -> None:
    async def batches() -> AsyncIterator[Sequence[TurnEvent]]:
        yield [*EVENTS, *EVENTS]
        yield EVENTS

    assert await read(runner_of(BentEngine(batches))) == list(EVENTS)


@pytest.mark.parametrize("count", range(7))
async def test_an_engine_that_just_stops(runner_of: Making, count: int) -> None:
    async def batches() -> AsyncIterator[Sequence[TurnEvent]]:
        for event in EVENTS[:count]:
            yield [event]

    events = await read(runner_of(BentEngine(batches)))
    assert kind_of(events) is ErrorKind.ENGINE_DIED
    assert events[:-1] == list(EVENTS[:count])


@pytest.mark.parametrize("count", range(7))
async def test_an_engine_that_breaks(runner_of: Making, count: int) -> None:
    async def batches() -> AsyncIterator[Sequence[TurnEvent]]:
        for event in EVENTS[:count]:
            yield [event]
        raise OSError("private reason")

    engine = BentEngine(batches)
    events = await read(runner_of(engine))
    assert kind_of(events) is ErrorKind.INTERNAL
    last = events[-1]
    assert isinstance(last, Failed)
    assert "private reason" not in last.error.message
    assert "private reason" in last.error.detail
    assert len(engine.left) == 1


# The end from outside


async def test_a_turn_that_takes_too_long_is_ended(runner_of: Making) -> None:
    engine = plays(*EVENTS[:3], WaitFor(asyncio.Event()), *EVENTS[3:])
    runner = runner_of(engine, turn_s=0.02)
    events = await read(runner)
    assert kind_of(events) is ErrorKind.UPSTREAM_TIMEOUT
    assert events[:-1] == list(EVENTS[:3])
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.error.message == "The turn took longer than 0.02 seconds."


async def test_the_first_reason_counts(runner_of: Making) -> None:
    engine = plays(*EVENTS[:3], WaitFor(Door()))
    async with runner_of(engine).run(REQUEST, CALLER, "openai_chat") as turn:
        turn.end_because(TurnError(ErrorKind.CONFLICT, "first", source="client"))
        turn.end_because(TurnError(ErrorKind.FORBIDDEN, "second"))
        events = [event async for batch in turn.batches() for event in batch]
    assert kind_of(events) is ErrorKind.CONFLICT


async def test_an_end_that_comes_after_the_end_changes_nothing(runner_of: Making) -> None:
    async with runner_of(plays(*EVENTS)).run(REQUEST, CALLER, "openai_chat") as turn:
        events = [event async for batch in turn.batches() for event in batch]
        turn.end_because(TurnError(ErrorKind.CONFLICT, "late"))
        assert turn.result.error is None
    assert events == list(EVENTS)


async def test_an_engine_that_ends_well_all_the_same_has_ended_well(runner_of: Making) -> None:
    async def batches() -> AsyncIterator[Sequence[TurnEvent]]:
        yield EVENTS[:3]
        await engine.interrupted.wait()
        yield EVENTS[3:]

    engine = BentEngine(batches)
    assert await read(runner_of(engine, turn_s=0.01)) == list(EVENTS)


# The end of the gateway


async def test_after_the_drain_began_no_turn_begins(runner_of: Making) -> None:
    engine = plays(*EVENTS)
    runner = runner_of(engine)
    await runner.drain(0)
    assert runner.draining
    with pytest.raises(TurnRefusedError) as refusal:
        await read(runner)
    assert refusal.value.error.kind is ErrorKind.SHUTTING_DOWN
    assert refusal.value.error.retry_after_s
    assert engine.plans == []


async def test_running_turns_are_waited_for(runner_of: Making) -> None:
    door = Door()
    runner = runner_of(plays(*EVENTS[:3], WaitFor(door), *EVENTS[3:]))
    reading = asyncio.create_task(read(runner))
    await door.reached.wait()
    draining = asyncio.create_task(runner.drain(1000))
    with pytest.raises(TurnRefusedError):
        await asyncio.create_task(read(runner))
    assert not draining.done()
    door.set()
    assert await reading == list(EVENTS)
    await draining


async def test_stuck_turns_end_with_an_error_of_their_own(runner_of: Making) -> None:
    doors = [Door() for _ in range(3)]
    waiting = iter(doors)
    runner = runner_of(ScriptedEngine(lambda _: [*EVENTS[:3], WaitFor(next(waiting))]))
    reading = [asyncio.create_task(read(runner)) for _ in doors]
    for door in doors:
        await door.reached.wait()
    await runner.drain(0.01)
    for events in await asyncio.gather(*reading):
        assert kind_of(events) is ErrorKind.SHUTTING_DOWN
        assert events[:-1] == list(EVENTS[:3])


async def test_who_waited_for_a_place_gets_none_any_more(runner_of: Making) -> None:
    door = Door()
    engine = plays(*EVENTS[:3], WaitFor(door), *EVENTS[3:])
    runner = runner_of(engine, max_turns=1)
    first = asyncio.create_task(read(runner))
    await door.reached.wait()
    second = asyncio.create_task(read(runner))
    while not runner.admission.waiting:
        await asyncio.create_task(nothing())
    draining = asyncio.create_task(runner.drain(1000))
    while not runner.draining:
        await asyncio.create_task(nothing())
    door.set()
    assert await first == list(EVENTS)
    with pytest.raises(TurnRefusedError, match="shutting_down"):
        await second
    await draining
    assert len(engine.plans) == 1


async def nothing() -> None:
    """One step of the loop."""


@dataclass
class SlowToStart(ScriptedEngine):
    """Takes its time until a process is ready."""

    ready: Door = field(default_factory=Door)

    @override
    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Lease]:
        await self.ready.wait()
        async with super().lease(plan) as lease:
            yield lease


async def test_a_turn_whose_process_is_still_starting_is_waited_for(runner_of: Making) -> None:
    engine = SlowToStart(lambda _: EVENTS)
    runner = runner_of(engine)
    reading = asyncio.create_task(read(runner))
    await engine.ready.reached.wait()
    draining = asyncio.create_task(runner.drain(1000))
    await asyncio.create_task(nothing())
    assert not draining.done()
    engine.ready.set()
    assert await reading == list(EVENTS)
    await draining


async def test_a_turn_whose_process_starts_after_the_patience_is_told_at_once(runner_of: Making) -> None:
    engine = SlowToStart(lambda _: [*EVENTS[:3], WaitFor(asyncio.Event())])
    runner = runner_of(engine)
    reading = asyncio.create_task(read(runner))
    await engine.ready.reached.wait()
    draining = asyncio.create_task(runner.drain(1000))
    await asyncio.create_task(nothing())
    runner.hurry()
    engine.ready.set()
    assert kind_of(await reading) is ErrorKind.SHUTTING_DOWN
    await draining


@pytest.mark.parametrize("hurried", ["before", "meanwhile", "never"])
async def test_a_reader_that_does_not_read_does_not_keep_the_gateway(
    runner_of: Making, monkeypatch: pytest.MonkeyPatch, hurried: str
) -> None:
    monkeypatch.setattr(run_turn, "LAST_WORDS_S", 0.01)
    runner = runner_of(plays(*EVENTS))
    async with runner.run(REQUEST, CALLER, "openai_chat"):
        if hurried == "before":
            runner.hurry()
        draining = asyncio.create_task(runner.drain(0.01 if hurried == "never" else 1000))
        await asyncio.create_task(nothing())
        if hurried == "meanwhile":
            runner.hurry()
        await draining
        assert runner.admission.running == 1
    assert runner.admission.running == 0


async def test_a_second_drain_finds_nothing_to_do(runner_of: Making) -> None:
    runner = runner_of(plays(*EVENTS))
    await read(runner)
    await runner.drain(1000)
    runner.hurry()
    await runner.drain(1000)


# Everything comes back


@pytest.mark.parametrize("index", range(len(EVENTS)))
async def test_cancelled_at_any_event(runner_of: Making, index: int) -> None:
    door = Door()
    engine = plays(*EVENTS[:index], WaitFor(door), *EVENTS[index:])
    runner = runner_of(engine, max_turns=1)
    reading = asyncio.create_task(read(runner))
    await door.reached.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (engine.running, runner.admission.running, len(engine.left_early)) == (0, 0, 1)
    door.set()
    assert await read(runner) == list(EVENTS)
    await runner.drain(1000)


@pytest.mark.parametrize("count", range(len(EVENTS)))
async def test_left_with_an_error_at_any_event(runner_of: Making, count: int) -> None:
    engine = plays(*EVENTS[:count], WaitFor(asyncio.Event()), *EVENTS[count:])
    runner = runner_of(engine, max_turns=1)

    async def read_and_break() -> None:
        async with runner.run(REQUEST, CALLER, "openai_chat") as turn:
            seen = 0
            async for batch in turn.batches() if count else _no_batches():
                seen += len(batch)
                if seen == count:
                    break
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read_and_break()
    assert (engine.running, runner.admission.running, len(engine.left_early)) == (0, 0, 1)
    await runner.drain(1000)


async def _no_batches() -> AsyncIterator[Sequence[TurnEvent]]:
    nothing: tuple[Sequence[TurnEvent], ...] = ()
    for batch in nothing:
        yield batch


@pytest.mark.parametrize("where", ["offer", "lease"])
async def test_a_refusal_on_the_way_gives_the_place_back(runner_of: Making, where: str) -> None:
    engine = plays(*EVENTS)
    runner = runner_of(engine, max_turns=1, max_waiting=0)
    refusal = TurnError(ErrorKind.NO_CREDENTIALS, "no")
    for _ in range(3):
        if where == "offer":
            engine.refusal = refusal
        else:
            engine = Refusing(engine.script)
            runner = runner_of(engine, max_turns=1, max_waiting=0)
        with pytest.raises(TurnRefusedError) as refused:
            await read(runner)
        assert refused.value.error is (refusal if where == "offer" else NO)
        assert runner.admission.running == 0
    await runner.drain(1000)


NO = TurnError(ErrorKind.ENGINE_UNAVAILABLE, "no process")


class Refusing(ScriptedEngine):
    """Can be asked what it offers, and then does not start."""

    @override
    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Lease]:
        raise TurnRefusedError(NO)
        yield


async def test_nothing_holds_on_to_a_turn_that_is_over(runner_of: Making) -> None:
    """Its deadline is half an hour away, and its answer may be a megabyte."""
    runner = runner_of(plays(*EVENTS))
    async with runner.run(REQUEST, CALLER, "openai_chat") as turn:
        assert [event async for batch in turn.batches() for event in batch] == list(EVENTS)
    remains = weakref.ref(turn)
    del turn
    gc.collect()
    assert remains() is None


async def test_cancelled_while_it_waits_for_a_place_or_for_a_process(runner_of: Making) -> None:
    engine = SlowToStart(lambda _: EVENTS)
    runner = runner_of(engine, max_turns=1)
    starting = asyncio.create_task(read(runner))
    await engine.ready.reached.wait()
    waiting = asyncio.create_task(read(runner))
    while not runner.admission.waiting:
        await asyncio.create_task(nothing())
    for task in (waiting, starting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (runner.admission.running, runner.admission.waiting) == (0, 0)
    engine.ready.set()
    assert await read(runner) == list(EVENTS)
