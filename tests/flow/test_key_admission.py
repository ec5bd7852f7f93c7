"""Turns of one key at once, and those that wait for one of them; others pass by."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from claude_code_api.flow.admission import RETRY_AFTER_S, Admission
from claude_code_api.flow.amounts import Rates
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from tests.flow.test_admission import LONG_S, settled

TWO_AND_ONE = Rates(concurrent_turns=2, queue=1)


class Turn:
    """A turn of somebody's, until it is told to end."""

    def __init__(self, admission: Admission, caller: str, rates: Rates) -> None:
        self.caller, self.inside, self._leave = caller, False, asyncio.Event()
        self.task = asyncio.create_task(self._run(admission, rates))

    async def _run(self, admission: Admission, rates: Rates) -> None:
        async with admission.permit(self.caller, rates):
            self.inside = True
            try:
                await self._leave.wait()
            finally:
                self.inside = False

    async def end(self) -> None:
        self._leave.set()
        await self.task


async def begin(admission: Admission, caller: str, count: int, rates: Rates = TWO_AND_ONE) -> list[Turn]:
    turns = [Turn(admission, caller, rates) for _ in range(count)]
    await settled()
    return turns


def inside(turns: list[Turn]) -> list[bool]:
    return [turn.inside for turn in turns]


async def end_all(*turns: Turn) -> None:
    for turn in turns:
        await turn.end()


async def test_item_15_so_many_of_a_key_and_the_next_one_waits() -> None:
    admission = Admission(max_turns=8, max_waiting=8, wait_s=LONG_S)
    turns = await begin(admission, "ann", 3)
    assert inside(turns) == [True, True, False]
    await turns[0].end()
    await settled()
    assert inside(turns) == [False, True, True]
    await end_all(*turns[1:])
    assert (admission.running, admission.waiting) == (0, 0)


async def test_one_too_many_is_told_to_come_back() -> None:
    admission = Admission(max_turns=8, max_waiting=8, wait_s=LONG_S)
    turns = await begin(admission, "ann", 4)
    with pytest.raises(TurnRefusedError) as refusal:
        await turns[3].task
    error = refusal.value.error
    assert (error.kind, error.retry_after_s) == (ErrorKind.RATE_LIMITED, RETRY_AFTER_S)
    assert "2 turns" in error.message
    await end_all(*turns[:3])


async def test_others_pass_by_a_key_that_is_full() -> None:
    admission = Admission(max_turns=3, max_waiting=8, wait_s=LONG_S)
    anns = await begin(admission, "ann", 3)
    bobs = await begin(admission, "bob", 1)
    assert inside(anns) == [True, True, False]
    assert inside(bobs) == [True]
    # All places are taken now; the first that is free goes to whoever may have it.
    cids = await begin(admission, "cid", 1)
    assert inside(cids) == [False]
    await bobs[0].end()
    await settled()
    assert inside(anns) == [True, True, False]
    assert inside(cids) == [True]
    await end_all(*anns, *cids)


async def test_who_waited_too_long_for_his_own_turns_is_told_so() -> None:
    admission = Admission(max_turns=8, max_waiting=8, wait_s=0.01)
    turns = await begin(admission, "ann", 3)
    with pytest.raises(TurnRefusedError) as refusal:
        await turns[2].task
    assert refusal.value.error.kind is ErrorKind.RATE_LIMITED
    await end_all(*turns[:2])


async def test_more_that_is_allowed_meanwhile_lets_waiters_in() -> None:
    admission = Admission(max_turns=8, max_waiting=8, wait_s=LONG_S)
    turns = await begin(admission, "ann", 3)
    more = await begin(admission, "ann", 1, Rates(concurrent_turns=4, queue=1))
    assert inside([*turns, *more]) == [True] * 4
    await end_all(*turns, *more)


async def test_nothing_is_kept_of_who_has_gone() -> None:
    admission = Admission(max_turns=2, max_waiting=8, wait_s=LONG_S)
    turns = await begin(admission, "ann", 3)
    turns[2].task.cancel()
    await settled()
    await end_all(*turns[:2])
    assert not vars(admission)["_held"]
    assert not vars(admission)["_most"]
    assert not vars(admission)["_queues"]


@pytest.mark.parametrize("seed", range(30))
async def test_no_place_is_lost_or_given_twice_whatever_happens(seed: int) -> None:
    dice = random.Random(seed)
    admission = Admission(max_turns=4, max_waiting=6, wait_s=LONG_S)
    rates = {"ann": Rates(concurrent_turns=1, queue=2), "bob": Rates(concurrent_turns=3, queue=0), "cid": Rates()}
    turns = list[Turn]()
    for _ in range(120):
        match dice.choice(("come", "come", "end", "leave")):
            case "come":
                name = dice.choice(list(rates))
                turns.append(Turn(admission, name, rates[name]))
            case "end" if turns:
                dice.choice(turns)._leave.set()  # noqa: SLF001 - it ends when it has begun
            case "leave" if turns:
                dice.choice(turns).task.cancel()
            case _:
                pass
        if dice.random() < 0.5:
            await settled()
        now = Counter(turn.caller for turn in turns if turn.inside)
        assert now["ann"] <= 1
        assert now["bob"] <= 3
        assert now.total() <= 4
    for turn in turns:
        turn.task.cancel()
    await asyncio.gather(*(turn.task for turn in turns), return_exceptions=True)
    assert (admission.running, admission.waiting, vars(admission)["_free"]) == (0, 0, 4)
