"""A turn on its way through: every event is checked against the order table and folded, and its end is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from claude_code_api.flow.approvals import Approvals
from claude_code_api.flow.ledger import Entry, state_of, store_refusal
from claude_code_api.flow.ports import Clock, Lease, Plan, StaleError, StoreError
from claude_code_api.flow.purse import purse_is_empty
from claude_code_api.flow.records import Mode
from claude_code_api.flow.shaped_lease import ShapedLease
from claude_code_api.flow.tally import Tally
from claude_code_api.models.api_words import refusal_in
from claude_code_api.turn.approvals import Verdict
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Ended,
    Failed,
    PartDelta,
    Started,
    TurnEvent,
    Usage,
)
from claude_code_api.turn.order import Order, OrderError
from claude_code_api.turn.result import Fold, TurnResult

_log = structlog.get_logger("claude_code_api.flow")

_DIED: Final = TurnError(ErrorKind.ENGINE_DIED, "The answer ended without an end.", source="engine")
_LEFT: Final = TurnError(ErrorKind.INTERRUPTED, "The client left before the end of the answer.", source="client")


class RunningTurn:
    """A turn on its way through: its events, checked, and what they come to."""

    def __init__(
        self,
        plan: Plan,
        lease: Lease,
        entry: Entry,
        clock: Clock,
        tally: Tally,
        approvals: Approvals,
    ) -> None:
        """Follow a lease, and write down in the ledger what comes of it."""
        self.plan, self.entry = plan, entry
        self._lease, self._clock, self._tally, self._approvals = lease, clock, tally, approvals
        self._began_s = clock.monotonic_s()
        self._first_token_ms: float | None = None
        self._fold = Fold()
        self._order = Order()
        self._cause: TurnError | None = None
        # Why its end could not be written down: then it does not count, whatever the model said.
        self._not_kept: TurnError | None = None
        # The client's fields that are not honoured as they were sent.
        self.ignored: tuple[str, ...] = plan.request.ignored
        self.shaped: ShapedLease | None = None
        # Set once its end is written down, or could not be.
        self.settled = asyncio.Event()
        if plan.purse is not None:
            plan.purse.on_empty = lambda: self.end_because(purse_is_empty())

    @property
    def structured(self) -> str | None:
        """How an answer in a form that was asked for has come to it; None: none was, or it is not known yet."""
        if self.shaped is not None and self.shaped.outcome is not None:
            return self.shaped.outcome.value
        config = self.plan.request.as_is.get("output_config")
        enforced = isinstance(config, Mapping) and "format" in config
        return "native" if enforced and (self.shaped is None or not self.shaped.checks) else None

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self.entry.turn_id

    @property
    def session_id(self) -> str:
        """The session that it belongs to."""
        return self.entry.session_id

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.entry.owner

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
        if self.plan.purse is not None:
            # An agent that was stopped does not tell everything.
            result = replace(result, usage=self.plan.purse.whole(result.usage))
        return result if self._not_kept is None else replace(result, ended=None, error=self._not_kept)

    def over_after(self, known: int) -> bool:  # noqa: ARG002 - of a turn that is read as it runs, nothing is known before
        """Whether nothing comes after its first `known` events."""
        return self._order.over

    def end_because(self, cause: TurnError) -> None:
        """Interrupt it; its reader is told `cause`."""
        if self._cause is None and not self._order.over:
            self._cause = cause
            self._lease.interrupt()

    def answer(self, approval_id: str, verdict: Verdict) -> bool:
        """Decide about a call of its agent's; False: the call waits no longer."""
        taken = not self._order.over and self._lease.answer(approval_id, verdict)
        if taken:
            self.entry.calls.answered(approval_id, verdict.arguments)
        return taken

    async def set_mode(self, mode: Mode) -> None:
        """Change whom its agent asks."""
        await self._lease.set_mode(mode)

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
            async for part in self._ending(self._checked_batch([Failed(self._cause or last)])):
                yield part

    async def _ending(self, batch: Sequence[TurnEvent]) -> AsyncIterator[Sequence[TurnEvent]]:
        """Tell the last words; and the end only once it is written down."""
        self.entry.add(batch)
        *words, end = batch
        if words:
            yield words
        yield [await self._written(end)]

    async def _written(self, end: TurnEvent) -> TurnEvent:
        try:
            await self.entry.close(self.result, first_token_ms=self._first_token_ms)
        except StoreError as error:
            _log.error("turn_end_not_written", turn_id=self.plan.turn_id, reason=str(error))
            self._not_kept = replace(store_refusal(error).error, source="engine")
        except StaleError:
            self._not_kept = _overtaken()
        finally:
            # As it was told: an end that could not be written down is none.
            self._count(left=False)
            self.settled.set()
        return end if self._not_kept is None else Failed(self._not_kept)

    def _count(self, *, left: bool) -> None:
        result = self.result
        self._tally.count(self.entry.dialect, state_of(result, left=left), result, self._first_token_ms)

    async def leave(self) -> None:
        """Nobody reads on: write down what was said so far."""
        for settled in self._approvals.left_by(self):
            self._approvals.closed(settled.approval_id)
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
            if isinstance(event, (Ended, Failed)):
                checked += [self._checked(settled) for settled in self._approvals.left_by(self)]
            checked.append(self._checked(event))
            if self._order.over:
                break
        return checked

    def _checked(self, event: TurnEvent) -> TurnEvent:
        if isinstance(event, Failed):
            event = Failed(self._cause or self._blamed(event.error))
        elif isinstance(event, Started):
            event = replace(event, session_id=self.session_id)
        elif isinstance(event, ApprovalWanted):
            event = self._approvals.opened(self, event)
        elif isinstance(event, ApprovalSettled):
            self._approvals.closed(event.approval_id)
        elif isinstance(event, Usage) and self.plan.purse is not None:
            self.plan.purse.told(event)
            event = self.plan.purse.whole(event) or event
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
        self.entry.calls.saw(event)
        return event

    def _blamed(self, error: TurnError) -> TurnError:
        """Name the client's field that the model's API refused, and count by which of its rules it did."""
        if error.kind is not ErrorKind.UPSTREAM_INVALID:
            return error
        refusal = refusal_in(error.message)
        self._tally.refusals[refusal.rule] += 1
        _log.warning("model_refused", turn_id=self.plan.turn_id, rule=refusal.rule, model=self.plan.model)
        request = self.plan.request
        field = refusal.api_field if request.exact else request.field_names.get(refusal.field or "", refusal.field)
        return replace(error, param=field)


def _internal(detail: str) -> TurnError:
    return TurnError(ErrorKind.INTERNAL, "The gateway failed; the log says why.", detail, source="engine")


def _overtaken() -> TurnError:
    message = "The session was deleted, or taken over by another gateway, before the answer was whole."
    return TurnError(ErrorKind.INTERRUPTED, message, source="engine")
