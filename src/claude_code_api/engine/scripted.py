"""An engine that plays events from a script: no process, no model, no time of its own.

Shipped, so that everything above the engine can be tried and tested without a CLI; it is held to the same conformance
suite as the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from claude_code_api.engine.mailbox import Mailbox
from claude_code_api.flow.ports import EngineOffer, Lease, OfferedModel, Plan, StoreError
from claude_code_api.flow.records import Mode
from claude_code_api.models.fitted import RequestControl
from claude_code_api.turn.approvals import Decision, Verdict
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Ended,
    Failed,
    Phase,
    ToolActivity,
    TurnEvent,
    Usage,
)
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import JsonObject


@dataclass(frozen=True, slots=True)
class WaitFor:
    """A pause in a script: until the event is set, or the turn is interrupted."""

    gate: asyncio.Event


@dataclass(frozen=True, slots=True)
class AskFor:
    """A question to a person in a script, and how it goes on after each of the answers."""

    wanted: ApprovalWanted
    allowed: Sequence[TurnEvent] = ()
    denied: Sequence[TurnEvent] = ()


@dataclass(frozen=True, slots=True)
class PassBeside:
    """So much passes to the model beside the agent, and is counted where it passes."""

    used: Usage


Step: TypeAlias = TurnEvent | WaitFor | AskFor | PassBeside
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
    told: Mapping[str, JsonObject] = field(default_factory=dict)
    reasons: Mapping[Profile, str] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    modes: list[Mode] = field(default_factory=list)

    @property
    def unworkable(self) -> Mapping[Profile, str]:
        """A script does nothing but talk, so it may be anything, unless its owner says otherwise."""
        return self.reasons

    async def told_of(self, model: str) -> JsonObject | None:
        """Say what the script's owner wants said."""
        return self.told.get(model)

    def control(self, workplace: str | None) -> RequestControl:  # noqa: ARG002 - the protocol's
        """Nothing stands beside a request here."""
        return RequestControl()

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

    def ahead(self, principal: str, model: str) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 - the protocol's
        """A script needs nothing beforehand."""
        return nullcontext()

    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Lease]:
        """Play the script into a lease."""
        if self.refusal is not None:
            raise TurnRefusedError(self.refusal)
        self.plans.append(plan)
        self.running += 1
        lease = _ScriptedLease(self.script(plan), self, plan)
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
    def __init__(self, steps: Sequence[Step], engine: ScriptedEngine, plan: Plan) -> None:
        self._steps, self._engine, self._plan = steps, engine, plan
        self._question: ApprovalWanted | None = None
        self._decided = asyncio.Event()
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
            elif isinstance(step, AskFor):
                await self._ask(step)
            elif isinstance(step, PassBeside):
                if self._plan.purse is not None:
                    self._plan.purse.count(step.used)
            else:
                await self._hear(step)
                await self._tell(step)
        if not self.over:
            self._say(_INTERRUPTED)
        self._mailbox.close()

    async def _hear(self, event: TurnEvent) -> None:
        """Let the turn's witness hear of a call before it is made."""
        witness = self._plan.witness
        if witness is not None and isinstance(event, ToolActivity) and event.phase is Phase.STARTED:
            await witness.called(event.tool_id, event.tool_name, event.body)

    async def _on_record(self, wanted: ApprovalWanted) -> bool:
        """Let the witness hear of a call before anybody is asked; one that cannot be kept is not made."""
        witness = self._plan.witness
        if witness is None:
            return True
        try:
            await witness.called(wanted.tool_id, wanted.tool_name, wanted.arguments)
        except StoreError:
            witness.denied(wanted.tool_id, "gateway")
            return False
        return True

    async def _tell(self, event: TurnEvent) -> None:
        self._say(event)
        if self._mailbox.full:
            await self._unless_interrupted(self._mailbox.wait_for_room())

    async def _ask(self, step: AskFor) -> None:
        if not await self._on_record(step.wanted):
            for event in step.denied:
                await self._tell(event)
            return
        self._question = step.wanted
        self._decided.clear()
        self._say(step.wanted)
        await self._unless_interrupted(self._decided.wait())
        if self._question is not None:
            # Interrupted before anybody decided.
            self._question = None
            return
        for event in step.denied if self._engine.verdicts[-1].decision is Decision.DENY else step.allowed:
            await self._tell(event)

    def answer(self, approval_id: str, verdict: Verdict) -> bool:
        asked = self._question
        if asked is None or asked.approval_id != approval_id:
            return False
        self._question = None
        self._engine.verdicts.append(verdict)
        edited = verdict.arguments is not None and verdict.decision is not Decision.DENY
        self._say(ApprovalSettled(approval_id, asked.tool_id, verdict.decision, verdict.by, verdict.message, edited))
        self._decided.set()
        return True

    async def set_mode(self, mode: Mode) -> None:
        self._engine.modes.append(mode)

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
