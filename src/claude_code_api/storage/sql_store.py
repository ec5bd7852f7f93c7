"""The store: each method is one transaction of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from claude_code_api.flow.acts import Act
from claude_code_api.flow.amounts import Spending, Window
from claude_code_api.flow.audit_records import AuditEntry, AuditList, AuditQuery
from claude_code_api.flow.key_records import ApiKey, KeyList, KeyPatch
from claude_code_api.flow.ports import StaleError
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
from claude_code_api.storage import (
    sql_audit,
    sql_budgets,
    sql_keys,
    sql_projects,
    sql_rates,
    sql_sessions,
    sql_turns,
    sql_usage,
)
from claude_code_api.storage.boots import Boot
from claude_code_api.storage.database import Database, Result, Work


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
        try:
            await self._database.write(
                _also(end.acts, lambda c: sql_turns.finish(c, end)),
                vital=True,
                settled=lambda c: sql_turns.was_finished(c, end),
            )
        except StaleError:
            # Nobody gets the answer; the model was paid for it all the same.
            if end.charge is not None:
                await self._database.write(lambda c: sql_budgets.add(c, end.owner, end), vital=True)
            # And what its agent did was done.
            await self._database.write(lambda c: sql_audit.append(c, end.acts), vital=True)
            raise

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

    async def change_session(
        self, session_id: str, owner: str, patch: SessionPatch, *, now_s: float, act: Act | None = None
    ) -> Session | None:
        return await self._database.write(
            _with(act, lambda c: sql_sessions.change_session(c, session_id, owner, patch, now_s))
        )

    async def delete_session(self, session_id: str, owner: str) -> bool:
        return await self._database.write(lambda c: sql_sessions.delete_session(c, session_id, owner), vital=True)

    async def expired_sessions(self, *, expired_before_s: float, limit: int) -> tuple[tuple[str, str], ...]:
        return await self._database.read(lambda c: sql_sessions.expired_sessions(c, expired_before_s, limit))

    async def session_stats(self, owner: str, *, now_s: float) -> SessionStats:
        return await self._database.read(lambda c: sql_sessions.session_stats(c, owner, now_s))

    # Projects

    async def add_project(self, project: Project, *, act: Act | None = None) -> None:
        await self._database.write(_also((act,), lambda c: sql_projects.add_project(c, project)))

    async def project(self, project_id: str, owner: str | None) -> Project | None:
        return await self._database.read(lambda c: sql_projects.project(c, project_id, owner))

    async def projects(
        self, owner: str | None, page: Page, *, text: str = "", among: Sequence[str] | None = None
    ) -> ProjectList:
        return await self._database.read(lambda c: sql_projects.list_projects(c, owner, page, text, among))

    async def change_project(
        self, project_id: str, owner: str, patch: ProjectPatch, *, now_s: float, act: Act | None = None
    ) -> Project | None:
        return await self._database.write(
            _with(act, lambda c: sql_projects.change_project(c, project_id, owner, patch, now_s))
        )

    async def delete_project(self, project_id: str, owner: str) -> bool:
        return await self._database.write(lambda c: sql_projects.delete_project(c, project_id, owner), vital=True)

    # Keys

    async def add_key(self, key: ApiKey, *, act: Act | None = None) -> None:
        await self._database.write(_also((act,), lambda c: sql_keys.add_key(c, key)))

    async def key(self, key_id: str) -> ApiKey | None:
        return await self._database.read(lambda c: sql_keys.key(c, key_id))

    async def key_with_digest(self, digest: bytes) -> ApiKey | None:
        return await self._database.read(lambda c: sql_keys.key_with_digest(c, digest))

    async def keys(self, page: Page, *, with_revoked: bool = False) -> KeyList:
        return await self._database.read(lambda c: sql_keys.list_keys(c, page, with_revoked=with_revoked))

    async def change_key(self, key_id: str, patch: KeyPatch, *, act: Act | None = None) -> ApiKey | None:
        return await self._database.write(_with(act, lambda c: sql_keys.change_key(c, key_id, patch)))

    async def replace_key(self, key_id: str, digest: bytes, *, act: Act | None = None) -> ApiKey | None:
        return await self._database.write(_with(act, lambda c: sql_keys.replace_key(c, key_id, digest)), vital=True)

    async def revoke_key(self, key_id: str, *, now_s: float, act: Act | None = None) -> ApiKey | None:
        return await self._database.write(_with(act, lambda c: sql_keys.revoke_key(c, key_id, now_s)), vital=True)

    async def note_use(self, used: Mapping[str, float]) -> None:
        await self._database.write(lambda c: sql_keys.note_use(c, used))

    async def take_hits(self, name: str, amount: int, *, limit: int, window_s: float, now_s: float) -> Window:
        return await self._database.write(
            lambda c: sql_rates.take_hits(c, name, amount, limit=limit, window_s=window_s, now_s=now_s)
        )

    async def forget_hits(self, *, before_s: float) -> None:
        await self._database.write(lambda c: sql_rates.forget_hits(c, before_s), vital=True)

    # Usage

    async def spending(self, owner: str, *, now_s: float) -> Spending:
        return await self._database.read(lambda c: sql_budgets.spent_by(c, owner, now_s))

    async def usage(self, query: UsageQuery) -> tuple[UsageRow, ...]:
        return await self._database.read(lambda c: sql_usage.add_up(c, query))

    # The record

    async def put_on_record(self, acts: Sequence[Act]) -> None:
        if acts:
            await self._database.write(lambda c: sql_audit.append(c, acts))

    async def audit(self, query: AuditQuery) -> AuditList:
        return await self._database.read(lambda c: sql_audit.list_entries(c, query))

    async def chain(self, *, after: int, limit: int) -> tuple[AuditEntry, ...]:
        return await self._database.read(lambda c: sql_audit.chain(c, after, limit))

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


def _also(acts: Sequence[Act | None], work: Work[Result]) -> Work[Result]:
    """Put acts on record in the transaction that carries them out."""

    def done(connection: Connection) -> Result:
        result = work(connection)
        sql_audit.append(connection, [act for act in acts if act is not None])
        return result

    return done


def _with(act: Act | None, change: Work[Result | None]) -> Work[Result | None]:
    """Put a change on record in the transaction that carries it out, if there was something to change."""

    def done(connection: Connection) -> Result | None:
        result = change(connection)
        if act is not None and result is not None:
            sql_audit.append(connection, [act])
        return result

    return done
