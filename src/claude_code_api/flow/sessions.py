"""What can be done with sessions and projects, apart from speaking in them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from claude_code_api.flow.access import Caller
from claude_code_api.flow.acts import Act
from claude_code_api.flow.allowances import project_for, projects_for
from claude_code_api.flow.before_images import BeforeImages
from claude_code_api.flow.conversation import heard, title_of
from claude_code_api.flow.forks import fork_of
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Clock, Store
from claude_code_api.flow.records import (
    MessageList,
    Mode,
    Page,
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
from claude_code_api.flow.workplaces import Workplaces
from claude_code_api.turn.approvals import Decision, Verdict
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import ApprovalWanted
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Json

# Messages that are read at once where all of a session is wanted.
_PAGE: Final = 500


class Sessions:
    """The sessions of one gateway."""

    def __init__(
        self, store: Store, runner: TurnRunner, images: BeforeImages, options: FlowOptions, clock: Clock
    ) -> None:
        """Take what there is."""
        self._store, self._runner, self._images = store, runner, images
        self._options, self._clock = options, clock

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
        begun = blank if project is None else replace(blank, profile=project.profile, mode=project.mode)
        session = _with(begun, wanted)
        await self._store.add_session(session, (), None)
        return session

    async def change(self, session_id: str, caller: Caller, patch: SessionPatch) -> Session:
        """Change one of the caller's sessions."""
        await self._project(patch.project_id, caller)
        now_s = self._clock.now_s()
        act = _change(caller, now_s, "session.changed", session_id, (patch.profile, patch.mode, None))
        changed = await self._store.change_session(session_id, caller.name, patch, now_s=now_s, act=act)
        if changed is None:
            raise no_such("session")
        return changed

    async def delete(self, session_id: str, caller: Caller) -> None:
        """Delete one of the caller's sessions; what runs in it ends first, so that it is on the bill."""
        await self._runner.quiet(session_id, caller.name)
        turns = await self._store.turns_of(session_id, caller.name, from_fence=0)
        if not await self._store.delete_session(session_id, caller.name):
            raise no_such("session")
        await self._images.forget([turn.id for turn in turns])

    async def interrupt(self, session_id: str, caller: Caller) -> int:
        """End the turns that run in one of the caller's sessions; says how many."""
        await self.get(session_id, caller)
        return self._runner.interrupt(session_id, caller.name)

    async def set_mode(self, session_id: str, caller: Caller, mode: Mode) -> int:
        """Change whom the agent of one of the caller's sessions asks, now and in later turns; says how many run."""
        await self.change(session_id, caller, SessionPatch(mode=mode))
        return await self._runner.set_mode(session_id, caller.name, mode)

    async def approvals(self, session_id: str, caller: Caller) -> Sequence[tuple[str, ApprovalWanted]]:
        """Return what waits for a decision in one of the caller's sessions: turn and question."""
        await self.get(session_id, caller)
        return self._runner.approvals.waiting(session_id, caller.name)

    async def approve(self, session_id: str, caller: Caller, approval_id: str, verdict: Verdict) -> None:
        """Decide about a call that waits in one of the caller's sessions."""
        await self.get(session_id, caller)
        wanted = self._runner.approvals.answer(session_id, caller.name, approval_id, verdict)
        if wanted.shown.get("kind") == "plan" and verdict.decision is not Decision.DENY:
            # The plan is made; what follows is the work.
            await self.change(session_id, caller, SessionPatch(mode=Mode.ACCEPT_EDITS))

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
        found = await project_for(caller, project_id, self._store)
        if found is None:
            raise no_such("project", param="project_id")
        return found


def _change(
    caller: Caller, at_s: float, kind: str, id_: str, what: tuple[Profile | None, Mode | None, bool | None]
) -> Act | None:
    """Say for the record what agents may do from now on; None where nothing of that is said."""
    profile, mode, trusted = what
    said: dict[str, Json] = {
        "profile": None if profile is None else profile.value,
        "mode": None if mode is None else mode.value,
        "trusted": trusted,
    }
    changed = {name: value for name, value in said.items() if value is not None}
    return Act(at_s, caller.name, kind, {"id": id_, **changed}) if changed else None


