"""What can be done with sessions and projects, apart from speaking in them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from claude_code_api.flow.access import Caller
from claude_code_api.flow.conversation import heard, title_of
from claude_code_api.flow.forks import fork_of
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Clock, Store, Workplaces
from claude_code_api.flow.records import (
    MessageList,
    Page,
    Profile,
    Project,
    ProjectList,
    ProjectPatch,
    Session,
    SessionList,
    SessionPatch,
    SessionQuery,
    SessionStats,
    StoredMessage,
)
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.flow.transcripts import read_transcript
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

# Messages that are read at once where all of a session is wanted.
_PAGE: Final = 500


class Sessions:
    """The sessions of one gateway."""

    def __init__(self, store: Store, runner: TurnRunner, options: FlowOptions, clock: Clock) -> None:
        """Take what there is."""
        self._store, self._runner, self._options, self._clock = store, runner, options, clock

    async def get(self, session_id: str, caller: Caller) -> Session:
        """Return one of the caller's sessions."""
        found = await self._store.session(session_id, caller.name)
        if found is None:
            raise no_such("session")
        return found

    async def model_of(self, session_id: str, caller: Caller) -> str:
        """Return the model that a session is held with; the usual one where there is no such session."""
        found = await self._store.session(session_id, caller.name)
        return found.model if found is not None else self._options.default_model

    async def list(self, caller: Caller, query: SessionQuery) -> SessionList:
        """List the caller's sessions."""
        return await self._store.sessions(caller.name, query, now_s=self._clock.now_s())

    async def stats(self, caller: Caller) -> SessionStats:
        """Count the caller's sessions."""
        return await self._store.session_stats(caller.name, now_s=self._clock.now_s())

    async def add(self, caller: Caller, wanted: SessionPatch) -> Session:
        """Begin an empty session."""
        project = await self._project(wanted.project_id, caller)
        blank = self._blank(caller)
        session = _with(replace(blank, profile=project.profile) if project is not None else blank, wanted)
        await self._store.add_session(session, (), None)
        return session

    async def change(self, session_id: str, caller: Caller, patch: SessionPatch) -> Session:
        """Change one of the caller's sessions."""
        await self._project(patch.project_id, caller)
        changed = await self._store.change_session(session_id, caller.name, patch, now_s=self._clock.now_s())
        if changed is None:
            raise no_such("session")
        return changed

    async def delete(self, session_id: str, caller: Caller) -> None:
        """Delete one of the caller's sessions; what runs in it ends first, so that it is on the bill."""
        await self._runner.quiet(session_id, caller.name)
        if not await self._store.delete_session(session_id, caller.name):
            raise no_such("session")

    async def interrupt(self, session_id: str, caller: Caller) -> int:
        """End the turns that run in one of the caller's sessions; says how many."""
        await self.get(session_id, caller)
        return self._runner.interrupt(session_id, caller.name)

    async def messages(self, session_id: str, caller: Caller, page: Page) -> MessageList:
        """List what was said in one of the caller's sessions."""
        await self.get(session_id, caller)
        return await self._store.messages(session_id, page)

    async def all_messages(self, session_id: str, caller: Caller) -> tuple[StoredMessage, ...]:
        """Return everything that was said in one of the caller's sessions."""
        messages: list[StoredMessage] = []
        page = Page(limit=_PAGE, ascending=True)
        while True:
            part = await self.messages(session_id, caller, page)
            messages += part.data
            if not part.has_more:
                return tuple(messages)
            page = replace(page, after=part.data[-1].id)

    async def fork(self, session_id: str, caller: Caller, *, message_id: str | None, title: str | None) -> Session:
        """Begin a session with what was said in another one, up to a message."""
        origin = await self.get(session_id, caller)
        held = await self._store.history(session_id)
        taken = held
        if message_id is not None:
            count = next((n for n, entry in enumerate(held, 1) if entry.id == message_id), None)
            if count is None:
                raise no_such("message")
            taken = held[:count]
        fork, copies = fork_of(origin, taken, now_s=self._clock.now_s())
        fork = fork if title is None else replace(fork, title=title)
        await self._store.add_session(fork, copies, _digest(copies))
        return replace(fork, message_count=len(copies))

    async def take_in(self, caller: Caller, transcript: str, wanted: SessionPatch) -> Session:
        """Begin a session with what a transcript of Claude Code holds."""
        await self._project(wanted.project_id, caller)
        # Megabytes of JSON: others are not kept waiting for that.
        read = await asyncio.to_thread(read_transcript, transcript)
        session = self._blank(caller)
        session = replace(
            session,
            title=read.title or title_of([entry.message for entry in read.entries]),
            model=read.model or session.model,
        )
        session = _with(session, wanted)
        messages = tuple(
            StoredMessage(
                id=str(uuid.uuid4()),
                session_id=session.id,
                number=number,
                turn_id=None,
                message=entry.message,
                created_s=entry.created_s if entry.created_s is not None else session.created_s,
                in_history=entry.in_history,
            )
            for number, entry in enumerate(read.entries, 1)
        )
        await self._store.add_session(session, messages, _digest(messages))
        return replace(session, message_count=len(messages))

    def _blank(self, caller: Caller) -> Session:
        now_s = self._clock.now_s()
        return Session(
            id=str(uuid.uuid4()),
            owner=caller.name,
            project_id=None,
            title="",
            model=self._options.default_model,
            system=(),
            profile=Profile.CHAT,
            created_s=now_s,
            updated_s=now_s,
            last_used_s=now_s,
            ttl_s=self._options.session_ttl_s,
        )

    async def _project(self, project_id: str | None, caller: Caller) -> Project | None:
        if project_id is None:
            return None
        found = await self._store.project(project_id, caller.name)
        if found is None:
            raise no_such("project", param="project_id")
        return found


