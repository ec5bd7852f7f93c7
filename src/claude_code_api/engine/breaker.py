"""Keeps a CLI that only crashes from being started over and over: each start costs a third of a second of a core.

    closed → open → half open → closed        half open → open, for twice as long

After some crashes in a row it opens: turns are refused at once, and told when to come back. When that time has come
it lets one start through at a time. It closes by itself as soon as a process has ended or finished a turn in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

_log = structlog.get_logger("claude_code_api.engine")

# One crash is an accident, and so are a few on a machine that has run out of memory.
CRASHES: Final = 5
FIRST_OPEN_S: Final = 2.0
# Whoever has put the CLI right does not wait longer than this.
LONGEST_OPEN_S: Final = 60.0


class Breaker:
    """Counts crashes in a row."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Begin closed. `now_s` is a clock that never goes back."""
        self._now_s = now_s
        self._crashes = 0
        self._open_until_s = 0.0
        self._trying = False

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """Hold this while a process is being started. Raises `TurnRefusedError` where none may be."""
        self._refuse_if_open()
        self._trying = True
        try:
            yield
        except TurnRefusedError as refusal:
            if refusal.error.kind is ErrorKind.ENGINE_UNAVAILABLE:
                self.crashed(refusal.error.detail)
            raise
        finally:
            self._trying = False

    def _refuse_if_open(self) -> None:
        if self._crashes < CRASHES:
            return
        wait_s = self._open_until_s - self._now_s()
        if wait_s > 0 or self._trying:
            raise _crashing(max(wait_s, FIRST_OPEN_S))

    def crashed(self, reason: str) -> None:
        """A process did not start, or was gone before it had finished a turn."""
        self._crashes += 1
        if self._crashes >= CRASHES:
            # The exponent is bounded, or it would be a very large number after a bad night.
            doublings = min(self._crashes - CRASHES, 10)
            open_s = min(FIRST_OPEN_S * 2**doublings, LONGEST_OPEN_S)
            self._open_until_s = self._now_s() + open_s
            _log.error("cli_keeps_crashing", crashes=self._crashes, not_started_for_s=open_s, reason=reason)

    def worked(self) -> None:
        """A process did what it should."""
        self._crashes = 0


def _crashing(wait_s: float) -> TurnRefusedError:
    message = "The Claude CLI keeps crashing and is not started again for a moment; `claude-code-api doctor` says more."
    error = TurnError(
        ErrorKind.ENGINE_UNAVAILABLE, message, "the breaker is open", retry_after_s=wait_s, source="engine"
    )
    return TurnRefusedError(error)
