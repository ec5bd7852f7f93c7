"""Where a request belongs: in which session, and after what that holds."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Protocol

from claude_code_api.flow.access import Caller, not_let_in
from claude_code_api.flow.allowances import project_for
from claude_code_api.flow.calls import check_calls
from claude_code_api.flow.catalogue import Model
from claude_code_api.flow.conversation import Continuation, Heard, go_on, heard, names_to_go_on_from, title_of
from claude_code_api.flow.forks import fork_of
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Clock, Store
from claude_code_api.flow.records import IdempotencyKey, Mode, Project, Session, StoredMessage, Turn, TurnState
from claude_code_api.flow.stored_keys import FRESH_S
from claude_code_api.flow.writers import Writers
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import TextBlock, TurnRequest


@dataclass(frozen=True, slots=True)
class Work:
    """What a turn may do, and where: nothing and nowhere, unless its session is at work in a project."""

    project_id: str | None = None
    workplace: str | None = None
    profile: Profile = Profile.CHAT
    mode: Mode = Mode.AUTO
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A session, and what becomes of it with a request."""

    session: Session
    continuation: Continuation
    new: bool
    work: Work = Work()
    # What a new one begins with, where it is the fork of another.
    copied: tuple[StoredMessage, ...] = ()

    def system(self, request: TurnRequest) -> tuple[TextBlock, ...]:
        """Say what is above the conversation from now on."""
        held, sent = self.session.system, request.system
        if not request.appends:
            return sent or held
        return held if held[len(held) - len(sent) :] == sent else (*held, *sent)


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
    caller: Caller
    dialect: str
    # The model that the request's name stands for.
    model: str
    idempotency: IdempotencyKey | None = None
    # A further answer to the same question: it stands beside the first one, and the conversation goes on from that.
    beside: FirstAnswer | None = None
    # What is known of the model.
    known: Model | None = None
    # When it came in, as the clock counts that only goes forward.
    came_s: float = 0.0

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.caller.name