def _with(session: Session, wanted: SessionPatch) -> Session:
    return replace(
        session,
        title=session.title if wanted.title is None else wanted.title,
        model=session.model if wanted.model is None else wanted.model,
        system=session.system if wanted.system is None else wanted.system,
        profile=session.profile if wanted.profile is None else wanted.profile,
        project_id=session.project_id if wanted.project_id is None else wanted.project_id,
        ttl_s=session.ttl_s if wanted.ttl_s is None else wanted.ttl_s[0],
    )


def _digest(messages: Sequence[StoredMessage]) -> bytes | None:
    history = [entry.message for entry in messages if entry.in_history]
    return heard(history).digest() if history else None


class Projects:
    """The projects of one gateway, and their directories."""

    def __init__(self, store: Store, workplaces: Workplaces, clock: Clock) -> None:
        """Take what there is."""
        self._store, self._workplaces, self._clock = store, workplaces, clock

    async def get(self, project_id: str, caller: Caller) -> Project:
        """Return one of the caller's projects."""
        found = await self._store.project(project_id, caller.name)
        if found is None:
            raise no_such("project")
        return found

    async def list(self, caller: Caller, page: Page, *, text: str) -> ProjectList:
        """List the caller's projects."""
        return await self._store.projects(caller.name, page, text=text)

    async def add(self, caller: Caller, *, name: str, description: str, profile: Profile) -> Project:
        """Make a project with a directory of its own, whose name is ours alone."""
        _check_profile(profile, caller)
        project_id, now_s = str(uuid.uuid4()), self._clock.now_s()
        path = await self._workplaces.make(project_id)
        project = Project(project_id, caller.name, name, description, path, profile, now_s, now_s)
        try:
            await self._store.add_project(project)
        except BaseException:
            await self._workplaces.remove(project_id)
            raise
        return project

    async def change(self, project_id: str, caller: Caller, patch: ProjectPatch) -> Project:
        """Change one of the caller's projects."""
        if patch.profile is not None:
            _check_profile(patch.profile, caller)
        changed = await self._store.change_project(project_id, caller.name, patch, now_s=self._clock.now_s())
        if changed is None:
            raise no_such("project")
        return changed

    async def delete(self, project_id: str, caller: Caller, *, files: str | None) -> None:
        """Delete one of the caller's projects. What becomes of its files has to be said, where there are any."""
        await self.get(project_id, caller)
        if files is None and await self._workplaces.holds_files(project_id):
            message = "The project's directory holds files: say `?files=keep` or `?files=delete`."
            raise TurnRefusedError(TurnError(ErrorKind.CONFLICT, message, source="client", param="files"))
        if not await self._store.delete_project(project_id, caller.name):
            raise no_such("project")
        if files != "keep":
            await self._workplaces.remove(project_id)


def _check_profile(profile: Profile, caller: Caller) -> None:
    if profile.at_most(caller.highest) is not profile:
        message = f"This key's agents may be {caller.highest.value!r} at most."
        raise TurnRefusedError(TurnError(ErrorKind.FORBIDDEN, message, source="client", param="profile"))


def no_such(what: str, *, param: str | None = None) -> TurnRefusedError:
    """Refuse what is not there, or is somebody else's: nobody can tell the two apart."""
    message = f"There is no {what} with this id."
    return TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param=param))
