"""An engine that plays events from a script: no process, no model, no time of its own.

Shipped, so that everything above the engine can be tried and tested without a CLI; it is held to the same conformance
suite as the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from claude_code_api.engine.mailbox import Mailbox
from claude_code_api.flow.ports import EngineOffer, Lease, OfferedModel, Plan
from claude_code_api.flow.records import Profile
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import Ended, Failed, TurnEvent


@dataclass(frozen=True, slots=True)
class WaitFor:
    """A pause in a script: until the event is set, or the turn is interrupted."""

    gate: asyncio.Event


Step: TypeAlias = TurnEvent | WaitFor
Script: TypeAlias = Callable[[Plan], Sequence[Step]]

_INTERRUPTED = Failed(TurnError(ErrorKind.INTERRUPTED, "The turn was interrupted.", source="engine"))


@dataclass(slots=True)
class ScriptedEngine:
    """Plays `script(plan)` for every plan; remembers the plans, and which turns were left early."""

    script: Script
    version: str = "scripted"
    models: tuple[OfferedModel, ...] = ()
    credentials: str | None = "script"
    refusal: TurnError | None = None
    plans: list[Plan] = field(default_factory=list)
    left_early: list[str] = field(default_factory=list)
    count: Callable[[Plan], int] = lambda _: 0
    counted: list[Plan] = field(default_factory=list)
    running: int = 0

    @property
    def profiles(self) -> frozenset[Profile]:
        """A script does nothing but talk, so it may be anything."""
        return frozenset(Profile)

    @property
    def live(self) -> int:
        """How many turns are playing: each is what a process would be."""
        return self.running

    async def offer(self) -> EngineOffer:
        """Say what the script's owner wants said."""
        if self.refusal is not None:
            raise TurnRefusedError(self.refusal)
        return EngineOffer(self.version, self.models)

    async def count_tokens(self, plan: Plan) -> int:
        """Count as the script says."""
        if self.refusal is not None:
            raise TurnRefusedError(self.refusal)
        self.counted.append(plan)
        return self.count(plan)

    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Lease]:
        """Play the script into a lease."""
        if self.refusal is not None:
            raise TurnRefusedError(self.refusal)
        self.plans.append(plan)
        self.running += 1
        lease = _ScriptedLease(self.script(plan))
        player = asyncio.create_task(lease.play(), name=f"script of {plan.turn_id}")
        try:
            yield lease
        finally:
            self.running -= 1
            if not lease.over:
                self.left_early.append(plan.turn_id)
            lease.interrupt()
            await player


class _ScriptedLease:
    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._mailbox = Mailbox()
        self._interrupted = asyncio.Event()
        self.over = False

    def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        return self._mailbox.batches()

    def interrupt(self) -> None:
        self._interrupted.set()

    async def play(self) -> None:
        for step in self._steps:
            if self._interrupted.is_set():
                break
            if isinstance(step, WaitFor):
                await self._unless_interrupted(step.gate.wait())
                continue
            self._say(step)
            if self._mailbox.full:
                await self._unless_interrupted(self._mailbox.wait_for_room())
        if not self.over:
            self._say(_INTERRUPTED)
        self._mailbox.close()

    def _say(self, event: TurnEvent) -> None:
        self.over = self.over or isinstance(event, (Ended, Failed))
        self._mailbox.offer(event)

    async def _unless_interrupted(self, waiting: Coroutine[Any, Any, object]) -> None:
        tasks = (asyncio.ensure_future(waiting), asyncio.ensure_future(self._interrupted.wait()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
