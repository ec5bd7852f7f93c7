"""What an agent's turn uses, and what it may still use.

Nobody knows beforehand how often an agent asks the model; and what runs in its jail can ask by itself, of which the
agent says nothing. So whatever passes to the model is counted where it passes, beside what the agent tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Usage, total_usage

# Of an answer that was cut, the model does not say how long it was; in most languages a token is three letters or more.
BYTES_PER_TOKEN: Final = 3
_MTOK: Final = 1_000_000
# What the model's makers take for tokens that are written into its cache, and read from there.
_CACHE_WRITE: Final = 1.25
_CACHE_READ: Final = 0.1


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    input_usd: float
    output_usd: float

    def of(self, used: Usage) -> float:
        """What this comes to."""
        read = used.input_tokens + _CACHE_WRITE * used.cache_creation_tokens + _CACHE_READ * used.cache_read_tokens
        return (read * self.input_usd + used.output_tokens * self.output_usd) / _MTOK


class Purse:
    """What one turn has used, and what it may use at most."""

    def __init__(self, prices: Prices, *, usd: float = math.inf, tokens: float = math.inf) -> None:
        """Begin with nothing used."""
        self.prices = prices
        self._usd, self._tokens = usd, tokens
        # What the agent tells of itself, and what was seen to pass.
        self._told, self._counted = Usage(), Usage()
        # Told once, as soon as it is empty.
        self.on_empty: Callable[[], None] | None = None

    @property
    def limited(self) -> bool:
        """Whether it can become empty."""
        return min(self._usd, self._tokens) < math.inf

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        used = _larger(self._told, self._counted)
        usd = max(self.prices.of(used), self._told.cost_usd or 0.0)
        return usd >= self._usd or used.all_input_tokens + used.output_tokens >= self._tokens

    def told(self, used: Usage) -> None:
        """The agent tells what it has used so far."""
        self._told = used
        self._look()

    def count(self, used: Usage) -> None:
        """So much more has passed."""
        self._counted = total_usage((self._counted, used)) or self._counted
        self._look()

    def _look(self) -> None:
        if self.on_empty is not None and self.empty:
            on_empty, self.on_empty = self.on_empty, None
            on_empty()

    def whole(self, told: Usage | None) -> Usage | None:
        """Add to what the agent tells what passed beside it; what it costs, too, where it tells what it has cost."""
        if told is None:
            return self._counted if self._counted != Usage() else None
        whole = _larger(told, self._counted)
        if told.cost_usd is None:
            return whole
        return replace(whole, cost_usd=told.cost_usd + self.prices.of(_beyond(whole, told)))


def _larger(one: Usage, other: Usage) -> Usage:
    return Usage(
        max(one.input_tokens, other.input_tokens),
        max(one.output_tokens, other.output_tokens),
        max(one.cache_read_tokens, other.cache_read_tokens),
        max(one.cache_creation_tokens, other.cache_creation_tokens),
        max(one.reasoning_tokens, other.reasoning_tokens),
    )


def _beyond(whole: Usage, part: Usage) -> Usage:
    return Usage(
        whole.input_tokens - part.input_tokens,
        whole.output_tokens - part.output_tokens,
        whole.cache_read_tokens - part.cache_read_tokens,
        whole.cache_creation_tokens - part.cache_creation_tokens,
    )


def purse_is_empty() -> TurnError:
    """Say why an agent was stopped."""
    message = "This key's budget is spent: the agent was stopped in the middle of its work."
    return TurnError(ErrorKind.BUDGET_SPENT, message, source="engine")
