"""So many requests in any minute, so many of them in any second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from claude_code_api.flow.access import Caller
from claude_code_api.flow.amounts import Rates
from claude_code_api.flow.rates import MovingWindows, RequestRates, Standing, WindowsInMemory, WindowsInStore
from claude_code_api.storage.opening import open_store
from claude_code_api.turn.errors import ErrorKind
from tests.conformance.stores import Options, postgresql, sqlite
from tests.flow.held_clock import HeldClock


def somebody(name: str = "ann", *, per_minute: int | None = None, burst: int | None = None) -> Caller:
    return Caller(name, admin=False, rates=Rates(requests_per_minute=per_minute, burst=burst))


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(params=["memory", sqlite, postgresql])
async def windows(request: pytest.FixtureRequest, clock: HeldClock, tmp_path: Path) -> AsyncIterator[MovingWindows]:
    if request.param == "memory":
        yield WindowsInMemory(clock)
        return
    options: Options = request.param
    async with open_store(options(tmp_path)) as store:
        yield WindowsInStore(store, clock)


async def let_through(rates: RequestRates, caller: Caller, times: int) -> int:
    return [(await rates.ask(caller))[1] for _ in range(times)].count(None)


async def test_so_many_in_any_minute_and_not_in_each(windows: MovingWindows, clock: HeldClock) -> None:
    rates, ann = RequestRates(windows), somebody(per_minute=10)
    assert await let_through(rates, ann, 4) == 4
    clock.go(50)
    assert await let_through(rates, ann, 9) == 6
    clock.go(9.5)
    assert await let_through(rates, ann, 9) == 0, "a minute that begins with the clock's would let ten more through"
    clock.go(1)
    assert await let_through(rates, ann, 9) == 4
    clock.go(60)
    assert await let_through(rates, ann, 20) == 10


async def test_so_many_of_them_in_any_second(windows: MovingWindows, clock: HeldClock) -> None:
    rates, ann = RequestRates(windows), somebody(per_minute=7, burst=3)
    assert await let_through(rates, ann, 9) == 3
    clock.go(0.9)
    assert await let_through(rates, ann, 9) == 0
    clock.go(0.2)
    assert await let_through(rates, ann, 9) == 3
    clock.go(1.1)
    assert await let_through(rates, ann, 9) == 1, "what the second refused does not count in the minute"


async def test_what_is_told(windows: MovingWindows, clock: HeldClock) -> None:
    rates, ann = RequestRates(windows), somebody(per_minute=3, burst=2)
    assert await rates.ask(ann) == (Standing(3, 2, 60.0), None)
    clock.go(10)
    assert await rates.ask(ann) == (Standing(3, 1, 50.0), None)
    standing, refusal = await rates.ask(ann)
    assert (standing, refusal) == (Standing(3, 0, 50.0), None)
    standing, refusal = await rates.ask(ann)
    assert refusal is not None
    assert standing == Standing(2, 0, 1.0), "the second was full first"
    clock.go(2)
    standing, refusal = await rates.ask(ann)
    assert refusal is not None
    assert standing == Standing(3, 0, 48.0)
    assert (refusal.error.kind, refusal.error.retry_after_s) == (ErrorKind.RATE_LIMITED, 48.0)


async def test_everybody_has_windows_of_his_own(windows: MovingWindows) -> None:
    rates = RequestRates(windows)
    assert await let_through(rates, somebody("ann", per_minute=2), 5) == 2
    assert await let_through(rates, somebody("bob", per_minute=2), 5) == 2


async def test_without_a_limit_nothing_is_counted(windows: MovingWindows) -> None:
    rates = RequestRates(windows)
    assert await rates.ask(somebody()) == (None, None)


async def test_old_requests_are_forgotten(tmp_path: Path, clock: HeldClock) -> None:
    async with open_store(sqlite(tmp_path)) as store:
        await let_through(RequestRates(WindowsInStore(store, clock)), somebody(per_minute=5), 5)
        await store.forget_hits(before_s=clock.now_s() - 60)
        window = await store.take_hits("ann/5/60", 0, limit=5, window_s=60, now_s=clock.now_s())
        assert window.count == 5
        await store.forget_hits(before_s=clock.now_s())
        window = await store.take_hits("ann/5/60", 0, limit=5, window_s=60, now_s=clock.now_s())
        assert window.count == 0
