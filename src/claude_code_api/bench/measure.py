"""What a measurement is: nouns and arithmetic. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Protocol

from claude_code_api.turn.request import Message


class BenchError(Exception):
    """Something that was to be measured did not work; the text says what."""


class Kind(Enum):
    """What one turn of a client is."""

    # The same request again and again.
    PLAIN = "plain"
    # Each turn carries on from the last one's answer.
    GROWING = "growing"
    # A question that is answered with a call, and the call's result.
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is asked: the history before the question, and the question."""

    history: tuple[Message, ...]
    question: str
    kind: Kind = Kind.PLAIN
    # What the model says, where that is part of a later request.
    answer: str = ""

    @property
    def size(self) -> int:
        """The number of messages, the question included."""
        return len(self.history) + 1


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer as its reader saw it: milliseconds since the request was handed over."""

    chunks_ms: tuple[float, ...]
    total_ms: float

    @property
    def first_ms(self) -> float:
        """The first token."""
        return self.chunks_ms[0]

    @property
    def gaps_ms(self) -> list[float]:
        """The time between one chunk and the next."""
        return [after - before for before, after in pairwise(self.chunks_ms)]


@dataclass(frozen=True, slots=True)
class Wave:
    """Turns that were asked for at the same moment."""

    wall_ms: float
    turns: tuple[Turn, ...]


@dataclass(slots=True)
class Series:
    """All that one system did in one scenario."""

    system: str
    waves: list[Wave]
    cpu_s: float | None = None

    @property
    def turns(self) -> list[Turn]:
        """The turns of all waves."""
        return [turn for wave in self.waves for turn in wave.turns]

    @property
    def first_ms(self) -> list[float]:
        """The first tokens."""
        return [turn.first_ms for turn in self.turns]

    @property
    def total_ms(self) -> list[float]:
        """The totals."""
        return [turn.total_ms for turn in self.turns]

    @property
    def gaps_ms(self) -> list[float]:
        """The gaps of all turns together."""
        return [gap for turn in self.turns for gap in turn.gaps_ms]

    @property
    def chunks(self) -> list[int]:
        """How many chunks each turn had."""
        return [len(turn.chunks_ms) for turn in self.turns]

    @property
    def requests_per_s(self) -> list[float]:
        """The rate of each wave."""
        return [len(wave.turns) / wave.wall_ms * 1000 for wave in self.waves]

    @property
    def cpu_per_turn_ms(self) -> float | None:
        """CPU time of the whole scenario over its turns."""
        return None if self.cpu_s is None or not self.waves else self.cpu_s * 1000 / len(self.turns)

    @property
    def cpu_per_chunk_us(self) -> float | None:
        """CPU time of the whole scenario over its chunks; what a turn costs before its first chunk is in it."""
        return None if self.cpu_s is None or not self.waves else self.cpu_s * 1e6 / sum(self.chunks)


@dataclass(slots=True)
class Scenario:
    """A scenario with what came out of it. `width`: how many turns run at once."""

    name: str
    about: str
    conversation: Conversation
    width: int
    rounds: int
    series: list[Series]

    def turn_of(self, system: str) -> tuple[float, float] | None:
        """The CPU of one turn of a system, in ms, and how many chunks it has."""
        for one in self.series:
            if one.system == system and one.cpu_per_turn_ms is not None:
                return one.cpu_per_turn_ms, median(one.chunks)
        return None


@dataclass(frozen=True, slots=True)
class Repeated:
    """A figure that was taken several times, and the same of the floor."""

    name: str
    unit: str
    values: tuple[float, ...]
    floor_name: str = ""
    floor: tuple[float, ...] = ()


def chunk_costs(burst: Scenario, trickle: Scenario, short: Scenario) -> list[Repeated]:
    """What a chunk alone costs a system, in a burst and when it comes alone: the turn's own cost is taken off.

    A short turn has a few chunks at once, so what a burst costs more is for its further chunks.
    """
    found: dict[str, list[tuple[float, ...]]] = {"in a burst": [], "alone": []}
    for name in ("gateway", "floor"):
        of_burst, of_trickle, of_short = (scenario.turn_of(name) for scenario in (burst, trickle, short))
        if of_burst is None or of_trickle is None or of_short is None:
            return []
        each_us = (of_burst[0] - of_short[0]) * 1000 / (of_burst[1] - of_short[1])
        turn_ms = of_short[0] - of_short[1] * each_us / 1000
        found["in a burst"].append((each_us,))
        found["alone"].append(((of_trickle[0] - turn_ms) * 1000 / of_trickle[1],))
    return [Repeated(f"CPU for a chunk {how}", "µs", own, "one live CLI", cli) for how, (own, cli) in found.items()]


class Client(Protocol):
    """Somebody who asks one question at a time."""

    async def turn(self) -> Turn:
        """Ask, and read the answer to its end. This is the timed part."""
        ...

    async def rest(self) -> None:
        """Do what has to be done before the next turn; not timed."""
        ...

    async def close(self) -> None:
        """Leave nothing behind."""
        ...


class System(Protocol):
    """One of the things that are compared."""

    @property
    def name(self) -> str:
        """Its name in the report."""
        ...

    async def connect(self, conversation: Conversation) -> Client:
        """Get ready to have this conversation, again and again; not timed."""
        ...

    def cpu_s(self, clients: Sequence[Client]) -> float | None:
        """CPU time used so far by the processes behind these clients; None where nobody looks."""
        ...


def percentile(values: Iterable[float], percent: float) -> float:
    """Interpolate between the two nearest values."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median(values: Sequence[float]) -> float:
    """Return the middle."""
    return percentile(values, 50)


def ratio(value: float, floor: float) -> float | None:
    """Compare with the floor; None where the floor is too near to nothing to compare with."""
    return value / floor if floor >= 0.01 else None