def _with(session: Session, wanted: SessionPatch) -> Session:
    return replace(
        session,
        title=session.title if wanted.title is None else wanted.title,
        model=session.model if wanted.model is None else wanted.model,
        system=session.system if wanted.system is None else wanted.system,
        profile=session.profile if wanted.profile is None else wanted.profile,
        mode=session.mode if wanted.mode is None else wanted.mode,
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
        """Return one of the caller's projects, or one that was given to his key."""
        found = await project_for(caller, project_id, self._store)
        if found is None:
            raise no_such("project")
        return found

    async def list(self, caller: Caller, page: Page, *, text: str) -> ProjectList:
        """List the caller's projects."""
        return await projects_for(caller, page, text, self._store)

    async def add(
        self,
        caller: Caller,
        *,
        name: str,
        description: str,
        profile: Profile,
        mode: Mode = Mode.AUTO,
        trusted: bool = False,
    ) -> Project:
        """Make a project with a directory of its own, whose name is ours alone."""
        _check_profile(profile, caller)
        _check_trust(caller, trusted=trusted)
        if caller.projects is not None:
            raise _not_its_own("This key was given its projects, and makes none of its own.")
        project_id, now_s = str(uuid.uuid4()), self._clock.now_s()
        path = await self._workplaces.make(project_id)
        project = Project(
            project_id, caller.name, name, description, path, profile, now_s, now_s, mode=mode, trusted=trusted
        )
        try:
            act = _change(caller, now_s, "project.created", project_id, (profile, mode, trusted))
            await self._store.add_project(project, act=act)
        except BaseException:
            await self._workplaces.remove(project_id)
            raise
        return project

    async def change(self, project_id: str, caller: Caller, patch: ProjectPatch) -> Project:
        """Change one of the caller's projects. Whether one is trusted, an administrator says of anybody's."""
        if patch.profile is not None:
            _check_profile(patch.profile, caller)
        _check_trust(caller, trusted=patch.trusted)
        owner = caller.name
        if caller.admin and patch.trusted is not None and patch == ProjectPatch(trusted=patch.trusted):
            owner = await self._owner(project_id)
        else:
            await self._own(project_id, caller)
        now_s = self._clock.now_s()
        act = _change(caller, now_s, "project.changed", project_id, (patch.profile, patch.mode, patch.trusted))
        changed = await self._store.change_project(project_id, owner, patch, now_s=now_s, act=act)
        if changed is None:
            raise no_such("project")
        return changed

    async def delete(self, project_id: str, caller: Caller, *, files: str | None) -> None:
        """Delete one of the caller's projects. What becomes of its files has to be said, where there are any."""
        await self._own(project_id, caller)
        if files is None and await self._workplaces.holds_files(project_id):
            message = "The project's directory holds files: say `?files=keep` or `?files=delete`."
            raise TurnRefusedError(TurnError(ErrorKind.CONFLICT, message, source="client", param="files"))
        if not await self._store.delete_project(project_id, caller.name):
            raise no_such("project")
        if files != "keep":
            await self._workplaces.remove(project_id)

    async def _owner(self, project_id: str) -> str:
        found = await self._store.project(project_id, None)
        if found is None:
            raise no_such("project")
        return found.owner

    async def _own(self, project_id: str, caller: Caller) -> None:
        """Refuse what the caller may only use."""
        if (await self.get(project_id, caller)).owner != caller.name:
            raise _not_its_own("This project was given to the key, and is not its own to change.")


def _not_its_own(message: str) -> TurnRefusedError:
    return TurnRefusedError(TurnError(ErrorKind.FORBIDDEN, message, source="client"))


def _check_trust(caller: Caller, *, trusted: bool | None) -> None:
    if trusted and not caller.admin:
        message = "Only an administrator's key can say that a project is trusted: what it brings along is then run."
        raise TurnRefusedError(TurnError(ErrorKind.FORBIDDEN, message, source="client", param="trusted"))


def _check_profile(profile: Profile, caller: Caller) -> None:
    if profile.at_most(caller.highest) is not profile:
        message = f"This key's agents may be {caller.highest.value!r} at most."
        raise TurnRefusedError(TurnError(ErrorKind.FORBIDDEN, message, source="client", param="profile"))


def no_such(what: str, *, param: str | None = None) -> TurnRefusedError:
    """Refuse what is not there, or is somebody else's: nobody can tell the two apart."""
    message = f"There is no {what} with this id."
    return TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param=param))
