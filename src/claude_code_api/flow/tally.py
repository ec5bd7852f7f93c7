"""Counts of what turns came to, since the gateway started: what a monitoring system asks for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from claude_code_api.flow.records import TurnState
from claude_code_api.turn.result import TurnResult

# Upper ends of the ranges that first tokens are sorted into: from a live process that has nothing to do to a model that
# thinks for a minute.
FIRST_TOKEN_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Spread:
    """How many measurements fell into each range."""

    def __init__(self, ends: tuple[float, ...]) -> None:
        """Begin with none."""
        self.ends = ends
        self.counts = [0] * (len(ends) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a measurement."""
        self.counts[bisect_left(self.ends, value)] += 1
        self.total += value


class Tally:
    """All turns."""

    def __init__(self) -> None:
        """Begin with none."""
        self.turns: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        # Which of its rules the model's API has refused requests by: each is a request that should have been fitted.
        self.refusals: Counter[str] = Counter()
        self.cost_usd = 0.0
        self.first_token_s = Spread(FIRST_TOKEN_S)

    def count(self, dialect: str, state: TurnState, result: TurnResult, first_token_ms: float | None) -> None:
        """Count a turn that is over."""
        self.turns[dialect, state.value] += 1
        if result.error is not None:
            self.failures[result.error.kind.value] += 1
        if result.usage is not None:
            self.tokens["input"] += result.usage.input_tokens
            self.tokens["cached"] += result.usage.cache_read_tokens
            self.tokens["cache_creation"] += result.usage.cache_creation_tokens
            self.tokens["output"] += result.usage.output_tokens
            self.tokens["reasoning"] += result.usage.reasoning_tokens
            self.cost_usd += result.usage.cost_usd or 0.0
        if first_token_ms is not None:
            self.first_token_s.add(first_token_ms / 1000)
