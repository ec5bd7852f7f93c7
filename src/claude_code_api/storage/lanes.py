"""Threads of the store's own, each of which carries out one transaction at a time.

One hop to a thread for each transaction; a driver that hops for each statement was measured to be slower (see the
decision 0010). A transaction that has begun always comes to its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from claude_code_api.flow.ports import StoreError

# Transactions that may wait for a thread. Each holds a request's messages in memory; behind this many, the disk is not
# keeping up and a client is better told so.
MAX_WAITING: Final = 1024
# Longer than this, a transaction does not begin any more: whoever asked for it gave up or wants to know. It is as long
# as a database is waited for that somebody else has locked.
WAIT_S: Final = 5.0

Result = TypeVar("Result")


class Lanes:
    """A few threads and the queue before them."""

    def __init__(self, name: str, threads: int, *, max_waiting: int = MAX_WAITING, wait_s: float = WAIT_S) -> None:
        self._name, self._threads, self._max_waiting, self._wait_s = name, threads, max_waiting, wait_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"store-{name}")
        # Asked for and not yet over. Only the event loop's thread counts.
        self._open = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do the work in a thread. Cancelled before it began, it is not done; after that, the cancellation waits for
        its end."""
        if self._open >= self._threads + self._max_waiting:
            raise StoreError(f"{self._max_waiting} transactions wait already ({self._name})")
        asked_s = time.monotonic()
        self._open += 1
        try:
            return await _outcome(self._pool.submit(self._begin, work, asked_s))
        finally:
            self._open -= 1

    def _begin(self, work: Callable[[], Result], asked_s: float) -> Result:
        waited_s = time.monotonic() - asked_s
        if waited_s > self._wait_s:
            raise StoreError(f"waited {waited_s:.1f} s for its turn ({self._name})")
        return work()

    def later(self, work: Callable[[], None]) -> Future[None]:
        """Do the work in a thread, and wait for nothing; it has to deal with its errors itself."""
        return self._pool.submit(work)

    def close(self) -> None:
        """Let what has begun come to its end. Blocks."""
        self._pool.shutdown(wait=True)


async def _outcome(begun: Future[Result]) -> Result:
    waiting = asyncio.wrap_future(begun)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not begun.cancel():
            await _end_of(waiting)
        raise


async def _end_of(waiting: asyncio.Future[Result]) -> None:
    while not waiting.done():
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError:
            # Asked again while it waits: the first cancellation is passed on as soon as the transaction is over.
            continue
    # Whoever asked has left: how it ended is in the database, and nobody is there to be told.
    waiting.exception()
