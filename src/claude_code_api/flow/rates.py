"""How often a key may ask: so many requests in any minute, and so many of them in any second.

Windows move: a minute that begins with the clock's would let twice as many through around its end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from claude_code_api.flow.access import Caller
from claude_code_api.flow.amounts import Window
from claude_code_api.flow.options import AccessOptions, RatesIn
from claude_code_api.flow.ports import Clock, Store
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

_SECOND_S: Final = 1.0
_MINUTE_S: Final = 60.0
# Of the windows that there are.
LONGEST_WINDOW_S: Final = _MINUTE_S


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands with one limit."""

    limit: int
    remaining: int
    # Seconds until there is more again.
    reset_s: float


class MovingWindows(Protocol):
    """Where requests are counted."""

    async def take(self, name: str, limit: int, window_s: float) -> Window:
        """Count a request under a name, if there is room for it."""
        ...

    def now_s(self) -> float:
        """Tell the time of the windows."""
        ...


class RequestRates:
    """Counts the requests of callers whose key says how many there may be."""

    def __init__(self, windows: MovingWindows) -> None:
        """`windows`: where they are counted."""
        self._windows = windows

    async def ask(self, caller: Caller) -> tuple[Standing | None, TurnRefusedError | None]:
        """Count one request; says how the caller stands afterwards, and what to answer where it is one too many.

        The second comes first: a request that it refuses does not count in the minute as well.
        """
        rates, standing = caller.rates, None
        for limit, window_s in ((rates.burst, _SECOND_S), (rates.requests_per_minute, _MINUTE_S)):
            if limit is None:
                continue
            window = await self._windows.take(f"{caller.name}/{limit}/{window_s:g}", limit, window_s)
            standing = self._standing(window, limit, window_s)
            if not window.taken:
                return standing, _too_often(standing, window_s)
        return standing, None

    def _standing(self, window: Window, limit: int, window_s: float) -> Standing:
        reset_s = max(0.0, window.oldest_s + window_s - self._windows.now_s())
        return Standing(limit, max(0, limit - window.count), reset_s)


def _too_often(standing: Standing, window_s: float) -> TurnRefusedError:
    window = "second" if window_s == _SECOND_S else "minute"
    message = f"This key may send {standing.limit} requests a {window}; try again a little later."
    error = TurnError(ErrorKind.RATE_LIMITED, message, source="client", retry_after_s=max(standing.reset_s, 1.0))
    return TurnRefusedError(error)


class WindowsInMemory:
    """Windows of this process alone. Each is cleaned when it is looked at."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none. There is one for each limit of a key, with as many times in it as the limit says."""
        self._clock = clock
        self._hits: dict[str, deque[float]] = {}

    def now_s(self) -> float:
        """Tell the time, which only goes forward."""
        return self._clock.monotonic_s()

    async def take(self, name: str, limit: int, window_s: float) -> Window:
        """Count. Nothing waits in between, so two requests are never counted as one."""
        hits, now_s = self._hits.setdefault(name, deque()), self.now_s()
        while hits and hits[0] <= now_s - window_s:
            hits.popleft()
        taken = len(hits) < limit
        if taken:
            hits.append(now_s)
        return Window(taken, len(hits), hits[0] if hits else now_s)


class WindowsInStore:
    """Windows that several gateways share."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Count in the store."""
        self._store, self._clock = store, clock

    def now_s(self) -> float:
        """Tell the time that the gateways share."""
        return self._clock.now_s()

    async def take(self, name: str, limit: int, window_s: float) -> Window:
        """Count, in one transaction."""
        return await self._store.take_hits(name, 1, limit=limit, window_s=window_s, now_s=self.now_s())


def windows_for(options: AccessOptions, store: Store, clock: Clock) -> MovingWindows:
    """Requests are counted where every gateway that shares the database sees them, if there can be several."""
    shared = store.name == "postgresql" if options.rates_in is RatesIn.AUTO else options.rates_in is RatesIn.DATABASE
    return WindowsInStore(store, clock) if shared else WindowsInMemory(clock)
