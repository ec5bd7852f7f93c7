"""A bounded queue of events between the owner of a process and the one reader of its turn.

Bounded in events and in characters: when it is full the owner stops reading, the pipe fills and the CLI waits. That is
the back-pressure of a slow client, and it touches no other turn. A reader takes everything that has arrived at once,
so that a burst costs one wake-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from claude_code_api.turn.events import PartDelta, TurnEvent

# Enough to keep a reader busy while the CLI works, little enough to hold for a thousand readers.
MAX_EVENTS = 256
MAX_CHARS = 1_000_000


class Mailbox:
    """One writer, one reader."""

    __slots__ = ("_arrived", "_chars", "_closed", "_events", "_room")

    def __init__(self) -> None:
        """Begin empty and open."""
        self._events: list[TurnEvent] = []
        self._chars = 0
        self._closed = False
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def offer(self, event: TurnEvent) -> None:
        """Leave an event without waiting; the writer is expected to `wait_for_room` before it reads on."""
        if self._closed:
            return
        if isinstance(event, PartDelta):
            self._chars += len(event.text)
        self._events.append(event)
        if len(self._events) >= MAX_EVENTS or self._chars >= MAX_CHARS:
            self._room.clear()
        self._arrived.set()

    @property
    def full(self) -> bool:
        """Whether the writer has to wait."""
        return not self._room.is_set()

    async def wait_for_room(self) -> None:
        """Return as soon as the reader has taken what was there, or has left."""
        await self._room.wait()

    def close(self) -> None:
        """Nothing more will come, or nobody reads any more; what is there may still be taken."""
        self._closed = True
        self._room.set()
        self._arrived.set()

    async def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield what has arrived, as often as something has, until the mailbox is closed and empty."""
        while True:
            if not self._events:
                if self._closed:
                    return
                await self._arrived.wait()
            batch, self._events, self._chars = self._events, [], 0
            self._arrived.clear()
            self._room.set()
            if self._closed:
                self._arrived.set()
            if batch:
                yield batch
