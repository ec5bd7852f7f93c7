"""A bounded queue of events between the owner of a process and the one reader of its turn.

Bounded in events and in characters: when it is full the owner stops reading, the pipe fills and the CLI waits. That is
the back-pressure of a slow client, and it touches no other turn. A reader takes everything that has arrived at once,
so that a burst costs one wake-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from claude_code_api.turn.events import PartDelta, TurnEvent

# Enough to keep a reader busy while the CLI works, little enough to hold for a thousand readers.
MAX_EVENTS = 256
MAX_CHARS = 1_000_000


class Mailbox:
    """One writer, one reader."""

    __slots__ = ("_chars", "_closed", "_events", "_on_room", "_reader", "_room", "full")

    def __init__(self, on_room: Callable[[], None] | None = None) -> None:
        """Begin empty and open. `on_room` is called when the reader has emptied it after it was full, or has left."""
        self._events: list[TurnEvent] = []
        self._chars = 0
        self._closed = False
        self._on_room = on_room
        # The reader, while it waits.
        self._reader: asyncio.Future[None] | None = None
        # A writer that waits.
        self._room: asyncio.Future[None] | None = None
        # Whether the writer has to wait.
        self.full = False

    def offer(self, event: TurnEvent) -> None:
        """Leave an event without waiting; the writer is expected to write no more once it is full."""
        if self._closed:
            return
        if isinstance(event, PartDelta):
            self._chars += len(event.text)
        self._events.append(event)
        if len(self._events) >= MAX_EVENTS or self._chars >= MAX_CHARS:
            self.full = True
        if self._reader is not None:
            self._wake_reader()

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    async def wait_for_room(self) -> None:
        """Return as soon as the reader has taken what was there, or has left."""
        while self.full:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def _make_room(self) -> None:
        if not self.full:
            return
        self.full = False
        room, self._room = self._room, None
        if room is not None:
            room.set_result(None)
        if self._on_room is not None:
            self._on_room()

    def close(self) -> None:
        """Nothing more will come, or nobody reads any more; what is there may still be taken."""
        self._closed = True
        self._make_room()
        self._wake_reader()

    async def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield what has arrived, as often as something has, until the mailbox is closed and empty."""
        while True:
            if self._events:
                batch, self._events, self._chars = self._events, [], 0
                self._make_room()
                yield batch
            elif self._closed:
                return
            else:
                self._reader = asyncio.get_running_loop().create_future()
                await self._reader
