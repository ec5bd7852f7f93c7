"""The watchdog: what it takes for silence, and what it does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claude_code_api.engine.watchdog import Watchdog


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


async def test_silence_is_told_once() -> None:
    barks = list[float]()
    told = asyncio.Event()

    def bark() -> None:
        barks.append(asyncio.get_running_loop().time())
        told.set()

    dog = Watchdog(0.01, excused=lambda: False, bark=bark)
    dog.watch()
    await told.wait()
    assert len(barks) == 1
    assert barks[0] >= dog.last_s + 0.01


async def test_whoever_has_an_excuse_is_given_all_the_time_anew() -> None:
    looks, told = 0, asyncio.Event()

    def excused() -> bool:
        nonlocal looks
        looks += 1
        return looks <= 3

    dog = Watchdog(0.01, excused=excused, bark=told.set)
    dog.watch()
    began_s = dog.last_s
    await told.wait()
    # Once it has no excuse, its time begins; a timer may ring a moment early, but nobody looks again and again.
    assert 4 <= looks < 10
    assert dog.last_s >= began_s + 3 * 0.01


async def test_somebody_who_speaks_is_left_alone_and_so_is_nobody() -> None:
    told, other = asyncio.Event(), asyncio.Event()
    dog = Watchdog(0.01, excused=lambda: False, bark=told.set)
    dog.watch()
    dog.stop()
    speaking = Watchdog(0.02, excused=lambda: False, bark=other.set)
    speaking.watch()
    speaking.last_s += 0.05
    await other.wait()
    assert asyncio.get_running_loop().time() >= speaking.last_s + 0.02
    assert not told.is_set()
