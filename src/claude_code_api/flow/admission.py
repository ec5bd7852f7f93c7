"""How many turns run at once, and how many may wait for one: a permit, or a refusal that says when to come back.

Who waits is served by caller and not by order of coming: each caller in turn gets one place. Where no more may wait,
one who asks for more than the others makes room for them. So nobody can keep everybody else out by asking often.

A caller's key may say how many of his turns run at once, and how many may wait for one of those to end: such turns wait
here as well, and others pass them by.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from claude_code_api.flow.amounts import ANY_RATE, Rates
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
        # Places that callers hold, and how many they may; nobody is in here without a place or a waiter.
        self._held: Counter[str] = Counter()
        self._most: dict[str, int | None] = {}
        self.waiting = 0
        self.running = 0

    @asynccontextmanager
    async def permit(self, caller: str = "", rates: Rates = ANY_RATE) -> AsyncIterator[None]:
        """Hold a place for the length of the context; waits for one, within the bounds."""
        self._most[caller] = rates.concurrent_turns
        # It may be more than it was.
        self._pass_on_places()
        try:
            await self._take_place(caller, rates)
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1
                self._give_back(caller)
        finally:
            if not self._held[caller] and caller not in self._queues:
                del self._held[caller]
                self._most.pop(caller, None)

    async def _take_place(self, caller: str, rates: Rates) -> None:
        if self._free > 0 and self._may_hold_more(caller):
            self._free -= 1
            self._held[caller] += 1
            return
        own = len(self._queues.get(caller, ()))
        if rates.queue is not None and own >= rates.queue and not self._may_hold_more(caller):
            raise _key_full(rates)
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
                if not self._may_hold_more(caller):
                    raise _key_full(rates) from error
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
                self._give_back(caller)
        elif place in self._queues.get(caller, ()):
            self._forget(caller, place)

    def _forget(self, caller: str, place: asyncio.Future[None]) -> None:
        queue = self._queues[caller]
        queue.remove(place)
        self.waiting -= 1
        if not queue:
            del self._queues[caller]

    def _may_hold_more(self, caller: str) -> bool:
        most = self._most.get(caller)
        return most is None or self._held[caller] < most

    def _give_back(self, caller: str) -> None:
        self._held[caller] -= 1
        self._free += 1
        self._pass_on_places()

    def _pass_on_places(self) -> None:
        while self._free > 0:
            caller = next((name for name in self._queues if self._may_hold_more(name)), None)
            if caller is None:
                return
            place = self._queues[caller][0]
            self._forget(caller, place)
            if caller in self._queues:
                # To the end of the line of callers.
                self._queues[caller] = self._queues.pop(caller)
            if not place.done():
                self._free -= 1
                self._held[caller] += 1
                place.set_result(None)


def _full(detail: str) -> TurnRefusedError:
    message = "The gateway is running as many turns as it may; try again later."
    return TurnRefusedError(TurnError(ErrorKind.AT_CAPACITY, message, detail, retry_after_s=RETRY_AFTER_S))


def _key_full(rates: Rates) -> TurnRefusedError:
    message = f"This key may run {rates.concurrent_turns} turns at once; try again when one of them has ended."
    error = TurnError(ErrorKind.RATE_LIMITED, message, source="client", retry_after_s=RETRY_AFTER_S)
    return TurnRefusedError(error)
