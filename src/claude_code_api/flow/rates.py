"""How often a key may ask: so many requests in any minute, and so many of them in any second."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MovingWindowSupport, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from typing_extensions import override

from claude_code_api.flow.access import Caller
from claude_code_api.flow.options import AccessOptions, RatesIn
from claude_code_api.flow.ports import Clock, Store
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

# Of the windows that there are.
LONGEST_WINDOW_S: Final = 60.0
_ONLY_MOVING: Final = "Only moving windows are counted here."


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands with one limit."""

    limit: int
    remaining: int
    # Seconds until there is more again.
    reset_s: float


class RequestRates:
    """Counts the requests of callers whose key says how many there may be."""

    def __init__(self, windows: MovingWindows) -> None:
        """`windows`: where they are counted."""
        self._windows, self._limiter = windows, MovingWindowRateLimiter(windows)

    async def ask(self, caller: Caller) -> tuple[Standing | None, TurnRefusedError | None]:
        """Count one request; says how the caller stands afterwards, and what to answer where it is one too many.

        The second comes first: a request that it refuses does not count in the minute as well.
        """
        rates, standing = caller.rates, None
        limits: list[RateLimitItem] = []
        if rates.burst is not None:
            limits.append(RateLimitItemPerSecond(rates.burst))
        if rates.requests_per_minute is not None:
            limits.append(RateLimitItemPerMinute(rates.requests_per_minute))
        for limit in limits:
            taken = await self._limiter.hit(limit, caller.name)
            standing = await self._standing(limit, caller.name)
            if not taken:
                return standing, _too_often(limit, standing)
        return standing, None

    async def _standing(self, limit: RateLimitItem, name: str) -> Standing:
        stats = await self._limiter.get_window_stats(limit, name)
        reset_s = max(0.0, stats.reset_time - self._windows.now_s())
        return Standing(limit.amount, max(0, stats.remaining), reset_s)


def _too_often(limit: RateLimitItem, standing: Standing) -> TurnRefusedError:
    window = "second" if limit.get_expiry() == 1 else "minute"
    message = f"This key may send {limit.amount} requests a {window}; try again a little later."
    error = TurnError(ErrorKind.RATE_LIMITED, message, source="client", retry_after_s=max(standing.reset_s, 1.0))
    return TurnRefusedError(error)


class MovingWindows(Storage, MovingWindowSupport):
    """What the library needs of a place where it counts, as far as moving windows go."""

    def now_s(self) -> float:
        """Tell the time of the windows."""
        raise NotImplementedError

    @property
    @override
    def base_exceptions(self) -> type[Exception]:
        return OSError

    @override
    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        raise NotImplementedError(_ONLY_MOVING)

    @override
    async def get(self, key: str) -> int:
        raise NotImplementedError(_ONLY_MOVING)

    @override
    async def get_expiry(self, key: str) -> float:
        raise NotImplementedError(_ONLY_MOVING)

    @override
    async def check(self) -> bool:
        return True

    @override
    async def reset(self) -> int | None:
        raise NotImplementedError(_ONLY_MOVING)

    @override
    async def clear(self, key: str) -> None:
        raise NotImplementedError(_ONLY_MOVING)


class WindowsInMemory(MovingWindows):
    """Windows of this process alone.

    The library's own place in memory cleans up in threads, with every request and for every key; here each window is
    cleaned when it is looked at, and nothing waits in between, so that two requests are never counted as one.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin with none. There is one for each limit of a key, with as many times in it as the limit says."""
        super().__init__()
        self._clock = clock
        self._hits: dict[str, deque[float]] = {}

    @override
    def now_s(self) -> float:
        return self._clock.monotonic_s()

    @override
    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        hits = self._current(key, expiry)
        if len(hits) + amount > limit:
            return False
        hits.extend([self.now_s()] * amount)
        return True

    @override
    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        hits = self._current(key, expiry)
        return (hits[0] if hits else self.now_s(), len(hits))

    def _current(self, key: str, expiry: int) -> deque[float]:
        hits = self._hits.setdefault(key, deque())
        over_s = self.now_s() - expiry
        while hits and hits[0] <= over_s:
            hits.popleft()
        return hits


class WindowsInStore(MovingWindows):
    """Windows that several gateways share."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Count in the store."""
        super().__init__()
        self._store, self._clock = store, clock
        # How a window was found when a request was counted in it, for the question that comes right behind.
        self._found: dict[str, tuple[float, int]] = {}

    @override
    def now_s(self) -> float:
        return self._clock.now_s()

    @override
    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        window = await self._store.take_hits(key, amount, limit=limit, window_s=expiry, now_s=self.now_s())
        self._found[key] = window.oldest_s, window.count
        return window.taken

    @override
    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        found = self._found.pop(key, None)
        if found is not None:
            return found
        window = await self._store.take_hits(key, 0, limit=limit, window_s=expiry, now_s=self.now_s())
        return window.oldest_s, window.count


def windows_for(options: AccessOptions, store: Store, clock: Clock) -> MovingWindows:
    """Requests are counted where every gateway that shares the database sees them, if there can be several."""
    shared = store.name == "postgresql" if options.rates_in is RatesIn.AUTO else options.rates_in is RatesIn.DATABASE
    return WindowsInStore(store, clock) if shared else WindowsInMemory(clock)
