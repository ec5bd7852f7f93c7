"""How many turns run at once, and how many may wait for one: a permit, or a refusal that says when to come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

# A turn takes seconds; a client that comes back sooner finds the same queue.
RETRY_AFTER_S: Final = 5.0


class Admission:
    """Lets a bounded number of turns in."""

    def __init__(self, *, max_turns: int, max_waiting: int, wait_s: float) -> None:
        """Begin with every place free."""
        self._places = asyncio.Semaphore(max_turns)
        self._max_waiting, self._wait_s = max_waiting, wait_s
        self.waiting = 0
        self.running = 0

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Hold a place for the length of the context; waits for one, within the bounds."""
        await self._take_place()
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._places.release()

    async def _take_place(self) -> None:
        if self._places.locked() and self.waiting >= self._max_waiting:
            raise _full(f"{self.waiting} requests wait already")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise _full(f"no place within {self._wait_s:g} s") from error
        finally:
            self.waiting -= 1


def _full(detail: str) -> TurnRefusedError:
    message = "The gateway is running as many turns as it may; try again later."
    return TurnRefusedError(TurnError(ErrorKind.AT_CAPACITY, message, detail, retry_after_s=RETRY_AFTER_S))
