"""The one path of every turn: permit, record, plan, lease, stream, record, release.

Whoever opens the context gets the events; leaving it, for whatever reason, is what ends the turn and gives everything
back. Every event is checked against the order table and folded on its way through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import structlog

from claude_code_api.flow.access import Caller
from claude_code_api.flow.admission import RETRY_AFTER_S, Admission
from claude_code_api.flow.catalogue import Catalogue, Resolved
from claude_code_api.flow.ledger import Entry, Ledger, state_of, store_refusal
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.places import Ask
from claude_code_api.flow.ports import Clock, Engine, Lease, Plan, StaleError, StoreError
from claude_code_api.flow.records import IdempotencyKey
from claude_code_api.flow.refusals import refuse_what_is_elsewhere, refuse_what_would_be_ignored
from claude_code_api.flow.tally import Tally
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import Failed, PartDelta, Started, TurnEvent
from claude_code_api.turn.order import Order, OrderError
from claude_code_api.turn.request import TurnRequest
from claude_code_api.turn.result import Fold, TurnResult

_log = structlog.get_logger("claude_code_api.flow")

# At a shutdown, for the last words to reach the clients. One that does not read must not keep the gateway.
LAST_WORDS_S: Final = 2.0
# Somebody who deletes a session is not kept by a reader of it that does not read its last words.
QUIET_S: Final = 5.0

_DIED: Final = TurnError(ErrorKind.ENGINE_DIED, "The answer ended without an end.", source="engine")
_LEFT: Final = TurnError(ErrorKind.INTERRUPTED, "The client left before the end of the answer.", source="client")


class RunningTurn:
    """A turn on its way through: its events, checked, and what they come to."""

    def __init__(self, plan: Plan, lease: Lease, entry: Entry, clock: Clock, tally: Tally) -> None:
        """Follow a lease, and write down in the ledger what comes of it."""
        self.plan, self.entry = plan, entry
        self._lease, self._clock, self._tally = lease, clock, tally
        self._began_s = clock.monotonic_s()
        self._first_token_ms: float | None = None
        self._fold = Fold()
        self._order = Order()
        self._cause: TurnError | None = None
        # Why its end could not be written down: then it does not count, whatever the model said.
        self._not_kept: TurnError | None = None
        # Set once its end is written down, or could not be.
        self.settled = asyncio.Event()

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self.entry.turn_id

    @property
    def session_id(self) -> str:
        """The session that it belongs to."""
        return self.entry.session_id

    @property
    def project_id(self) -> str | None:
        """The project that it belongs to."""
        return self.entry.project_id

    @property
    def turn_number(self) -> int:
        """Which turn of its session it is."""
        return self.entry.turn_number

    @property
    def result(self) -> TurnResult:
        """What the events came to so far."""
        result = self._fold.result()
        return result if self._not_kept is None else replace(result, ended=None, error=self._not_kept)

    def over_after(self, known: int) -> bool:  # noqa: ARG002 - of a turn that is read as it runs, nothing is known before
        """Whether nothing comes after its first `known` events."""
        return self._order.over

    def end_because(self, cause: TurnError) -> None:
        """Interrupt it; its reader is told `cause`."""
        if self._cause is None and not self._order.over:
            self._cause = cause
            self._lease.interrupt()

    async def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield the events as they come. The last one is terminal, whatever the engine does."""
        last = _DIED
        try:
            async for batch in self._lease.batches():
                checked = self._checked_batch(batch)
                if self._order.over:
                    async for part in self._ending(checked):
                        yield part
                    return
                self.entry.add(checked)
                yield checked
        except Exception as bug:  # noqa: BLE001 - the border to the engine: whatever breaks there, the client is told
            _log.error("turn_broken", turn_id=self.plan.turn_id, exc_info=bug)
            last = _internal(repr(bug))
        if not self._order.over:
            async for part in self._ending([self._checked(Failed(self._cause or last))]):
                yield part

    async def _ending(self, batch: Sequence[TurnEvent]) -> AsyncIterator[Sequence[TurnEvent]]:
        """Tell the last words; and the end only once it is written down."""
        self.entry.add(batch)
        *words, end = batch
        if words:
            yield words
        yield [await self._written(end)]

    async def _written(self, end: TurnEvent) -> TurnEvent:
        self._count(left=False)
        try:
            await self.entry.close(self.result, first_token_ms=self._first_token_ms)
        except StoreError as error:
            _log.error("turn_end_not_written", turn_id=self.plan.turn_id, reason=str(error))
            self._not_kept = replace(store_refusal(error).error, source="engine")
        except StaleError:
            self._not_kept = _overtaken()
        finally:
            self.settled.set()
        return end if self._not_kept is None else Failed(self._not_kept)

    def _count(self, *, left: bool) -> None:
        result = self.result
        self._tally.count(self.entry.dialect, state_of(result, left=left), result, self._first_token_ms)

    async def leave(self) -> None:
        """Nobody reads on: write down what was said so far."""
        if not self._order.over:
            self._fold.push(Failed(self._cause or _LEFT))
            self._count(left=self._cause is None)
            try:
                await self.entry.close(self.result, left=self._cause is None, first_token_ms=self._first_token_ms)
            except (StoreError, StaleError) as error:
                _log.error("turn_end_not_written", turn_id=self.plan.turn_id, reason=str(error))
        self.settled.set()

    def _checked_batch(self, batch: Sequence[TurnEvent]) -> Sequence[TurnEvent]:
        checked = []
        for event in batch:
            checked.append(self._checked(event))
            if self._order.over:
                break
        return checked

    def _checked(self, event: TurnEvent) -> TurnEvent:
        if isinstance(event, Failed) and self._cause is not None:
            event = Failed(self._cause)
        elif isinstance(event, Started):
            event = replace(event, session_id=self.session_id)
        try:
            self._order.check(event)
        except OrderError as error:
            # A bug of the engine's; the client gets an end that is true, and the log the reason.
            _log.error("turn_order_broken", turn_id=self.plan.turn_id, reason=str(error))
            event = Failed(_internal(str(error)))
            self._order.check(event)
        if self._first_token_ms is None and isinstance(event, PartDelta):
            self._first_token_ms = round((self._clock.monotonic_s() - self._began_s) * 1000, 1)
        self._fold.push(event)
        return event


