"""What a chunk costs: a turn's own cost is in every figure that is measured, and has to be taken off."""

from __future__ import annotations

import pytest

from claude_code_api.bench.measure import Conversation, Scenario, Series, Turn, Wave, chunk_costs


def scenario(name: str, chunks: int, **cpu_ms: float | None) -> Scenario:
    """Two turns of each system, which cost so much each."""
    waves = [Wave(1.0, (Turn((1.0,) * chunks, 2.0),))] * 2
    series = [Series(system, waves, None if ms is None else 2 * ms / 1000) for system, ms in cpu_ms.items()]
    return Scenario(name, "", Conversation((), "?"), 1, 2, series)


def test_a_turns_own_cost_is_taken_off() -> None:
    # A turn of 8 ms, 5 µs for each chunk of a burst, 200 µs for one that comes alone; the CLI's are the double.
    burst = scenario("burst", 500, gateway=8 + 2.5, floor=16 + 5)
    trickle = scenario("trickle", 20, gateway=8 + 4, floor=16 + 8)
    short = scenario("session", 20, gateway=8 + 0.1, floor=16 + 0.2)
    in_a_burst, alone = chunk_costs(burst, trickle, short)
    assert (in_a_burst.name, in_a_burst.unit) == ("CPU for a chunk in a burst", "µs")
    assert (*in_a_burst.values, *in_a_burst.floor) == pytest.approx((5, 10))
    assert (*alone.values, *alone.floor) == pytest.approx((200, 400))


def test_where_nobody_counts_there_is_no_figure() -> None:
    found = [scenario(name, chunks, gateway=None, floor=1) for name, chunks in (("b", 500), ("t", 20), ("s", 20))]
    assert chunk_costs(*found) == []