class Places:
    """Finds a request's place. Whoever gets one is the session's only writer until the stack unwinds."""

    def __init__(
        self, store: Store, options: FlowOptions, clock: Clock, unworkable: Mapping[Profile, str], writers: Writers
    ) -> None:
        """Take who writes to which session. `unworkable`: what agents cannot work as, and why."""
        self._unworkable, self._writers = unworkable, writers
        self._store, self._options, self._clock = store, options, clock

    async def find(self, ask: Ask, stack: AsyncExitStack) -> Place:
        """Find the place of a request; a session of its own, where it belongs to none."""
        wanted = await self._project(ask.request.project_id, ask)
        place = await self._found(ask, wanted, stack)
        await self._refuse_when_revoked(ask)
        project = wanted
        if project is None and place.session.project_id is not None:
            project = await project_for(ask.caller, place.session.project_id, self._store)
        return replace(place, work=self._work(ask, place.session, project))

    async def _found(self, ask: Ask, project: Project | None, stack: AsyncExitStack) -> Place:
        if ask.beside is not None:
            return await self._beside(ask.beside.place, stack)
        sent = heard(ask.request.messages)
        if ask.request.continues is not None:
            after = await self._after(ask.request.continues, ask, sent, stack)
            check_calls(after.continuation.messages)
            return after
        if ask.request.session_id is None:
            found = await self._known(ask, sent, stack)
        else:
            found = await self._named(ask, sent, stack)
            if found is None and ask.request.appends:
                raise no_such_conversation()
            check_calls(found.continuation.messages if found is not None else sent.messages)
        if found is not None:
            return found
        session = self._new_session(ask, project)
        await stack.enter_async_context(self._writers.alone(session.id))
        return Place(session, Continuation(sent.messages, sent, sent.messages), new=True)

    async def _refuse_when_revoked(self, ask: Ask) -> None:
        """Who had to wait may have lost his key meanwhile, or it has expired: then nothing begins any more."""
        if not ask.caller.stored or self._clock.monotonic_s() - ask.came_s < FRESH_S:
            return
        key = await self._store.key(ask.caller.name)
        if key is None or not key.opens_at(self._clock.now_s()):
            raise not_let_in()

    # What it may do

    async def _project(self, project_id: str | None, ask: Ask) -> Project | None:
        if project_id is None:
            return None
        project = await project_for(ask.caller, project_id, self._store)
        if project is None:
            message = "There is no project with this id; POST /v1/projects makes one."
            raise TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param="project_id"))
        return project

    def _work(self, ask: Ask, session: Session, project: Project | None) -> Work:
        """The least of what key, project, session and request allow; and none at all outside of a project."""
        if project is None:
            return Work()
        profile = project.profile.at_most(session.profile, ask.caller.highest, ask.request.profile)
        if profile is Profile.CHAT or not project.is_active:
            return Work(project.id)
        # What a trusted project brings along is run, so it takes the jail that a shell takes.
        reason = self._unworkable.get(profile) or (project.trusted and self._unworkable.get(Profile.SHELL))
        if reason:
            raise TurnRefusedError(TurnError(ErrorKind.ENGINE_UNAVAILABLE, reason))
        if ask.request.tools:
            msg = "An agent at work in a project has tools of its own: leave `tools` out, or set the profile to `chat`."
            raise invalid(msg, param="tools")
        if ask.request.answers > 1:
            msg = "An agent at work in a project gives one answer: what it does can be done once."
            raise invalid(msg, param="n")
        return Work(project.id, project.path, profile, session.mode, trusted=project.trusted)

    # Which session it is

    async def _beside(self, first: Place, stack: AsyncExitStack) -> Place:
        await stack.enter_async_context(self._writers.alone(first.session.id))
        session = await self._store.session(first.session.id, first.session.owner)
        if session is None:
            raise _gone()
        return Place(session, Continuation(first.continuation.messages, first.continuation.shown, ()), new=False)

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
            if place is None or place.continuation.shown.digest() != sent.digest():
                return None
            stack.push_async_callback(attempt.pop_all().aclose)
            return place

    async def _after(self, turn_id: str, ask: Ask, sent: Heard, stack: AsyncExitStack) -> Place:
        """The session of a turn; where it has gone on since, a fork of what it was then."""
        turn = await self._store.turn(turn_id, ask.owner)
        origin = await self._current(turn.session_id, ask.owner) if turn is not None else None
        if turn is None or origin is None or turn.note is None or turn.dialect != ask.dialect:
            raise no_such_answer()
        if turn.state is not TurnState.COMPLETED:
            message = "This response is not whole, so nothing can follow it: ask again after the one before it."
            raise invalid(message, param="previous_response_id")
        async with AsyncExitStack() as attempt:
            if origin.fence == turn.fence:
                await attempt.enter_async_context(self._writers.alone(origin.id))
                # Whoever was before us in the queue has gone on with it.
                origin = await self._current(turn.session_id, ask.owner) or origin
                place = await self._gone_on(origin, ask, sent) if origin.fence == turn.fence else None
                if place is not None:
                    stack.push_async_callback(attempt.pop_all().aclose)
                    return place
        return await self._forked(origin, turn, ask, sent, stack)

    async def _forked(self, origin: Session, turn: Turn, ask: Ask, sent: Heard, stack: AsyncExitStack) -> Place:
        held = await self._store.history(origin.id)
        last = turn.answer_number or max((entry.number for entry in held if entry.turn_id == turn.id), default=0)
        fork, copies = fork_of(origin, [entry for entry in held if entry.number <= last], now_s=self._clock.now_s())
        with_thoughts = origin.model == ask.request.model
        continuation = go_on(copies, sent, with_thoughts=with_thoughts, appends=True)
        if continuation is None:  # pragma: no cover - what appends always goes on
            raise no_such_answer()
        await stack.enter_async_context(self._writers.alone(fork.id))
        return Place(fork, continuation, new=True, copied=copies)

    async def _current(self, session_id: str, owner: str) -> Session | None:
        session = await self._store.session(session_id, owner)
        expired = session is not None and session.expires_s is not None and session.expires_s <= self._clock.now_s()
        return None if expired else session

    async def _gone_on(self, session: Session, ask: Ask, sent: Heard) -> Place | None:
        held = await self._store.history(session.id)
        continuation = go_on(held, sent, with_thoughts=session.model == ask.request.model, appends=ask.request.appends)
        return Place(session, continuation, new=False) if continuation is not None else None

    def _new_session(self, ask: Ask, project: Project | None) -> Session:
        now_s = self._clock.now_s()
        return Session(
            id=str(uuid.uuid4()),
            owner=ask.owner,
            project_id=project.id if project is not None else None,
            title=title_of(ask.request.messages),
            model=ask.request.model,
            system=ask.request.system,
            profile=project.profile if project is not None else Profile.CHAT,
            mode=project.mode if project is not None else Mode.AUTO,
            created_s=now_s,
            updated_s=now_s,
            last_used_s=now_s,
            ttl_s=self._options.session_ttl_s,
        )


def no_such_answer() -> TurnRefusedError:
    """Refuse to go on from a response that is not there, or is somebody else's: nobody can tell the two apart."""
    message = "There is no response with this id; with `store: false`, or once it is deleted, none can follow it."
    return TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param="previous_response_id"))


def no_such_conversation() -> TurnRefusedError:
    """Refuse a conversation that is not there, or is somebody else's."""
    message = "There is no conversation with this id."
    return TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param="conversation"))


def _gone() -> TurnRefusedError:
    return TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, "The session does not exist any more.", source="client"))


def _uuid_of(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text))
    except (ValueError, TypeError):
        return None
