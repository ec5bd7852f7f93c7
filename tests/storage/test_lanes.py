"""Threads for transactions: bounded, in order, and never cut in the middle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from claude_code_api.flow.ports import StoreError
from claude_code_api.storage.lanes import Lanes
from tests.harness.waiting import BOUND_S


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    opened = Lanes("test", 1, max_waiting=2)
    yield opened
    opened.close()


class Hold:
    """Work that begins, and then waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go, self.done = threading.Event(), threading.Event(), False

    def __call__(self) -> str:
        self.begun.set()
        assert self.go.wait(BOUND_S)
        self.done = True
        return "done"


async def begun(hold: Hold) -> None:
    assert await asyncio.to_thread(hold.begun.wait, BOUND_S)


async def test_work_is_done_in_order_and_what_it_raises_comes_back(lanes: Lanes) -> None:
    order: list[int] = []
    await asyncio.gather(*(lanes.run(lambda n=n: order.append(n)) for n in range(3)))  # type: ignore[misc]
    assert order == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        await lanes.run(lambda: 1 // 0)


async def test_the_queue_has_an_end(lanes: Lanes) -> None:
    hold = Hold()
    first = asyncio.ensure_future(lanes.run(hold))
    await begun(hold)
    waiting = [asyncio.ensure_future(lanes.run(lambda: "waited")) for _ in range(2)]
    await asyncio.wait(waiting, timeout=0)
    with pytest.raises(StoreError, match="2 transactions wait already"):
        await lanes.run(lambda: "refused")
    hold.go.set()
    assert await asyncio.gather(first, *waiting) == ["done", "waited", "waited"]
    assert await lanes.run(lambda: "free again") == "free again"


async def test_cancelled_before_it_begins_it_is_not_done(lanes: Lanes) -> None:
    hold, touched = Hold(), []
    first = asyncio.ensure_future(lanes.run(hold))
    await begun(hold)
    second = asyncio.ensure_future(lanes.run(lambda: touched.append(1)))
    await asyncio.wait([second], timeout=0)
    second.cancel()
    await asyncio.wait([second])
    assert second.cancelled()
    hold.go.set()
    await first
    await lanes.run(lambda: None)
    assert touched == []


async def test_cancelled_after_it_began_it_comes_to_its_end_first(lanes: Lanes) -> None:
    hold = Hold()
    task = asyncio.ensure_future(lanes.run(hold))
    await begun(hold)
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=0)
        assert not task.done()
    hold.go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert hold.done


async def test_an_error_that_nobody_waits_for_any_more_is_taken(lanes: Lanes) -> None:
    hold = Hold()

    def fail() -> None:
        hold()
        raise ValueError

    task = asyncio.ensure_future(lanes.run(fail))
    await begun(hold)
    task.cancel()
    await asyncio.wait([task], timeout=0)
    hold.go.set()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_what_waited_too_long_does_not_begin() -> None:
    lanes = Lanes("test", 1, wait_s=-1)
    with pytest.raises(StoreError, match="waited"):
        await lanes.run(lambda: "late")
    lanes.close()


async def test_closing_lets_what_has_begun_come_to_its_end(lanes: Lanes) -> None:
    hold = Hold()
    task = asyncio.ensure_future(lanes.run(hold))
    await begun(hold)
    closing = asyncio.ensure_future(asyncio.to_thread(lanes.close))
    hold.go.set()
    await closing
    assert await task == "done"
