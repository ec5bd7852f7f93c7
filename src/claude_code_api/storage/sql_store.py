"""The store: each method is one transaction of a database."""

from __future__ import annotations

from collections.abc import Sequence

from claude_code_api.flow.records import (
    Acceptance,
    JournalEntry,
    MessageList,
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
    Turn,
    TurnEnd,
    UsageQuery,
    UsageRow,
)
from claude_code_api.storage import sql_projects, sql_sessions, sql_turns, sql_usage
from claude_code_api.storage.boots import Boot
from claude_code_api.storage.database import Database


class SqlStore:
    """The `Store` of `flow/ports.py`, in a database."""

    def __init__(self, database: Database, boot: Boot) -> None:
        self._database, self._boot = database, boot

    # Turns

    async def accept(self, acceptance: Acceptance) -> None:
        await self._database.write(
            lambda c: sql_turns.accept(c, acceptance),
            settled=lambda c: sql_turns.was_accepted(c, acceptance.turn.id),
        )

    async def journal(self, entries: Sequence[JournalEntry]) -> None:
        await self._database.write(lambda c: sql_turns.add_events(c, entries))

    async def finish(self, end: TurnEnd) -> None:
        await self._database.write(
            lambda c: sql_turns.finish(c, end), vital=True, settled=lambda c: sql_turns.was_finished(c, end)
        )

    async def turn(self, turn_id: str, owner: str) -> Turn | None:
        return await self._database.read(lambda c: sql_turns.turn(c, turn_id, owner))

    async def turns_of(self, session_id: str, owner: str, *, from_fence: int) -> tuple[Turn, ...]:
        return await self._database.read(lambda c: sql_turns.turns_of(c, session_id, owner, from_fence))

    async def forget_note(self, turn_id: str, owner: str) -> bool:
        return await self._database.write(lambda c: sql_turns.forget_note(c, turn_id, owner), vital=True)

    async def answer(self, turn_id: str, owner: str) -> StoredMessage | None:
        return await self._database.read(lambda c: sql_turns.answer(c, turn_id, owner))

    async def events(self, turn_id: str, owner: str, *, after: int = 0) -> tuple[str, ...]:
        return await self._database.read(lambda c: sql_turns.events(c, turn_id, owner, after))

    async def unfinished(self) -> tuple[Turn, ...]:
        return await self._database.read(lambda c: self._boot.orphans(c, sql_turns.unfinished(c, self._boot.id)))

    async def forget_events(self, *, ended_before_s: float) -> int:
        return await self._database.write(lambda c: sql_turns.forget_events(c, ended_before_s), vital=True)

    # Sessions

    async def session(self, session_id: str, owner: str) -> Session | None:
        return await self._database.read(lambda c: sql_sessions.session(c, session_id, owner))

    async def session_with_history(self, owner: str, digests: Sequence[bytes], *, now_s: float) -> Session | None:
        return await self._database.read(lambda c: sql_sessions.session_with_history(c, owner, digests, now_s))

    async def history(self, session_id: str) -> tuple[StoredMessage, ...]:
        return await self._database.read(lambda c: sql_sessions.history(c, session_id))

    async def sessions(self, owner: str, query: SessionQuery, *, now_s: float) -> SessionList:
        return await self._database.read(lambda c: sql_sessions.list_sessions(c, owner, query, now_s))

    async def messages(self, session_id: str, page: Page) -> MessageList:
        return await self._database.read(lambda c: sql_sessions.list_messages(c, session_id, page))

    async def add_session(self, session: Session, messages: Sequence[StoredMessage], head_digest: bytes | None) -> None:
        await self._database.write(lambda c: sql_sessions.add_session(c, session, messages, head_digest))

    async def change_session(self, session_id: str, owner: str, patch: SessionPatch, *, now_s: float) -> Session | None:
        return await self._database.write(lambda c: sql_sessions.change_session(c, session_id, owner, patch, now_s))

    async def delete_session(self, session_id: str, owner: str) -> bool:
        return await self._database.write(lambda c: sql_sessions.delete_session(c, session_id, owner), vital=True)

    async def expired_sessions(self, *, expired_before_s: float, limit: int) -> tuple[tuple[str, str], ...]:
        return await self._database.read(lambda c: sql_sessions.expired_sessions(c, expired_before_s, limit))

    async def session_stats(self, owner: str, *, now_s: float) -> SessionStats:
        return await self._database.read(lambda c: sql_sessions.session_stats(c, owner, now_s))

    # Projects

    async def add_project(self, project: Project) -> None:
        await self._database.write(lambda c: sql_projects.add_project(c, project))

    async def project(self, project_id: str, owner: str) -> Project | None:
        return await self._database.read(lambda c: sql_projects.project(c, project_id, owner))

    async def projects(self, owner: str, page: Page, *, text: str = "") -> ProjectList:
        return await self._database.read(lambda c: sql_projects.list_projects(c, owner, page, text))

    async def change_project(self, project_id: str, owner: str, patch: ProjectPatch, *, now_s: float) -> Project | None:
        return await self._database.write(lambda c: sql_projects.change_project(c, project_id, owner, patch, now_s))

    async def delete_project(self, project_id: str, owner: str) -> bool:
        return await self._database.write(lambda c: sql_projects.delete_project(c, project_id, owner), vital=True)

    # Usage

    async def usage(self, query: UsageQuery) -> tuple[UsageRow, ...]:
        return await self._database.read(lambda c: sql_usage.add_up(c, query))

    # The whole

    async def check(self) -> None:
        await self._database.check()

    @property
    def boot_id(self) -> str:
        """Names this use of the database."""
        return self._boot.id

    @property
    def name(self) -> str:
        """What kind of database it is."""
        return self._database.address.kind
