"""Time that stands still until a test moves it."""

from __future__ import annotations


class HeldClock:
    """The `Clock` of `flow/ports.py`."""

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self._now_s, self._monotonic_s = now_s, 1000.0

    def now_s(self) -> float:
        return self._now_s

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self._now_s += seconds
        self._monotonic_s += seconds
