"""Files as they were before a turn: what has changed since, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claude_code_api.flow.access import Caller
from claude_code_api.flow.acts import Act
from claude_code_api.flow.allowances import project_for
from claude_code_api.flow.before_images import BeforeImages
from claude_code_api.flow.ports import Clock, Store
from claude_code_api.flow.records import Change, FileChange, Session
from claude_code_api.flow.sessions import Sessions, no_such
from claude_code_api.flow.writers import Writers
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid
from claude_code_api.turn.profile import Profile


@dataclass(frozen=True, slots=True)
class Rewound:
    """What a rewind does, or would do; `turn_id` is the first turn whose changes it undoes."""

    turn_id: str
    changes: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    """Where to go back, and over which turns, in order."""

    workplace: Path
    turn_ids: tuple[str, ...]


class Checkpoints:
    """The way back for the files of sessions. What was said stays as it is; `fork` is for that."""

    def __init__(self, store: Store, sessions: Sessions, writers: Writers, images: BeforeImages, clock: Clock) -> None:
        """Take what there is. `writers`: who writes to which session, for a turn and a rewind exclude each other."""
        self._store, self._sessions, self._writers, self._images = store, sessions, writers, images
        self._clock = clock

    async def changes(self, session_id: str, caller: Caller, *, since: str | None) -> tuple[FileChange, ...]:
        """Say what has become of the files that the session's agents changed since a turn began, with it."""
        way = await self._way(session_id, caller, turn_id=since)
        found = await self._images.changes(way.turn_ids, way.workplace)
        return tuple(change for change in found if change.change is not Change.UNCHANGED)

    async def rewind(
        self, session_id: str, caller: Caller, *, turn_id: str | None, message_id: str | None, dry_run: bool
    ) -> Rewound:
        """Make the files what they were before a turn, or say what that would do."""
        if (turn_id is None) == (message_id is None):
            raise invalid("Say either `turn_id` or `message_id`.", param="turn_id")
        if message_id is not None:
            turn_id = await self._turn_of(session_id, caller, message_id)
        way = await self._way(session_id, caller, turn_id=turn_id)
        first = way.turn_ids[0]
        if dry_run:
            return Rewound(first, await self.changes(session_id, caller, since=first))
        if self._writers.writing(session_id):
            message = "A turn runs in this session: interrupt it, or wait for its end."
            raise TurnRefusedError(TurnError(ErrorKind.CONFLICT, message, source="client"))
        async with self._writers.alone_or_not_at_all(session_id):
            # A turn may have come and gone since: what it changed is undone as well.
            way = await self._way(session_id, caller, turn_id=first)
            what = {"session": session_id, "turn": first}
            await self._store.put_on_record([Act(self._clock.now_s(), caller.name, "session.rewound", what)])
            return Rewound(first, await self._images.restore(way.turn_ids, way.workplace))

    async def _way(self, session_id: str, caller: Caller, *, turn_id: str | None) -> _Way:
        session = await self._sessions.get(session_id, caller)
        fence = 0
        if turn_id is not None:
            turn = await self._store.turn(turn_id, caller.name)
            if turn is None or turn.session_id != session_id:
                raise no_such("turn", param="turn_id")
            fence = turn.fence
        turns = await self._store.turns_of(session_id, caller.name, from_fence=fence)
        return _Way(await self._workplace(session, caller), tuple(turn.id for turn in turns))

    async def _workplace(self, session: Session, caller: Caller) -> Path:
        project = await project_for(caller, session.project_id, self._store) if session.project_id else None
        if project is None:
            raise invalid("This session is in no project, so there are no files.", param="session_id")
        profile = project.profile.at_most(session.profile, caller.highest)
        if profile.at_most(Profile.READ) is profile:
            message = f"Here nobody changes files: the profile is {profile.value!r}."
            raise TurnRefusedError(TurnError(ErrorKind.FORBIDDEN, message, source="client"))
        return Path(project.path)

    async def _turn_of(self, session_id: str, caller: Caller, message_id: str) -> str:
        for message in await self._sessions.all_messages(session_id, caller):
            if message.id == message_id and message.turn_id is not None:
                return message.turn_id
        raise no_such("message", param="message_id")
