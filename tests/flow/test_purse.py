"""What an agent's turn uses: what it tells, what was seen to pass, and what is left."""

from __future__ import annotations

import math

import pytest

from claude_code_api.flow.purse import Prices, Purse
from claude_code_api.turn.events import Usage

PRICES = Prices(1.0, 5.0)


def purse(usd: float = math.inf, tokens: float = math.inf) -> Purse:
    return Purse(PRICES, usd=usd, tokens=tokens)


@pytest.mark.parametrize(
    ("used", "empty"),
    [
        (Usage(900_000, 0), False),
        (Usage(1_000_000, 0), True),
        (Usage(0, 200_000), True),
        (Usage(0, 0, 10_000_000), True),
        (Usage(0, 0, 0, 800_000), True),
        (Usage(1, 1, cost_usd=1.5), True),
        (Usage(1, 1, cost_usd=0.5), False),
    ],
)
def test_it_is_empty_when_its_dollar_is_spent(used: Usage, empty: bool) -> None:
    agents = purse(usd=1.0)
    agents.told(used)
    assert agents.empty is empty


def test_it_is_empty_when_its_tokens_are_spent() -> None:
    agents = purse(tokens=100)
    agents.told(Usage(50, 49))
    assert not agents.empty
    agents.told(Usage(40, 40, 10, 10))
    assert agents.empty


def test_what_passed_adds_up_beside_what_the_agent_tells() -> None:
    agents = purse(tokens=100)
    heard: list[str] = []
    agents.on_empty = lambda: heard.append("empty")
    agents.told(Usage(30, 10))
    agents.count(Usage(30, 10))
    assert not agents.empty, "it is the same, seen twice"
    agents.count(Usage(40, 15))
    assert not agents.empty
    agents.count(Usage(0, 5))
    agents.count(Usage(1, 1))
    assert agents.empty
    assert heard == ["empty"]


def test_without_a_limit_it_is_never_empty() -> None:
    agents = purse()
    agents.count(Usage(10**12, 10**12))
    assert not agents.limited
    assert not agents.empty
    assert purse(usd=1.0).limited
    assert purse(tokens=1).limited


def test_the_whole_is_what_passed_and_never_less_than_what_was_told() -> None:
    agents = purse()
    assert agents.whole(None) is None
    assert agents.whole(Usage(3, 4)) == Usage(3, 4)
    agents.count(Usage(1_000_000, 2, 3, 4))
    assert agents.whole(None) == Usage(1_000_000, 2, 3, 4)
    assert agents.whole(Usage(3, 400, reasoning_tokens=7)) == Usage(1_000_000, 400, 3, 4, 7)


def test_what_passed_beside_the_agent_is_paid_for_as_well() -> None:
    agents = purse()
    agents.count(Usage(1_000_000, 200_000))
    own = Usage(400_000, 100_000, cost_usd=0.7)
    whole = agents.whole(own)
    assert whole is not None
    assert whole.cost_usd == pytest.approx(0.7 + 0.6 + 0.5)
    assert agents.whole(whole) == whole, "and once"
    told = Usage(1_000_000, 200_000, cost_usd=1.0)
    assert agents.whole(told) == told, "what the agent knows itself it has paid for"
