"""How much somebody may, and how much it was. Nouns only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a key may ask, and how much of it may go on at once; None: as the gateway allows everybody."""

    requests_per_minute: int | None = None
    # At most so many of them within one second.
    burst: int | None = None
    concurrent_turns: int | None = None
    # Turns that may wait for one of those to end.
    queue: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What a key may use up, by the calendar of UTC; None: any amount."""

    usd_per_month: float | None = None
    usd_per_day: float | None = None
    tokens_per_month: int | None = None
    tokens_per_day: int | None = None

    @property
    def unlimited(self) -> bool:
        """Whether there is nothing to watch."""
        return self == NO_BUDGET


ANY_RATE: Final = Rates()
NO_BUDGET: Final = Budget()


@dataclass(frozen=True, slots=True)
class Window:
    """What a limit has let through of late."""

    # Whether there was room for what was asked for.
    taken: bool
    count: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount that was spent."""

    usd: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What a key has spent in the calendar month, and on the day, of UTC."""

    month: Charge
    day: Charge


@dataclass(frozen=True, slots=True)
class Reservation:
    """An amount that a turn may spend, at most."""

    usd: float
    tokens: int
