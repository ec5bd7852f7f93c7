"""A bounded number of turns, a bounded number of waiting ones, and every place comes back."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from claude_code_api.flow.admission import RETRY_AFTER_S, Admission
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError

LONG_S = 1000.0


class Turn:
    """Somebody with a permit, or on the way to one."""

    def __init__(self, admission: Admission) -> None:
        self.inside, self.leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._run(admission))

    async def _run(self, admission: Admission) -> None:
        async with admission.permit():
            self.inside.set()
            await self.leave.wait()

    async def end(self) -> None:
        self.leave.set()
        await self.task


async def settled() -> None:
    """Let every task take the steps it can take."""
    for _ in range(20):
        await asyncio.create_task(_nothing())


async def _nothing() -> None:
    return


async def test_so_many_at_once_and_the_next_one_waits() -> None:
    admission = Admission(max_turns=2, max_waiting=1, wait_s=LONG_S)
    first, second = Turn(admission), Turn(admission)
    await first.inside.wait()
    await second.inside.wait()
    third = Turn(admission)
    await settled()
    assert (admission.running, admission.waiting) == (2, 1)
    assert not third.inside.is_set()
    await first.end()
    await third.inside.wait()
    assert (admission.running, admission.waiting) == (2, 0)
    await second.end()
    await third.end()
    assert admission.running == 0


async def test_more_than_may_wait_are_refused_at_once() -> None:
    admission = Admission(max_turns=1, max_waiting=1, wait_s=LONG_S)
    first, second = Turn(admission), Turn(admission)
    await settled()
    with pytest.raises(TurnRefusedError) as refusal:
        async with admission.permit():
            raise AssertionError("there was no place")
    error = refusal.value.error
    assert (error.kind, error.retry_after_s) == (ErrorKind.AT_CAPACITY, RETRY_AFTER_S)
    assert "wait" not in error.message, "how many wait is nobody's business"
    await first.end()
    await second.end()


async def test_who_waits_too_long_is_refused() -> None:
    admission = Admission(max_turns=1, max_waiting=5, wait_s=0.01)
    first = Turn(admission)
    await first.inside.wait()
    with pytest.raises(TurnRefusedError) as refusal:
        async with admission.permit():
            raise AssertionError("there was no place")
    assert refusal.value.error.kind is ErrorKind.AT_CAPACITY
    assert (admission.running, admission.waiting) == (1, 0)
    await first.end()
    async with admission.permit():
        assert admission.running == 1


@pytest.mark.parametrize("max_waiting", [0, 1])
async def test_a_free_place_needs_no_queue(max_waiting: int) -> None:
    admission = Admission(max_turns=1, max_waiting=max_waiting, wait_s=0)
    for _ in range(3):
        async with admission.permit():
            assert admission.running == 1


async def test_an_error_inside_gives_the_place_back() -> None:
    admission = Admission(max_turns=1, max_waiting=0, wait_s=LONG_S)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with admission.permit():
                raise ZeroDivisionError
    assert admission.running == 0


async def test_a_cancelled_holder_and_a_cancelled_waiter_leave_nothing_behind() -> None:
    admission = Admission(max_turns=1, max_waiting=9, wait_s=LONG_S)
    holder, waiter, last = Turn(admission), Turn(admission), Turn(admission)
    await settled()
    assert admission.waiting == 2
    waiter.task.cancel()
    await settled()
    assert (admission.running, admission.waiting) == (1, 1)
    holder.task.cancel()
    await last.inside.wait()
    assert (admission.running, admission.waiting) == (1, 0)
    await last.end()
    async with admission.permit():
        assert admission.running == 1


async def test_who_is_cancelled_in_the_moment_of_getting_a_place_gives_it_on() -> None:
    admission = Admission(max_turns=1, max_waiting=9, wait_s=LONG_S)
    holder, lucky, last = Turn(admission), Turn(admission), Turn(admission)
    await settled()
    holder.leave.set()
    await holder.task
    lucky.task.cancel()
    with suppress(asyncio.CancelledError):
        await lucky.task
    await last.inside.wait()
    await last.end()
    assert (admission.running, admission.waiting) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_no_order_of_coming_leaving_and_giving_up_loses_a_place(seed: int) -> None:
    chance, admission = random.Random(seed), Admission(max_turns=3, max_waiting=4, wait_s=LONG_S)
    everybody: list[Turn] = []
    there: list[Turn] = []
    for _ in range(60):
        if not there or chance.random() < 0.5:
            there.append(Turn(admission))
            everybody.append(there[-1])
        else:
            turn = there.pop(chance.randrange(len(there)))
            if chance.random() < 0.5:
                turn.task.cancel()
            turn.leave.set()
        if chance.random() < 0.5:
            await settled()
        assert admission.running <= 3
        assert admission.waiting <= 4
    for turn in there:
        turn.leave.set()
    ends = await asyncio.gather(*(turn.task for turn in everybody), return_exceptions=True)
    assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError, TurnRefusedError}
    assert (admission.running, admission.waiting) == (0, 0)
    async with admission.permit(), admission.permit(), admission.permit():
        assert admission.running == 3


# Between callers


class Asker:
    """Somebody with a name, who notes when the place came."""

    def __init__(self, admission: Admission, caller: str, served: list[str]) -> None:
        self._served = served
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._run(admission, caller))

    async def _run(self, admission: Admission, caller: str) -> None:
        async with admission.permit(caller):
            self._served.append(caller)
            await self.leave.wait()


async def test_callers_get_their_places_by_turns() -> None:
    admission, served = Admission(max_turns=1, max_waiting=9, wait_s=LONG_S), list[str]()
    asked = [Asker(admission, caller, served) for caller in ("ann", "ann", "ann", "ann", "bob", "eve", "bob")]
    await settled()
    for asker in asked:
        asker.leave.set()
    await asyncio.gather(*(asker.task for asker in asked))
    assert served == ["ann", "ann", "bob", "eve", "ann", "bob", "ann"]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_who_asks_for_much_makes_room_for_who_asks_for_little() -> None:
    admission, served = Admission(max_turns=1, max_waiting=3, wait_s=LONG_S), list[str]()
    greedy = [Asker(admission, "ann", served) for _ in range(4)]
    await settled()
    modest = Asker(admission, "bob", served)
    await settled()
    with pytest.raises(TurnRefusedError) as refusal:
        await greedy[3].task
    assert refusal.value.error.kind is ErrorKind.AT_CAPACITY
    assert admission.waiting == 3
    # Two against one: from here on everybody has a fair part, and the next one is refused whoever it is.
    for caller in ("ann", "bob"):
        with pytest.raises(TurnRefusedError):
            await Asker(admission, caller, served).task
    for asker in (*greedy[:3], modest):
        asker.leave.set()
    await asyncio.gather(*(asker.task for asker in (*greedy[:3], modest)))
    assert served == ["ann", "ann", "bob", "ann"]


@pytest.mark.parametrize("seed", range(20))
async def test_no_order_of_callers_loses_a_place(seed: int) -> None:
    chance, admission = random.Random(seed), Admission(max_turns=2, max_waiting=4, wait_s=LONG_S)
    served: list[str] = []
    everybody: list[Asker] = []
    asked: list[Asker] = []
    for _ in range(200):
        step = chance.random()
        if step < 0.5:
            asked.append(Asker(admission, chance.choice(["ann", "bob", "eve"]), served))
            everybody.append(asked[-1])
        elif asked:
            asker = asked.pop(chance.randrange(len(asked)))
            asker.leave.set()
            if step < 0.7:
                asker.task.cancel()
        if chance.random() < 0.7:
            await settled()
        assert admission.running <= 2
        assert admission.waiting <= 4
    for asker in asked:
        asker.leave.set()
    ends = await asyncio.gather(*(asker.task for asker in everybody), return_exceptions=True)
    assert all(end is None or isinstance(end, TurnRefusedError | asyncio.CancelledError) for end in ends)
    assert (admission.running, admission.waiting) == (0, 0)
    async with admission.permit("ann"), admission.permit("bob"):
        assert admission.running == 2
