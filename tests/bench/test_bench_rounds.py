"""Rounds: who takes part. Systems here are as small as their protocol allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest

from claude_code_api.bench.measure import BenchError, Client, Conversation, Kind, Scenario, Turn
from claude_code_api.bench.processes import Server
from claude_code_api.bench.rounds import Upstream, run_together


@dataclass
class Asked:
    """A client that gets an answer, or none."""

    problem: str = ""

    async def turn(self) -> Turn:
        if self.problem:
            raise BenchError(self.problem)
        return Turn((1.0, 2.0), 3.0)

    async def rest(self) -> None:
        """Nothing is to be done."""

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class Someone:
    name: str
    problem: str = ""

    async def connect(self, _: Conversation) -> Client:
        return Asked(self.problem)

    def cpu_s(self, _: Sequence[Client]) -> float | None:
        return 1.0


class Steps:
    def step(self, what: str) -> None:
        """Nobody looks."""


class Recorder:
    """The stand-in's side, as far as it is asked."""

    async def get(self, path: str, method: str = "GET") -> list[Any]:
        return []


def calling() -> Scenario:
    return Scenario("tool", "", Conversation((), "?", Kind.TOOL), 1, 2, [])


async def test_a_stranger_that_cannot_do_it_is_left_out_and_named() -> None:
    scenario, upstream = calling(), Upstream(cast(Server, Recorder()), frozenset({"other"}))
    await run_together([scenario], [Someone("floor"), Someone("other", "a 422")], upstream, 2, Steps())
    assert [series.system for series in scenario.series] == ["floor"]
    assert len(scenario.series[0].turns) == 2
    assert upstream.left_out == ["tool: other is left out, because of a 422"]


async def test_one_of_ours_that_cannot_do_it_is_a_failure() -> None:
    upstream = Upstream(cast(Server, Recorder()), frozenset({"other"}))
    with pytest.raises(BenchError, match="a 422"):
        await run_together([calling()], [Someone("floor"), Someone("gateway", "a 422")], upstream, 2, Steps())
