"""Time as the machine has it; everything else in this room is handed a clock."""

from __future__ import annotations

import time


class SystemClock:
    """Time as the machine has it."""

    def now_s(self) -> float:
        """Return Unix time."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return seconds that only go forward."""
        return time.monotonic()