class TurnRunner:
    """Runs turns. One for the whole gateway."""

    def __init__(
        self, *, engine: Engine, catalogue: Catalogue, ledger: Ledger, options: FlowOptions, clock: Clock
    ) -> None:
        """Take what a turn needs."""
        self._engine, self._catalogue, self._ledger = engine, catalogue, ledger
        self._options, self._clock = options, clock
        self.admission = Admission(max_turns=options.max_turns, max_waiting=options.max_waiting, wait_s=options.wait_s)
        self.tally = Tally()
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
        self._refuse_when_draining()
        refuse_what_would_be_ignored(request, self._options)
        refuse_what_is_elsewhere(request, self._options)
        async with self.admission.permit(caller.name), self._counted():
            # It may have waited for its place until after the end was called.
            self._refuse_when_draining()
            resolved = await self._catalogue.resolve(request.model)
            ask = Ask(request, caller, dialect, resolved.value, idempotency, beside)
            async with self._ledger.entry(ask) as entry:
                entry.keep_events = keep_events
                plan = self._plan(entry, resolved)
                async with self._engine.lease(plan) as lease, self._followed(plan, lease, entry) as turn:
                    yield turn

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
    async def _followed(self, plan: Plan, lease: Lease, entry: Entry) -> AsyncIterator[RunningTurn]:
        """Let nobody wait for it for ever: it has a deadline, and the gateway's end ends it."""
        turn = RunningTurn(plan, lease, entry, self._clock, self.tally)
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

    def _plan(self, entry: Entry, resolved: Resolved) -> Plan:
        return Plan(
            turn_id=entry.turn_id,
            created_s=int(entry.created_s),
            model=resolved.value,
            request=entry.request,
            principal=entry.owner,
            workplace=entry.work.workplace,
            profile=entry.work.profile,
            effort_levels=resolved.effort_levels,
        )

    def interrupt(self, session_id: str, owner: str) -> int:
        """End the turns that run in a session; says how many."""
        found = self._running_in(session_id, owner)
        for turn in found:
            turn.end_because(_interrupted())
        return len(found)

    async def quiet(self, session_id: str, owner: str) -> None:
        """End the turns that run in a session, and wait until that is written down."""
        self.interrupt(session_id, owner)
        ends = [asyncio.ensure_future(turn.settled.wait()) for turn in self._running_in(session_id, owner)]
        if ends:
            _, late = await asyncio.wait(ends, timeout=QUIET_S)
            for end in late:
                end.cancel()

    def _running_in(self, session_id: str, owner: str) -> list[RunningTurn]:
        return [turn for turn in self._running if (turn.session_id, turn.entry.owner) == (session_id, owner)]

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


def _internal(detail: str) -> TurnError:
    return TurnError(ErrorKind.INTERNAL, "The gateway failed; the log says why.", detail, source="engine")


def _interrupted() -> TurnError:
    return TurnError(ErrorKind.INTERRUPTED, "The turn was interrupted, as was asked for.", source="engine")


def _overtaken() -> TurnError:
    message = "The session was deleted, or taken over by another gateway, before the answer was whole."
    return TurnError(ErrorKind.INTERRUPTED, message, source="engine")


def _cut_short() -> TurnError:
    # Its source says that the turn has reached the engine: a client that sends it again has it run twice.
    message = "The gateway is shutting down and could not wait for the end of this answer."
    return TurnError(ErrorKind.SHUTTING_DOWN, message, source="engine")


def _shutting_down() -> TurnRefusedError:
    message = "The gateway is shutting down; try again in a moment."
    return TurnRefusedError(TurnError(ErrorKind.SHUTTING_DOWN, message, retry_after_s=RETRY_AFTER_S))
