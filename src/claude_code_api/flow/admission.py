"""How many turns run at once, and how many may wait for one: a permit, or a refusal that says when to come back.

Who waits is served by caller and not by order of coming: each caller in turn gets one place. Where no more may wait,
one who asks for more than the others makes room for them. So nobody can keep everybody else out by asking often.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._free = max_turns
        self._max_waiting, self._wait_s = max_waiting, wait_s
        # By caller, in the order in which they get their next place. Nobody is in here without a waiter.
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self.waiting = 0
        self.running = 0

    @asynccontextmanager
    async def permit(self, caller: str = "") -> AsyncIterator[None]:
        """Hold a place for the length of the context; waits for one, within the bounds."""
        await self._take_place(caller)
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._pass_on_place()

    async def _take_place(self, caller: str) -> None:
        if self._free > 0:
            self._free -= 1
            return
        if self.waiting >= self._max_waiting and not self._make_room_for(caller):
            raise _full(f"{self.waiting} requests wait already")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(caller, deque()).append(place)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await place
        except BaseException as error:
            self._give_up(caller, place)
            if isinstance(error, TimeoutError):
                raise _full(f"no place within {self._wait_s:g} s") from error
            raise

    def _make_room_for(self, caller: str) -> bool:
        """Turn away the last waiter of the caller with the most of them, if that one has more than `caller` would."""
        greedy = max(self._queues, key=lambda name: len(self._queues[name]), default=caller)
        if len(self._queues.get(greedy, ())) <= len(self._queues.get(caller, ())) + 1:
            return False
        place = self._queues[greedy][-1]
        self._forget(greedy, place)
        place.set_exception(_full("others wait who have asked for less"))
        return True

    def _give_up(self, caller: str, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            if place.exception() is None:
                # The place came in the very moment of leaving.
                self._pass_on_place()
        elif place in self._queues.get(caller, ()):
            self._forget(caller, place)

    def _forget(self, caller: str, place: asyncio.Future[None]) -> None:
        queue = self._queues[caller]
        queue.remove(place)
        self.waiting -= 1
        if not queue:
            del self._queues[caller]

    def _pass_on_place(self) -> None:
        while self._queues:
            caller, queue = next(iter(self._queues.items()))
            place = queue[0]
            self._forget(caller, place)
            if caller in self._queues:
                # To the end of the line of callers.
                self._queues[caller] = self._queues.pop(caller)
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


def _full(detail: str) -> TurnRefusedError:
    message = "The gateway is running as many turns as it may; try again later."
    return TurnRefusedError(TurnError(ErrorKind.AT_CAPACITY, message, detail, retry_after_s=RETRY_AFTER_S))
