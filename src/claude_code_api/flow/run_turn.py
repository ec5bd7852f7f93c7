"""The one path of every turn: permit, plan, lease, stream, release.

Whoever opens the context gets the events; leaving it, for whatever reason, is what ends the turn and gives everything
back. Every event is checked against the order table and folded on its way through.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from claude_code_api.flow.access import Caller
from claude_code_api.flow.admission import RETRY_AFTER_S, Admission
from claude_code_api.flow.catalogue import Catalogue
from claude_code_api.flow.options import FlowOptions, IgnoredParams, RemoteParts
from claude_code_api.flow.ports import Clock, Engine, Lease, Plan
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid
from claude_code_api.turn.events import Failed, TurnEvent
from claude_code_api.turn.order import Order, OrderError
from claude_code_api.turn.request import TurnRequest
from claude_code_api.turn.result import Fold, TurnResult

_log = structlog.get_logger("claude_code_api.flow")

# At a shutdown, for the last words to reach the clients. One that does not read must not keep the gateway.
LAST_WORDS_S: Final = 2.0

_DIED: Final = TurnError(ErrorKind.ENGINE_DIED, "The answer ended without an end.", source="engine")


class RunningTurn:
    """A turn on its way through: its events, checked, and what they come to."""

    def __init__(self, plan: Plan, lease: Lease) -> None:
        """Follow a lease."""
        self.plan = plan
        self._lease = lease
        self._fold = Fold()
        self._order = Order()
        self._cause: TurnError | None = None

    @property
    def result(self) -> TurnResult:
        """What the events came to so far."""
        return self._fold.result()

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
                yield self._checked_batch(batch)
                if self._order.over:
                    return
        except Exception as bug:  # noqa: BLE001 - the border to the engine: whatever breaks there, the client is told
            _log.error("turn_broken", turn_id=self.plan.turn_id, exc_info=bug)
            last = _internal(repr(bug))
        yield [self._checked(Failed(self._cause or last))]

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
        try:
            self._order.check(event)
        except OrderError as error:
            # A bug of the engine's; the client gets an end that is true, and the log the reason.
            _log.error("turn_order_broken", turn_id=self.plan.turn_id, reason=str(error))
            event = Failed(_internal(str(error)))
            self._order.check(event)
        self._fold.push(event)
        return event


class TurnRunner:
    """Runs turns. One for the whole gateway."""

    def __init__(self, *, engine: Engine, catalogue: Catalogue, options: FlowOptions, clock: Clock) -> None:
        """Take what a turn needs."""
        self._engine, self._catalogue, self._options, self._clock = engine, catalogue, options, clock
        self.admission = Admission(max_turns=options.max_turns, max_waiting=options.max_waiting, wait_s=options.wait_s)
        self._running: set[RunningTurn] = set()
        self._begun = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurried = False
        self._end: asyncio.Timeout | None = None
        self.draining = False

    @asynccontextmanager
    async def run(self, request: TurnRequest, caller: Caller) -> AsyncIterator[RunningTurn]:
        """Run one turn for the length of the context. Raises `TurnRefusedError` where it cannot begin."""
        self._refuse_when_draining()
        self._refuse_what_would_be_ignored(request)
        self._refuse_what_is_elsewhere(request)
        async with self.admission.permit(), self._counted():
            # It may have waited for its place until after the end was called.
            self._refuse_when_draining()
            plan = await self._plan(request, caller)
            async with self._engine.lease(plan) as lease, self._followed(RunningTurn(plan, lease)) as turn:
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
    async def _followed(self, turn: RunningTurn) -> AsyncIterator[RunningTurn]:
        """Let nobody wait for it for ever: it has a deadline, and the gateway's end ends it."""
        self._running.add(turn)
        deadline = asyncio.get_running_loop().call_later(self._options.turn_s, turn.end_because, self._too_long)
        if self._hurried:
            turn.end_because(_cut_short())
        try:
            yield turn
        finally:
            deadline.cancel()
            self._running.discard(turn)

    def _refuse_when_draining(self) -> None:
        if self.draining:
            raise _shutting_down()

    def _refuse_what_would_be_ignored(self, request: TurnRequest) -> None:
        if request.ignored and self._options.ignored_params is IgnoredParams.REFUSE:
            first = request.ignored[0]
            raise invalid(
                f"`{first}` cannot be honoured, and this gateway is set to refuse it: leave it out.", param=first
            )

    def _refuse_what_is_elsewhere(self, request: TurnRequest) -> None:
        if request.remote_parts and self._options.remote_parts is RemoteParts.REFUSE:
            first = request.remote_parts[0]
            raise invalid(
                f"`{first}` names an image by an http(s) URL, which this gateway does not fetch. Send the image itself "
                'as a data: URL ("data:image/png;base64,...").',
                param=first,
            )

    async def _plan(self, request: TurnRequest, caller: Caller) -> Plan:
        resolved = await self._catalogue.resolve(request.model)
        return Plan(
            turn_id=uuid.uuid4().hex,
            created_s=int(self._clock.now_s()),
            model=resolved.value,
            request=request,
            principal=caller.name,
            effort_levels=resolved.effort_levels,
        )

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


def _cut_short() -> TurnError:
    # Its source says that the turn has reached the engine: a client that sends it again has it run twice.
    message = "The gateway is shutting down and could not wait for the end of this answer."
    return TurnError(ErrorKind.SHUTTING_DOWN, message, source="engine")


def _shutting_down() -> TurnRefusedError:
    message = "The gateway is shutting down; try again in a moment."
    return TurnRefusedError(TurnError(ErrorKind.SHUTTING_DOWN, message, retry_after_s=RETRY_AFTER_S))
