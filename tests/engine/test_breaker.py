"""Breaker: a CLI that only crashes is left alone for a while, and found again when it works."""

from __future__ import annotations

import pytest

from claude_code_api.engine.breaker import CRASHES, FIRST_OPEN_S, LONGEST_OPEN_S, Breaker
from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.options import EngineOptions
from claude_code_api.engine.starter import unavailable
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from tests.engine import frames
from tests.engine.fake_site import FakeSite, plan, played


class Watch:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def try_to_start(breaker: Breaker, *, well: bool) -> TurnRefusedError | None:
    """One start; what it was refused with, by whomever."""
    try:
        async with breaker.start():
            if not well:
                raise unavailable("exit code 1")
    except TurnRefusedError as refusal:
        return refusal
    return None


async def opened(watch: Watch) -> Breaker:
    breaker = Breaker(watch)
    for _ in range(CRASHES):
        refusal = await try_to_start(breaker, well=False)
        assert refusal is not None
        assert refusal.error.detail == "exit code 1"
    return breaker


async def test_it_opens_after_some_crashes_in_a_row_and_says_when_to_come_back() -> None:
    breaker = await opened(Watch())
    refusal = await try_to_start(breaker, well=True)
    assert refusal is not None
    assert (refusal.error.kind, refusal.error.retry_after_s) == (ErrorKind.ENGINE_UNAVAILABLE, FIRST_OPEN_S)
    assert "keeps crashing" in refusal.error.message


async def test_a_turn_in_between_is_a_new_count() -> None:
    breaker = Breaker(Watch())
    for _ in range(3):
        for _ in range(CRASHES - 1):
            await try_to_start(breaker, well=False)
        breaker.worked()
    assert await try_to_start(breaker, well=True) is None


async def test_it_closes_by_itself() -> None:
    watch = Watch()
    breaker = await opened(watch)
    watch.now_s += FIRST_OPEN_S
    assert await try_to_start(breaker, well=True) is None
    breaker.worked()
    # Closed: the next crash is the first one again.
    await try_to_start(breaker, well=False)
    assert await try_to_start(breaker, well=True) is None


async def test_one_at_a_time_tries_whether_it_works_again() -> None:
    watch = Watch()
    breaker = await opened(watch)
    watch.now_s += FIRST_OPEN_S
    async with breaker.start():
        refusal = await try_to_start(breaker, well=True)
        assert refusal is not None
        assert refusal.error.retry_after_s == FIRST_OPEN_S
    assert await try_to_start(breaker, well=True) is None


async def test_each_failure_keeps_it_open_for_longer_up_to_a_bound() -> None:
    watch = Watch()
    breaker = await opened(watch)
    waits = []
    for _ in range(20):
        refusal = await try_to_start(breaker, well=True)
        assert refusal is not None
        assert refusal.error.retry_after_s is not None
        waits.append(refusal.error.retry_after_s)
        watch.now_s += waits[-1]
        await try_to_start(breaker, well=False)
    assert waits[:4] == [FIRST_OPEN_S * factor for factor in (1, 2, 4, 8)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_OPEN_S


# With processes


async def failed(engine: ClaudeEngine) -> str:
    """One turn that comes to nothing; why."""
    with pytest.raises(TurnRefusedError) as refusal:
        async with engine.lease(plan()):
            pass
    return refusal.value.error.message


async def test_a_cli_that_does_not_start_is_not_started_over_and_over(fake: FakeSite) -> None:
    engine = ClaudeEngine(EngineOptions(), fake.site)
    fake.script(refused={"initialize": "out of order"})
    reasons = [await failed(engine) for _ in range(CRASHES + 1)]
    assert all("could not be started" in reason for reason in reasons[:-1])
    assert "keeps crashing" in reasons[-1]
    await engine.close()


async def test_a_cli_that_dies_in_its_first_turn_counts_as_well(fake: FakeSite) -> None:
    engine = ClaudeEngine(EngineOptions(), fake.site)
    fake.script([*played(frames.start(), frames.opened()), {"exit": 3}])
    for _ in range(CRASHES):
        async with engine.lease(plan()) as lease:
            async for _ in lease.batches():
                pass
    assert "keeps crashing" in await failed(engine)
    await engine.close()


async def test_one_that_ends_because_its_client_left_has_not_crashed(fake: FakeSite) -> None:
    engine = ClaudeEngine(EngineOptions(), fake.site)
    fake.script([*played(frames.start(), frames.opened()), {"wait": 1}, *played(frames.aborted())])
    for _ in range(CRASHES + 2):
        async with engine.lease(plan()) as lease:
            await anext(lease.batches())
    await engine.close()
