"""What is written of a turn, and when: T0 before it begins, T3 while it runs, T4 before its end is told.

Nothing is answered before the question is kept, and no end is told before the answer is. A turn that has been taken
ends in exactly one state, whatever happens to it: the context of its entry sees to that, and `recover`, after a crash.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import orjson
import structlog

from claude_code_api.flow.access import Caller
from claude_code_api.flow.budgets import budget_refusal, charge_for, reservation_for
from claude_code_api.flow.conversation import Continuation, heard, shown_answer, title_of
from claude_code_api.flow.event_text import event_of
from claude_code_api.flow.journal import Journal
from claude_code_api.flow.on_record import CallsOnRecord
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.places import Ask, Place, Places, Work
from claude_code_api.flow.ports import BudgetError, Clock, StaleError, Store, StoreError
from claude_code_api.flow.records import Acceptance, Compaction, StoredMessage, Turn, TurnEnd, TurnState
from claude_code_api.flow.writers import Writers, busy
from claude_code_api.turn.answer import Said, can_be_gone_on_from, said_in
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import Compacted, Failed, TurnEvent
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TurnRequest
from claude_code_api.turn.result import TurnResult, fold

_log = structlog.get_logger("claude_code_api.flow")

# Somebody else, on another machine, went on with the session in between: look again, but not for ever.
TRIES: Final = 3
STORE_RETRY_AFTER_S: Final = 5.0
# Space is made by a person, or by a rotation of files: not within seconds.
FULL_RETRY_AFTER_S: Final = 60.0
# Ends that could not be written, kept in memory until they can be.
MAX_UNWRITTEN: Final = 1000
_ENDED_FROM_OUTSIDE: Final = frozenset({ErrorKind.INTERRUPTED, ErrorKind.SHUTTING_DOWN})


class Entry:
    """One turn in the ledger."""

    def __init__(self, ledger: Ledger, ask: Ask, turn: Turn, place: Place) -> None:
        """Keep the entry of a turn that has been taken."""
        self._ledger, self._ask = ledger, ask
        self._turn, self._place = turn, place
        self.request = replace(
            ask.request,
            messages=place.continuation.messages,
            system=(*ask.request.instructions, *place.system(ask.request)),
            instructions=(),
        )
        self.head_digest: bytes | None = None
        # What it holds: nobody else writes to its session.
        self.held = AsyncExitStack()
        self.calls = CallsOnRecord(turn, place.work, ledger.store, ledger.clock, shown_chars=ledger.shown_chars)
        self._closed = False
        self.keep_events = False

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self._turn.id

    @property
    def session_id(self) -> str:
        """The session that it belongs to."""
        return self._place.session.id

    @property
    def project_id(self) -> str | None:
        """The project that it belongs to."""
        return self._turn.project_id

    @property
    def work(self) -> Work:
        """What it may do, and where."""
        return self._place.work

    @property
    def turn_number(self) -> int:
        """Which turn of its session it is: it grows with every one."""
        return self._turn.fence

    @property
    def dialect(self) -> str:
        """How it was asked for."""
        return self._turn.dialect

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self._turn.owner

    @property
    def created_s(self) -> float:
        """When it was taken."""
        return self._turn.created_s

    @property
    def place(self) -> Place:
        """Where it stands in its session."""
        return self._place

    def add(self, events: Sequence[TurnEvent]) -> None:
        """Note what the turn has said."""
        self._ledger.journal.add(self._turn.id, events)

    async def close(self, result: TurnResult, *, left: bool = False, first_token_ms: float | None = None) -> None:
        """Write the end, once. `left`: nobody waited for it. Raises `StoreError` or `StaleError` where it cannot be."""
        if self._closed:
            return
        self._closed = True
        await to_its_end(self._close(replace(self._end(result, left=left), first_token_ms=first_token_ms)))

    async def _close(self, end: TurnEnd) -> None:
        try:
            if self.keep_events:
                await self._ledger.journal.write()
            self._ledger.journal.forget(self._turn.id)
            await self._ledger.store.finish(end)
            self.head_digest = end.head_digest
        except StoreError:
            self._ledger.write_later(end)
            raise
        finally:
            # The session is free: a client that has been told the end asks again before the process is ready again.
            await self.held.aclose()

    def _end(self, result: TurnResult, *, left: bool) -> TurnEnd:
        ask, state = self._ask, state_of(result, left=left)
        truncated = state is not TurnState.COMPLETED
        said = said_in(result)
        steps = tuple(self._stored(message, step=True) for message in said.steps)
        answer = self._stored(said.answer, truncated=truncated) if said.answer is not None else None
        return TurnEnd(
            turn_id=self._turn.id,
            session_id=self._turn.session_id,
            fence=self._turn.fence,
            state=state,
            ended_s=self._ledger.clock.now_s(),
            model=result.started.model if result.started is not None else self._turn.model,
            steps=steps,
            answer=answer,
            usage=result.usage,
            ended=result.ended,
            error=result.error,
            head_digest=self._head_beside() if truncated else self._head(said),
            keep_events=self.keep_events,
            owner=self._turn.owner,
            charge=None if ask.caller.budget.unlimited else charge_for(self.request, ask.known, result, said),
            compaction=self._compaction(result.compacted),
            acts=self.calls.ends(whole=result.ended is not None),
        )

    def _compaction(self, compacted: Compacted | None) -> Compaction | None:
        ids = self._place.continuation.ids
        if compacted is None or not 0 < compacted.before < len(ids):
            # After a crash nobody knows which messages it was told of; the conversation is then as it was before.
            return None
        return Compaction(compacted.summary, ids[compacted.before] or None)

    def _head(self, said: Said) -> bytes | None:
        if self._ask.beside is not None:
            return self._head_beside()
        answer = shown_answer((*said.steps, said.answer) if said.answer is not None else said.steps)
        return (self._place.continuation.shown + answer).digest()

    def _head_beside(self) -> bytes | None:
        return self._ask.beside.head_digest if self._ask.beside is not None else None

    def _stored(self, message: Message, *, step: bool = False, truncated: bool = False) -> StoredMessage:
        return StoredMessage(
            id=str(uuid.uuid4()),
            session_id=self._turn.session_id,
            # The store counts: only it knows what else there is by then.
            number=0,
            turn_id=self._turn.id,
            message=message,
            created_s=self._ledger.clock.now_s(),
            truncated=truncated,
            step=step,
            in_history=self._ask.beside is None and (step or can_be_gone_on_from(message, truncated=truncated)),
        )


class Ledger:
    """Writes turns down. One for the whole gateway."""

    def __init__(self, store: Store, options: FlowOptions, clock: Clock, unworkable: Mapping[Profile, str]) -> None:
        """Take the store, and what agents cannot work as."""
        self.store, self.clock = store, clock
        self.journal = Journal(store, every_s=options.journal_s)
        self.shown_chars = options.audit_chars
        self.writers = Writers(max_waiting=options.session_max_waiting, wait_s=options.session_wait_s)
        self._places = Places(store, options, clock, unworkable, self.writers)
        self._unwritten: dict[str, TurnEnd] = {}

    @asynccontextmanager
    async def entry(self, ask: Ask) -> AsyncIterator[Entry]:
        """Take a turn: when the context opens, the question is kept; when it closes, the turn has ended."""
        try:
            entry = await self._take(ask)
        except StoreError as error:
            raise store_refusal(error) from error
        try:
            yield entry
        except TurnRefusedError as refusal:
            await self.close_quietly(entry, TurnResult(error=refusal.error), left=False)
            raise
        finally:
            # A turn that ran to its end has been closed before its end was told.
            await self.close_quietly(entry, TurnResult(), left=True)

    async def close_quietly(self, entry: Entry, result: TurnResult, *, left: bool) -> None:
        """Write the end of a turn of which nobody waits for the end."""
        try:
            await entry.close(result, left=left)
        except (StoreError, StaleError) as error:
            _log.error("turn_end_not_written", turn_id=entry.turn_id, reason=str(error))

    async def _take(self, ask: Ask) -> Entry:
        for _ in range(TRIES):
            async with AsyncExitStack() as attempt:
                place = await self._places.find(ask, attempt)
                turn = self._turn(ask, place)
                entry = Entry(self, ask, turn, place)
                try:
                    await to_its_end(self.store.accept(self._acceptance(ask, turn, entry)))
                except StaleError:
                    continue
                except BudgetError as error:
                    raise budget_refusal(error, turn.created_s) from error
                except asyncio.CancelledError:
                    # It may have been taken all the same.
                    await self.close_quietly(entry, TurnResult(), left=True)
                    raise
                entry.held = attempt.pop_all()
                return entry
        raise busy("another gateway goes on with the session")

    # T0

    def _turn(self, ask: Ask, place: Place) -> Turn:
        return Turn(
            id=uuid.uuid4().hex,
            session_id=place.session.id,
            owner=ask.owner,
            project_id=place.work.project_id,
            dialect=ask.dialect,
            requested_model=ask.request.model,
            model=ask.model,
            state=TurnState.ACCEPTED,
            boot_id=self.store.boot_id,
            fence=place.session.fence + 1,
            created_s=self.clock.now_s(),
            note=_note(ask.request),
        )

    def _acceptance(self, ask: Ask, turn: Turn, entry: Entry) -> Acceptance:
        place = entry.place
        new = place.continuation.new
        first = place.session.message_count + 1
        return Acceptance(
            turn=turn,
            messages=(
                *place.copied,
                *(
                    StoredMessage(str(uuid.uuid4()), turn.session_id, first + n, turn.id, message, turn.created_s)
                    for n, message in enumerate(new)
                ),
            ),
            new_session=place.session if place.new else None,
            superseded=place.continuation.superseded,
            open_digest=place.continuation.shown.digest(),
            title=title_of(new),
            model=ask.request.model,
            system=place.system(ask.request),
            project_id=turn.project_id,
            idempotency=ask.idempotency,
            reservation=reservation_for(ask.caller, entry.request, ask.known, place.work.profile),
            budget=ask.caller.budget,
        )

    # Ends that were not written when they should have been

    def write_later(self, final: TurnEnd) -> None:
        """Keep an end until the store takes it. The client was told of a failure, so that is what is kept."""
        if len(self._unwritten) < MAX_UNWRITTEN:
            error = TurnError(ErrorKind.STORE_UNAVAILABLE, _NOT_KEPT)
            answer = replace(final.answer, truncated=True, in_history=False) if final.answer is not None else None
            failed = replace(final, state=TurnState.FAILED, ended=None, error=final.error or error, answer=answer)
            self._unwritten[final.turn_id] = replace(failed, head_digest=None)

    async def write_rest(self) -> None:
        """Try again to write what could not be written."""
        for turn_id, final in tuple(self._unwritten.items()):
            try:
                await self.store.finish(final)
            except StaleError:
                _log.warning("turn_end_too_late", turn_id=turn_id)
            except StoreError as error:
                _log.warning("turn_end_not_written", turn_id=turn_id, reason=str(error))
                return
            del self._unwritten[turn_id]

    async def recover(self) -> int:
        """End the turns that no gateway runs any more, with what is known of their answers; says how many."""
        left = await self.store.unfinished()
        for turn in left:
            texts = await self.store.events(turn.id, turn.owner)
            await self._end_abandoned(turn, fold([*map(event_of, texts), Failed(_cut_by_a_crash())]))
        return len(left)

    async def _end_abandoned(self, turn: Turn, result: TurnResult) -> None:
        session = await self.store.session(turn.session_id, turn.owner)
        if session is None:  # pragma: no cover - turns go with their session
            return
        place = Place(session, Continuation((), heard(()), ()), new=False, work=Work(turn.project_id))
        caller = Caller(turn.owner, admin=False)
        ask = Ask(TurnRequest(turn.requested_model, ()), caller, turn.dialect, turn.model)
        try:
            entry = Entry(self, ask, turn, place)
            entry.calls.recover(result.activity)
            await entry.close(result)
        except StaleError:
            _log.warning("turn_end_too_late", turn_id=turn.id)

    async def close(self) -> None:
        """Write what still waits."""
        await self.journal.close()
        await self.write_rest()


def _note(request: TurnRequest) -> str | None:
    """Write down what the answer needs when it is told at another time, if it may be."""
    return orjson.dumps(request.note).decode() if request.stored and request.note is not None else None


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await what must not be left halfway. Somebody who wants to end the waiting has to wait for it too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            _log.warning("failed_while_leaving", reason=str(task.exception()))
        raise


_NOT_KEPT: Final = "The answer could not be stored, so it does not count; the log says why."


def store_refusal(error: StoreError) -> TurnRefusedError:
    """Say that nothing can be kept now, and so nothing be taken."""
    if error.full:
        message = "The gateway's disk is full: nothing new can be taken until there is space."
        full = TurnError(ErrorKind.STORE_FULL, message, str(error), retry_after_s=FULL_RETRY_AFTER_S)
        return TurnRefusedError(full)
    message = "The gateway's database does not answer; try again in a moment."
    return TurnRefusedError(
        TurnError(ErrorKind.STORE_UNAVAILABLE, message, str(error), retry_after_s=STORE_RETRY_AFTER_S)
    )


def state_of(result: TurnResult, *, left: bool) -> TurnState:
    """Say how a turn ended. `left`: its client was not there for it."""
    if result.ended is not None:
        return TurnState.COMPLETED
    if left:
        return TurnState.CANCELLED
    from_outside = result.error is not None and result.error.kind in _ENDED_FROM_OUTSIDE
    return TurnState.INTERRUPTED if from_outside else TurnState.FAILED


def _cut_by_a_crash() -> TurnError:
    return TurnError(ErrorKind.INTERRUPTED, "The gateway stopped while this answer was being given.", source="engine")
