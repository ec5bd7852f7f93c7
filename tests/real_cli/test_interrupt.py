"""A turn that is ended early, at any of its events: the upstream is let go at once, and the next turn is clean."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from claude_code_api.engine.process import ProcessState
from claude_code_api.flow.ports import Lease
from claude_code_api.standin import Answer, Gate, Text, Thinking
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import Ended, EndReason, Failed, PartKind, TurnEvent, Usage
from tests.real_cli.living import processes_of
from tests.real_cli.rig import Rig, asks, blocking, checked, plan, rest, terminal

# What a turn has said when its upstream waits at each of the positions below.
POSITIONS = range(9)


def answer_held_at(position: int, gate: str) -> Answer:
    """An answer that waits once so many of its turn's events have come; 0 is before the headers."""
    if position == 0:
        return Answer((Text("never"),), hold=Gate(gate))
    stop = Gate(gate)
    thoughts: dict[int, tuple[str | Gate, ...]] = {2: (stop, "t"), 3: ("t", stop)}
    words: dict[int, tuple[str | Gate, ...]] = {5: (stop, "a", "b"), 6: ("a", stop, "b"), 7: ("a", "b", stop)}
    first, between, last = ((stop,) if position == at else () for at in (1, 4, 8))
    thinking = Thinking(signature="c2ln", pieces=thoughts.get(position, ("t",)))
    return Answer((*first, thinking, *between, Text(pieces=words.get(position, ("a", "b"))), *last))


async def read(batches: AsyncIterator[Sequence[TurnEvent]], count: int) -> list[TurnEvent]:
    """Take events until there are so many, not counting the figures."""
    events: list[TurnEvent] = []
    while len(events) < count:
        events += [event for event in await anext(batches) if not isinstance(event, Usage)]
    assert len(events) == count
    return events


async def test_in_the_very_moment_of_its_beginning(rig: Rig) -> None:
    """The CLI has not come to it yet: it never will, and says no result."""
    rig.upstream.always("clean")
    async with rig.live() as live:
        dropped = 0
        for _ in range(5):
            turn = await live.begin(*asks("hi").messages[0].blocks)
            assert await live.process.end(turn)
            dropped += turn.dropped
            assert live.process.state is ProcessState.READY
        assert dropped
        assert checked(await live.ask("hi")).ended == Ended(EndReason.STOP)


@pytest.mark.parametrize("how", ["end", "interrupt"])
async def test_at_every_event_of_a_turn(rig: Rig, how: str, record_property: Callable[[str, object], None]) -> None:
    delays = []
    async with rig.live() as live:
        for index in POSITIONS:
            rig.upstream.clear()
            gate = f"{how}-{index}"
            rig.upstream.play(answer_held_at(index, gate))
            rig.upstream.always(f"clean {index}")
            turn = await live.begin(*asks("hi").messages[0].blocks)
            await blocking(rig.upstream.wait_at_gate, gate)
            told = await read(turn.mailbox.batches(), index)
            interrupted_s = time.monotonic()
            if how == "end":
                assert await live.process.end(turn)
            else:
                live.process.interrupt(turn)
                told += await rest(turn)
                end = terminal(told)
                assert isinstance(end, Failed)
                assert end.error.kind is ErrorKind.INTERRUPTED
                checked(told)
            record = await blocking(rig.upstream.wait_closed, 0)
            assert record.client_left, index
            assert record.client_left_after_ms is not None
            delays.append(record.at_s + record.client_left_after_ms / 1000 - interrupted_s)
            assert live.process.state is ProcessState.READY
            result = checked(await live.ask("next"))
            assert (result.text_of(PartKind.TEXT), result.ended) == (f"clean {index}", Ended(EndReason.STOP))
            assert len(rig.calls()) == 2
    record_property("interrupt to upstream closed, ms", [round(delay * 1000, 1) for delay in delays])


@pytest.mark.parametrize("index", [0, 1, 6, 8])
async def test_leaving_the_lease_leaves_no_process_and_no_directory(rig: Rig, index: int) -> None:
    rig.upstream.play(answer_held_at(index, "gate"))
    async with rig.engine() as engine:
        async with engine.lease(plan(asks("hi"))) as lease:
            await blocking(rig.upstream.wait_at_gate, "gate")
            await read(lease.batches(), index)
            run = rig.site.run_directory
            assert len(processes_of(run)) == 2
            assert len(list(run.iterdir())) == 1
        assert (await blocking(rig.upstream.wait_closed, 0)).client_left
        assert engine.live == 0
        assert processes_of(run) == {}
        assert list(run.iterdir()) == []
    assert len(rig.calls()) == 1


@pytest.mark.parametrize("after_s", [0, 0.02, 0.06, 0.12, 0.18, 0.24, 0.3, 0.4])
async def test_cancelled_at_any_moment_of_the_start_it_leaves_nothing(rig: Rig, after_s: float) -> None:
    rig.upstream.always(Answer(hold=Gate("never")))
    async with rig.engine() as engine:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_whole(engine.lease(plan(asks("hi")))), after_s)
    run = rig.site.run_directory
    assert processes_of(run) == {}
    assert list(run.iterdir()) == []


async def _whole(lease: AbstractAsyncContextManager[Lease]) -> None:
    async with lease as begun:
        async for _ in begun.batches():
            pass


async def test_leaving_after_the_end_is_leaving(rig: Rig) -> None:
    async with rig.engine() as engine:
        async with engine.lease(plan(asks("hi"))):
            await blocking(rig.upstream.wait_closed, 0)
        assert engine.live == 0
    assert processes_of(rig.site.run_directory) == {}
