"""Where a request belongs: in which session, and after what that holds."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from claude_code_api.flow.calls import check_calls
from claude_code_api.flow.conversation import Continuation, Heard, go_on, heard, names_to_go_on_from, title_of
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Clock, Store
from claude_code_api.flow.records import IdempotencyKey, Profile, Session
from claude_code_api.flow.writers import Writers
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.request import TurnRequest


@dataclass(frozen=True, slots=True)
class Place:
    """A session, and what becomes of it with a request."""

    session: Session
    continuation: Continuation
    new: bool


class FirstAnswer(Protocol):
    """The answer that a further one stands beside."""

    @property
    def place(self) -> Place:
        """Where it stands."""
        ...

    @property
    def head_digest(self) -> bytes | None:
        """The history that the session goes on from."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """What came in, and from whom."""

    request: TurnRequest
    owner: str
    dialect: str
    # The model that the request's name stands for.
    model: str
    idempotency: IdempotencyKey | None = None
    # A further answer to the same question: it stands beside the first one, and the conversation goes on from that.
    beside: FirstAnswer | None = None


class Places:
    """Finds a request's place. Whoever gets one is the session's only writer until the stack unwinds."""

    def __init__(self, store: Store, options: FlowOptions, clock: Clock) -> None:
        """Begin with nobody writing."""
        self._store, self._options, self._clock = store, options, clock
        self._writers = Writers(max_waiting=options.session_max_waiting, wait_s=options.session_wait_s)

    async def find(self, ask: Ask, stack: AsyncExitStack) -> Place:
        """Find the place of a request; a session of its own, where it belongs to none."""
        await self._refuse_foreign_project(ask)
        if ask.beside is not None:
            return await self._beside(ask.beside.place, stack)
        sent = heard(ask.request.messages)
        if ask.request.session_id is None:
            found = await self._known(ask, sent, stack)
        else:
            found = await self._named(ask, sent, stack)
            check_calls(found.continuation.history.messages if found is not None else sent.messages)
        if found is not None:
            return found
        session = self._new_session(ask)
        await stack.enter_async_context(self._writers.alone(session.id))
        return Place(session, Continuation(sent, sent.messages), new=True)

    async def _refuse_foreign_project(self, ask: Ask) -> None:
        project_id = ask.request.project_id
        if project_id is not None and await self._store.project(project_id, ask.owner) is None:
            message = "There is no project with this id; POST /v1/projects makes one."
            raise TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param="project_id"))

    async def _beside(self, first: Place, stack: AsyncExitStack) -> Place:
        await stack.enter_async_context(self._writers.alone(first.session.id))
        session = await self._store.session(first.session.id, first.session.owner)
        if session is None:
            raise _gone()
        return Place(session, Continuation(first.continuation.history, ()), new=False)

    async def _named(self, ask: Ask, sent: Heard, stack: AsyncExitStack) -> Place | None:
        """The session that the request names, unless it is not the caller's, or tells another story."""
        session_id = _uuid_of(ask.request.session_id)
        if session_id is None or await self._current(session_id, ask.owner) is None:
            return None
        async with AsyncExitStack() as attempt:
            await attempt.enter_async_context(self._writers.alone(session_id))
            # Whoever was before us in the queue has gone on with it.
            session = await self._current(session_id, ask.owner)
            place = await self._gone_on(session, ask, sent) if session is not None else None
            if place is not None:
                stack.push_async_callback(attempt.pop_all().aclose)
            return place

    async def _known(self, ask: Ask, sent: Heard, stack: AsyncExitStack) -> Place | None:
        """The session that has the history which the request goes on from, if nobody is just doing that."""
        session = await self._store.session_with_history(
            ask.owner, names_to_go_on_from(sent), now_s=self._clock.now_s()
        )
        if session is None or self._writers.writing(session.id):
            return None
        async with AsyncExitStack() as attempt:
            await attempt.enter_async_context(self._writers.alone(session.id))
            place = await self._gone_on(session, ask, sent)
            # It tells the whole story, not the last part of it.
            if place is None or len(place.continuation.history.messages) != len(sent.messages):
                return None
            stack.push_async_callback(attempt.pop_all().aclose)
            return place

    async def _current(self, session_id: str, owner: str) -> Session | None:
        session = await self._store.session(session_id, owner)
        expired = session is not None and session.expires_s is not None and session.expires_s <= self._clock.now_s()
        return None if expired else session

    async def _gone_on(self, session: Session, ask: Ask, sent: Heard) -> Place | None:
        held = await self._store.history(session.id)
        continuation = go_on(held, sent, with_thoughts=session.model == ask.request.model)
        return Place(session, continuation, new=False) if continuation is not None else None

    def _new_session(self, ask: Ask) -> Session:
        now_s = self._clock.now_s()
        return Session(
            id=str(uuid.uuid4()),
            owner=ask.owner,
            project_id=ask.request.project_id,
            title=title_of(ask.request.messages),
            model=ask.request.model,
            system=ask.request.system,
            profile=Profile.CHAT,
            created_s=now_s,
            updated_s=now_s,
            last_used_s=now_s,
            ttl_s=self._options.session_ttl_s,
        )


def _gone() -> TurnRefusedError:
    return TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, "The session does not exist any more.", source="client"))


def _uuid_of(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text))
    except (ValueError, TypeError):
        return None
