"""Turns that belong to nobody's connection: they run on when the client goes, and anybody who may can follow them.

A request with an idempotency key is such a turn, because the same request may come again while it runs; so is what is
asked for in the background and over the live endpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import structlog

from claude_code_api.flow.access import Caller
from claude_code_api.flow.event_text import event_of
from claude_code_api.flow.ledger import Entry
from claude_code_api.flow.ports import IdempotencyConflictError, Store
from claude_code_api.flow.records import IdempotencyKey, Turn
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.flow.running_turn import RunningTurn
from claude_code_api.flow.writers import busy
from claude_code_api.turn.answer import events_of
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import Failed, Started, TurnEvent
from claude_code_api.turn.request import Message, TurnRequest
from claude_code_api.turn.result import TurnResult, fold

_log = structlog.get_logger("claude_code_api.flow")


class WatchedTurn(Protocol):
    """A turn as its reader sees it, wherever it runs or has run."""

    @property
    def turn_id(self) -> str: ...

    @property
    def session_id(self) -> str: ...

    @property
    def project_id(self) -> str | None: ...

    @property
    def turn_number(self) -> int: ...

    @property
    def entry(self) -> Entry | None: ...

    @property
    def ignored(self) -> tuple[str, ...]: ...

    @property
    def structured(self) -> str | None: ...

    @property
    def result(self) -> TurnResult: ...

    def over_after(self, known: int) -> bool: ...

    def batches(self) -> AsyncIterator[Sequence[TurnEvent]]: ...


class DetachedTurn:
    """A turn in a task of its own, with everything that it has said so far."""

    def __init__(self, turn: RunningTurn) -> None:
        """Keep what `turn` says."""
        self._turn = turn
        self.events: list[TurnEvent] = []
        self.over = False
        self._more = asyncio.Event()

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self._turn.turn_id

    @property
    def session_id(self) -> str:
        """The session that it belongs to."""
        return self._turn.session_id

    @property
    def project_id(self) -> str | None:
        """The project that it belongs to."""
        return self._turn.project_id

    @property
    def turn_number(self) -> int:
        """Which turn of its session it is."""
        return self._turn.turn_number

    @property
    def entry(self) -> Entry:
        """Its entry in the ledger."""
        return self._turn.entry

    @property
    def ignored(self) -> tuple[str, ...]:
        """The client's fields that are not honoured as they were sent."""
        return self._turn.ignored

    @property
    def structured(self) -> str | None:
        """How an answer in a form that was asked for has come to it."""
        return self._turn.structured

    @property
    def result(self) -> TurnResult:
        """What it came to so far."""
        return self._turn.result

    def end_because(self, cause: TurnError) -> None:
        """Interrupt it."""
        self._turn.end_because(cause)

    async def run(self) -> None:
        """Read the turn to its end."""
        async for batch in self._turn.batches():
            self.events += batch
            self._wake()
        self.over = True
        self._wake()

    def _wake(self) -> None:
        # Whoever waits has the old one in hand.
        more, self._more = self._more, asyncio.Event()
        more.set()

    def over_after(self, known: int) -> bool:
        """Whether nothing comes after its first `known` events."""
        return self.over and known >= len(self.events)

    async def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield the events from the first on, until the last."""
        read = 0
        while True:
            more = self._more
            if read < len(self.events):
                batch = self.events[read:]
                read += len(batch)
                yield batch
            elif self.over:
                return
            else:
                await more.wait()


class PastTurn:
    """A turn that is over, as the store has it."""

    entry = None

    def __init__(self, turn: Turn, events: Sequence[TurnEvent]) -> None:
        """Take it from the store."""
        self._turn, self.events = turn, events
        self.result = fold(events)

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self._turn.id

    @property
    def session_id(self) -> str:
        """The session that it belongs to."""
        return self._turn.session_id

    @property
    def project_id(self) -> str | None:
        """The project that it belongs to."""
        return self._turn.project_id

    @property
    def turn_number(self) -> int:
        """Which turn of its session it is."""
        return self._turn.fence

    @property
    def ignored(self) -> tuple[str, ...]:
        """The request itself says what it asks for; the rest is not kept."""
        return ()

    @property
    def structured(self) -> str | None:
        """It is not kept."""
        return None

    def over_after(self, known: int) -> bool:
        """Whether nothing comes after its first `known` events."""
        return known >= len(self.events)

    async def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield all events at once."""
        if self.events:
            yield self.events


