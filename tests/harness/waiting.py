"""Waiting in tests: one bound for everything, and an error that says what never came.

A bound only ends what hangs. It decides nothing: what a test is about is told by an event, an order or the held clock,
so that every test also holds where the machine stands still for a while. Nothing here knows the gateway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

# One start of the CLI took 1.5 s here, and 20 s on a machine with a third of the speed and other work beside. Six times
# that is more than a machine needs that still works, and it is far below the 300 s that a whole test has.
BOUND_S: Final = 120.0
# Where no event tells. It is short, so that waiting costs nothing, and long enough to leave the processor to others.
_STEP_S: Final = 0.02


class NeverCameError(AssertionError):
    """What a test waited for did not come; the text says what it was, and what was seen last."""

    def __init__(self, what: str, within_s: float, seen: object = None) -> None:
        last = "" if seen is None else f"; seen last: {seen}"
        super().__init__(f"waited {within_s:g} s for {what}{last}")


def until(
    holds: Callable[[], T], what: str, *, seen: Callable[[], object] | None = None, within_s: float = BOUND_S
) -> T:
    """Ask until the answer is true, and return it. In a test with a loop: `soon`, or this one in a thread."""
    deadline_s = time.monotonic() + within_s
    while not (found := holds()):
        if time.monotonic() >= deadline_s:
            raise NeverCameError(what, within_s, seen() if seen is not None else found)
        time.sleep(_STEP_S)  # noqa: TID251 - the one place where a test asks again
    return found


async def until_in_loop(
    holds: Callable[[], T], what: str, *, seen: Callable[[], object] | None = None, within_s: float = BOUND_S
) -> T:
    """Ask until the answer is true, and return it, while the loop runs on."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while not (found := holds()):
        if loop.time() >= deadline_s:
            raise NeverCameError(what, within_s, seen() if seen is not None else found)
        await asyncio.sleep(_STEP_S)  # noqa: TID251 - the one place where a test asks again
    return found


async def soon(
    waiting: Awaitable[T], what: str, *, seen: Callable[[], object] | None = None, within_s: float = BOUND_S
) -> T:
    """Wait for an event, a task or an answer."""
    bound = asyncio.timeout(within_s)
    try:
        async with bound:
            return await waiting
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise NeverCameError(what, within_s, seen() if seen is not None else None) from error
