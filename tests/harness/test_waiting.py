"""Waiting: what came is returned, what never comes is told with its name; no case here depends on speed."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from tests.harness.waiting import NeverCameError, soon, until, until_in_loop


def test_what_becomes_true_is_returned() -> None:
    numbers = count()
    assert until(lambda: next(numbers) == 3, "the fourth question")
    assert next(numbers) == 4


def test_what_is_true_is_asked_once_even_when_there_is_no_time() -> None:
    assert until(lambda: "here", "it", within_s=0) == "here"


def test_what_never_comes_is_told_with_what_was_seen_last() -> None:
    with pytest.raises(NeverCameError, match=r"^waited 0 s for a third tick; seen last: two ticks$"):
        until(lambda: False, "a third tick", seen=lambda: "two ticks", within_s=0)


async def test_the_loop_runs_on_meanwhile() -> None:
    came: list[int] = []
    asyncio.get_running_loop().call_soon(came.append, 1)
    assert await until_in_loop(lambda: came, "the call") == [1]
    with pytest.raises(NeverCameError, match=r"a second call; seen last: \[1\]"):
        await until_in_loop(lambda: len(came) > 1, "a second call", seen=lambda: came, within_s=0)


async def test_an_event_that_never_comes() -> None:
    with pytest.raises(NeverCameError, match="waited 0 s for the event"):
        await soon(asyncio.Event().wait(), "the event", within_s=0)


async def test_a_limit_of_what_is_waited_for_is_its_own() -> None:
    async def gives_up() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await soon(gives_up(), "it")
