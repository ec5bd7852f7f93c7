"""Notices that nothing has been heard for too long, while something should have been."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Seconds after which somebody with a reason to be silent is looked at again.
_LOOK_AGAIN_S = 1.0
# What a timer of the loop is exact to.
_EARLY_S = 0.001


class Watchdog:
    """Watches one speaker at a time."""

    def __init__(self, limit_s: float, *, excused: Callable[[], bool], bark: Callable[[], None]) -> None:
        """Remember how long a silence may be, what excuses a longer one, and whom to tell."""
        self._limit_s, self._excused, self._bark = limit_s, excused, bark
        self._timer: asyncio.TimerHandle | None = None
        # When something was heard last.
        self.last_s = 0.0

    def watch(self) -> None:
        """Begin now."""
        loop = asyncio.get_running_loop()
        self.last_s = loop.time()
        self._timer = loop.call_later(self._limit_s, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        if self._excused():
            # The silence that counts begins once the excuse is gone.
            self.last_s = loop.time()
            self._timer = loop.call_later(min(self._limit_s, _LOOK_AGAIN_S), self._look)
        elif loop.time() < self.last_s + self._limit_s:
            # A timer may ring a moment early: then it is no use to ask again at once.
            rest_s = self.last_s + self._limit_s - loop.time()
            self._timer = loop.call_later(max(rest_s, _EARLY_S), self._look)
        else:
            self._bark()

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
