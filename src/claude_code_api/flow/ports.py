"""What this room needs of others, as protocols, and what it hands to them.

An implementation lives in a room above (`engine`, `storage`); `app.py` puts them together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from claude_code_api.turn.events import TurnEvent
from claude_code_api.turn.request import TurnRequest


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engine is to do: answer `request` with the model `model`, under the id `turn_id`.

    The request carries its whole history, so every plan can be carried out by a process that knows nothing yet.
    """

    turn_id: str
    created_s: int
    model: str
    request: TurnRequest
    # Whose turn it is: a process that served one is never handed to another.
    principal: str = ""
    # How hard this model can be asked to think; empty for one that takes a budget instead.
    effort_levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model as the installed CLI offers it: the short name it takes, and what that stands for."""

    value: str
    resolved: str
    title: str
    description: str = ""
    effort_levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineOffer:
    """What the engine says of itself, once it has been asked."""

    version: str
    models: tuple[OfferedModel, ...] = ()


class Lease(Protocol):
    """A turn in progress. It is over when its events are, or when its context is left."""

    def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield what has come since the last time, as soon as something has; the last event is terminal."""
        ...

    def interrupt(self) -> None:
        """Ask for the end; the events then come to theirs."""
        ...


class Engine(Protocol):
    """Something that answers turns."""

    def lease(self, plan: Plan) -> AbstractAsyncContextManager[Lease]:
        """Begin a turn. Leaving the context early ends it: the model stops, nothing is left behind."""
        ...

    async def offer(self) -> EngineOffer:
        """Say what there is; raises `TurnRefusedError` when the engine cannot work."""
        ...

    @property
    def credentials(self) -> str | None:
        """Where the credentials come from, by name; None when there are none."""
        ...


class Clock(Protocol):
    """Time, so that a test can hold it."""

    def now_s(self) -> float:
        """Unix time."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only go forward."""
        ...
