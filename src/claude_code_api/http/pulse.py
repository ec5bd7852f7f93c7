"""Heartbeats for every open stream, from one timer.

A stream says when it last sent something; the pulse looks at all of them once a second and has the silent ones send a
heartbeat. There is no task and no timer per stream, and none at all while nothing is open.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

_TICK_S: Final = 1.0


class Beating(Protocol):
    """A stream that wants to be kept alive."""

    @property
    def silent_since_s(self) -> float:
        """Loop time of the last thing sent; infinity while one is being sent."""
        ...

    async def beat(self) -> None:
        """Send a heartbeat."""
        ...


class Pulse:
    """Keeps streams alive."""

    def __init__(self, *, every_s: float) -> None:
        """Beat for streams that were silent for `every_s`."""
        self._every_s = every_s
        self._streams: set[Beating] = set()
        self._beats: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, stream: Beating) -> None:
        """Keep a stream alive from now on."""
        self._streams.add(stream)
        if self._timer is None:
            self._arm()

    def leave(self, stream: Beating) -> None:
        """Let go of a stream."""
        self._streams.discard(stream)

    async def _beat(self, stream: Beating) -> None:
        # It may have come to its end since the tick, and then has no place for another byte.
        if stream in self._streams:
            await stream.beat()

    def _arm(self) -> None:
        tick_s = min(_TICK_S, self._every_s)
        self._timer = asyncio.get_running_loop().call_later(tick_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        due_s = asyncio.get_running_loop().time() - self._every_s
        for stream in self._streams:
            if stream.silent_since_s <= due_s:
                beat = asyncio.create_task(self._beat(stream), name="heartbeat")
                self._beats.add(beat)
                beat.add_done_callback(self._beats.discard)
        if self._streams:
            self._arm()