class Detached:
    """The turns that run in tasks of their own."""

    def __init__(self, runner: TurnRunner, store: Store) -> None:
        """Begin with none."""
        self._runner, self._store = runner, store
        self._beginning: dict[tuple[str, str], tuple[bytes, asyncio.Task[DetachedTurn]]] = {}
        self._turns: dict[str, DetachedTurn] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: dict[tuple[str, str], list[Callable[[DetachedTurn], None]]] = {}

    @asynccontextmanager
    async def once(
        self, request: TurnRequest, caller: Caller, dialect: str, key: IdempotencyKey, beside: Entry | None = None
    ) -> AsyncIterator[WatchedTurn]:
        """Run the turn, or follow the one that runs or has run under the same key. Leaving does not end it."""
        name = (caller.name, key.key)
        if name in self._beginning:
            body_digest, beginning = self._beginning[name]
        else:
            body_digest = key.body_digest
            beginning = asyncio.create_task(self.begin(request, caller, dialect, key=key, beside=beside))
            self._beginning[name] = body_digest, beginning
            beginning.add_done_callback(lambda _: self._begun(name))
        _refuse_another_request(body_digest, key)
        try:
            turn: WatchedTurn = await asyncio.shield(beginning)
        except IdempotencyConflictError as taken:
            _refuse_another_request(taken.body_digest, key)
            turn = await self.find(taken.turn_id, caller)
        yield turn

    def _begun(self, name: tuple[str, str]) -> None:
        # From here on the store knows the key.
        _, beginning = self._beginning.pop(name)
        if not beginning.cancelled():
            # Everybody who waited has been told; nobody else will ask.
            beginning.exception()

    async def begin(
        self,
        request: TurnRequest,
        caller: Caller,
        dialect: str,
        *,
        key: IdempotencyKey | None = None,
        beside: Entry | None = None,
    ) -> DetachedTurn:
        """Run a turn; returns once it has been taken."""
        taken: asyncio.Future[DetachedTurn] = asyncio.get_running_loop().create_future()
        run = self._runner.run(request, caller, dialect, idempotency=key, beside=beside, keep_events=True)

        async def all_of_it() -> None:
            try:
                async with run as running:
                    turn = self._turns[running.turn_id] = DetachedTurn(running)
                    taken.set_result(turn)
                    for tell in tuple(self._watchers.get((turn.session_id, turn.entry.owner), ())):
                        tell(turn)
                    try:
                        await turn.run()
                    finally:
                        del self._turns[running.turn_id]
            except (TurnRefusedError, IdempotencyConflictError) as refusal:
                if taken.done():
                    _log.warning("detached_turn_refused_late", reason=str(refusal))
                else:
                    taken.set_exception(refusal)

        task = asyncio.create_task(all_of_it(), name="detached turn")
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._done(task, taken))
        return await asyncio.shield(taken)

    def _done(self, task: asyncio.Task[None], taken: asyncio.Future[DetachedTurn]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            taken.cancel()
        elif (bug := task.exception()) is not None:
            _log.error("detached_turn_broken", exc_info=bug)
            if not taken.done():
                taken.set_exception(bug)

    async def find(self, turn_id: str, caller: Caller) -> WatchedTurn:
        """Return a turn that runs here, or is over; one that runs elsewhere is busy."""
        running = self._turns.get(turn_id)
        if running is not None and running.entry.owner == caller.name:
            return running
        turn = await self._store.turn(turn_id, caller.name)
        if turn is None:
            raise TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, "There is no such turn.", source="client"))
        if not turn.state.over:
            raise busy("the turn runs on another gateway")
        return await self._past(turn)

    async def _past(self, turn: Turn) -> PastTurn:
        texts = await self._store.events(turn.id, turn.owner)
        if texts:
            return PastTurn(turn, [event_of(text) for text in texts])
        # Its events were not kept, or not for so long; its answer was.
        answer = await self._store.answer(turn.id, turn.owner)
        return PastTurn(turn, _told_again(turn, answer.message if answer is not None else None))

    async def turns_from(self, session_id: str, caller: Caller, turn_number: int) -> tuple[WatchedTurn, ...]:
        """Return the turns of a session from one of them on: those that run here, and those that are over."""
        found: list[WatchedTurn] = []
        for turn in await self._store.turns_of(session_id, caller.name, from_fence=turn_number):
            if turn.id in self._turns:
                found.append(self._turns[turn.id])
            elif turn.state.over:
                found.append(await self._past(turn))
        return tuple(found)

    @contextmanager
    def watched(self, session_id: str, owner: str, tell: Callable[[DetachedTurn], None]) -> Iterator[None]:
        """Tell of every turn that begins in a session, for the length of the context."""
        watchers = self._watchers.setdefault((session_id, owner), [])
        watchers.append(tell)
        try:
            yield
        finally:
            watchers.remove(tell)
            if not watchers:
                self._watchers.pop((session_id, owner), None)

    async def close(self) -> None:
        """End what is still running."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def _refuse_another_request(body_digest: bytes, key: IdempotencyKey) -> None:
    if body_digest != key.body_digest:
        message = "This Idempotency-Key was used for another request; use a new one."
        raise TurnRefusedError(TurnError(ErrorKind.CONFLICT, message, source="client"))


def _told_again(turn: Turn, answer: Message | None) -> list[TurnEvent]:
    """Tell a turn from what is kept of it: the same words, in larger pieces."""
    events: list[TurnEvent] = [Started(turn.id, turn.model, int(turn.created_s), turn.session_id)]
    events += events_of(answer) if answer is not None else ()
    if turn.usage is not None:
        events.append(turn.usage)
    if turn.ended is not None:
        return [*events, turn.ended]
    return [*events, Failed(turn.error or TurnError(ErrorKind.INTERRUPTED, "The turn was not finished."))]
