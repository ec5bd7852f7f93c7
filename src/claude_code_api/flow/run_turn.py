"""The one path of every turn: permit, record, plan, lease, stream, record, release.

Whoever opens the context gets the events; leaving it, for whatever reason, is what ends the turn and gives everything
back. Every event is checked against the order table and folded on its way through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Final

import structlog

from claude_code_api.flow.access import Caller
from claude_code_api.flow.admission import RETRY_AFTER_S, Admission
from claude_code_api.flow.approvals import Approvals
from claude_code_api.flow.budgets import purse_for
from claude_code_api.flow.catalogue import Catalogue, Resolved
from claude_code_api.flow.ledger import Entry, Ledger, store_refusal
from claude_code_api.flow.model_facts import ModelFacts
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.places import Ask
from claude_code_api.flow.ports import Clock, Engine, Lease, Plan, StoreError
from claude_code_api.flow.purse import Purse
from claude_code_api.flow.records import IdempotencyKey, Mode
from claude_code_api.flow.refusals import (
    refuse_what_is_elsewhere,
    refuse_what_would_be_changed,
    refuse_what_would_be_ignored,
)
from claude_code_api.flow.running_turn import RunningTurn
from claude_code_api.flow.shaped_lease import ShapedLease
from claude_code_api.flow.tally import Tally
from claude_code_api.models.capabilities import Capabilities
from claude_code_api.models.fit import fit
from claude_code_api.models.fitted import Fitted
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.request import TurnRequest

_log = structlog.get_logger("claude_code_api.flow")

# At a shutdown, for the last words to reach the clients. One that does not read must not keep the gateway.
LAST_WORDS_S: Final = 2.0
# Somebody who deletes a session is not kept by a reader of it that does not read its last words.
QUIET_S: Final = 5.0


class TurnRunner:
    """Runs turns. One for the whole gateway."""

    def __init__(
        self, *, engine: Engine, catalogue: Catalogue, ledger: Ledger, options: FlowOptions, clock: Clock
    ) -> None:
        """Take what a turn needs."""
        self._engine, self._catalogue, self._ledger = engine, catalogue, ledger
        self._options, self._clock = options, clock
        self.model_facts = ModelFacts(engine, options)
        self.admission = Admission(max_turns=options.max_turns, max_waiting=options.max_waiting, wait_s=options.wait_s)
        self.tally = Tally()
        self.approvals = Approvals(clock, wait_s=options.approval_s)
        self._running: set[RunningTurn] = set()
        self._begun = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurried = False
        self._end: asyncio.Timeout | None = None
        self.draining = False

    @asynccontextmanager
    async def run(
        self,
        request: TurnRequest,
        caller: Caller,
        dialect: str,
        *,
        idempotency: IdempotencyKey | None = None,
        beside: Entry | None = None,
        keep_events: bool = False,
    ) -> AsyncIterator[RunningTurn]:
        """Run one turn for the length of the context. Raises `TurnRefusedError` where it cannot begin."""
        came_s = self._clock.monotonic_s()
        self._refuse_when_draining()
        refuse_what_would_be_ignored(request, self._options)
        refuse_what_is_elsewhere(request, self._options)
        async with self.admission.permit(caller.name, caller.rates), self._counted():
            # It may have waited for its place until after the end was called.
            self._refuse_when_draining()
            resolved = await self._catalogue.resolve(request.model, only=caller.models)
            # What can be told from the request alone is refused before anything of it is kept.
            accepts = await self.model_facts.of(resolved)
            self._fitted(request, accepts, None)
            ask = Ask(request, caller, dialect, resolved.value, idempotency, beside, resolved.model, came_s)
            async with self._ahead(ask) as ahead, self._ledger.entry(ask) as entry:
                entry.keep_events = keep_events
                models, purse = await self._models_of(caller), await self._purse_for(caller, resolved, entry)
                fitted = self._fitted(entry.request, accepts, entry.work.workplace)
                plan = replace(self._plan(entry, resolved, models, purse), request=fitted.request, ahead=ahead)
                async with self._engine.lease(plan) as lease, self._followed(plan, lease, entry, fitted) as turn:
                    yield turn

    def _fitted(self, request: TurnRequest, model: Capabilities, workplace: str | None) -> Fitted:
        """Make it a request that the model accepts."""
        fitted = fit(request, model, self._engine.control(workplace))
        refuse_what_would_be_changed(fitted, model, self._options)
        return fitted

    def _ahead(self, ask: Ask) -> AbstractAsyncContextManager[object | None]:
        """Let the engine make ready while the question is being kept; an agent's process is made for its project."""
        if ask.request.project_id is not None:
            return nullcontext()
        return self._engine.ahead(ask.owner, ask.model)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._begun += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._begun -= 1
            if not self._begun:
                self._idle.set()

    @asynccontextmanager
    async def _followed(self, plan: Plan, lease: Lease, entry: Entry, fitted: Fitted) -> AsyncIterator[RunningTurn]:
        """Give it a deadline; the gateway's end ends it as well."""
        # An agent's work is not done twice for the form of what it says about it.
        shape = fitted.shape if plan.workplace is None else replace(fitted.shape, json=None)
        shaped = None if shape.plain else ShapedLease(self._engine, plan, lease, shape)
        turn = RunningTurn(plan, shaped or lease, entry, self._clock, self.tally, self.approvals)
        turn.ignored, turn.shaped = (*entry.request.ignored, *fitted.changed), shaped
        self._running.add(turn)
        deadline = asyncio.get_running_loop().call_later(self._options.turn_s, turn.end_because, self._too_long)
        if self._hurried:
            turn.end_because(_cut_short())
        try:
            yield turn
        finally:
            deadline.cancel()
            self._running.discard(turn)
            await turn.leave()

    def _refuse_when_draining(self) -> None:
        if self.draining:
            raise _shutting_down()

    async def _purse_for(self, caller: Caller, resolved: Resolved, entry: Entry) -> Purse | None:
        try:
            return await purse_for(caller, resolved.model, entry.work.profile, self._ledger.store, self._clock.now_s())
        except StoreError as error:
            raise store_refusal(error) from error

    async def _models_of(self, caller: Caller) -> frozenset[str] | None:
        """Say under which names the models that a key was given may be asked; None: any may be."""
        if caller.models is None:
            return None
        models = await self._catalogue.among(caller.models)
        return frozenset(name for model in models for name in (model.id, model.value, *model.aliases))

    def _plan(self, entry: Entry, resolved: Resolved, models: frozenset[str] | None, purse: Purse | None) -> Plan:
        return Plan(
            turn_id=entry.turn_id,
            created_s=int(entry.created_s),
            model=resolved.value,
            request=entry.request,
            principal=entry.owner,
            workplace=entry.work.workplace,
            profile=entry.work.profile,
            mode=entry.work.mode,
            trusted=entry.work.trusted,
            witness=entry.calls,
            models=models,
            purse=purse,
        )

    def interrupt(self, session_id: str, owner: str) -> int:
        """End the turns that run in a session; says how many."""
        found = self.running_in(session_id, owner)
        for turn in found:
            turn.end_because(_interrupted())
        return len(found)

    async def set_mode(self, session_id: str, owner: str, mode: Mode) -> int:
        """Change whom the agents that run in a session ask; says how many there are."""
        found = self.running_in(session_id, owner)
        for turn in found:
            await turn.set_mode(mode)
        return len(found)

    async def quiet(self, session_id: str, owner: str) -> None:
        """End the turns that run in a session, and wait until that is written down."""
        self.interrupt(session_id, owner)
        ends = [asyncio.ensure_future(turn.settled.wait()) for turn in self.running_in(session_id, owner)]
        if ends:
            _, late = await asyncio.wait(ends, timeout=QUIET_S)
            for end in late:
                end.cancel()

    def running_in(self, session_id: str, owner: str) -> list[RunningTurn]:
        """Return the turns that run in a session."""
        return [turn for turn in self._running if (turn.session_id, turn.owner) == (session_id, owner)]

    @property
    def _too_long(self) -> TurnError:
        message = f"The turn took longer than {self._options.turn_s:g} seconds."
        return TurnError(ErrorKind.UPSTREAM_TIMEOUT, message, source="engine")

    async def drain(self, patience_s: float) -> None:
        """Take no new turns; wait for the running ones, then end those that are left with an error of their own."""
        self.draining = True
        patience = asyncio.get_running_loop().call_later(patience_s, self.hurry)
        try:
            async with asyncio.timeout(None) as self._end:
                if self._hurried:
                    self.hurry()
                await self._idle.wait()
        except TimeoutError:
            _log.warning("turns_not_read_to_their_end", count=self._begun)
        finally:
            patience.cancel()
            self._end = None

    def hurry(self) -> None:
        """End every turn now, also those that are only just beginning."""
        self._hurried = True
        if self._end is not None:
            self._end.reschedule(asyncio.get_running_loop().time() + LAST_WORDS_S)
        for turn in tuple(self._running):
            turn.end_because(_cut_short())


def _interrupted() -> TurnError:
    return TurnError(ErrorKind.INTERRUPTED, "The turn was interrupted, as was asked for.", source="engine")


def _cut_short() -> TurnError:
    # Its source says that the turn has reached the engine: a client that sends it again has it run twice.
    message = "The gateway is shutting down and could not wait for the end of this answer."
    return TurnError(ErrorKind.SHUTTING_DOWN, message, source="engine")


def _shutting_down() -> TurnRefusedError:
    message = "The gateway is shutting down; try again in a moment."
    return TurnRefusedError(TurnError(ErrorKind.SHUTTING_DOWN, message, retry_after_s=RETRY_AFTER_S))
