"""Sessions and what was said in them. Each function is what one transaction does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    union,
    update,
)

from claude_code_api.flow.records import (
    MessageList,
    Page,
    Session,
    SessionList,
    SessionPatch,
    SessionQuery,
    SessionStats,
    StoredMessage,
)
from claude_code_api.storage.paging import Order, has_words, page_of
from claude_code_api.storage.rows import (
    Values,
    blocks_text,
    folded,
    message_of,
    message_values,
    session_of,
    session_values,
    usage_of,
)
from claude_code_api.storage.tables import messages, sessions


def session(connection: Connection, session_id: str, owner: str) -> Session | None:
    row = connection.execute(select(sessions).where(_is(session_id, owner))).first()
    return None if row is None else session_of(row)


def session_with_history(connection: Connection, owner: str, digests: Sequence[bytes], now_s: float) -> Session | None:
    # Two look-ups: of one condition with an "or" in it, SQLite makes a walk through all of the owner's sessions.
    mine = select(sessions.c.id).where(sessions.c.owner == owner)
    named = union(mine.where(sessions.c.head_digest.in_(digests)), mine.where(sessions.c.open_digest.in_(digests)))
    row = connection.execute(
        select(sessions)
        .where(sessions.c.id.in_(named), _alive(now_s))
        .order_by(sessions.c.last_used_s.desc(), sessions.c.id)
        .limit(1)
    ).first()
    return None if row is None else session_of(row)


def history(connection: Connection, session_id: str) -> tuple[StoredMessage, ...]:
    rows = connection.execute(
        select(messages)
        .where(messages.c.session_id == session_id, messages.c.in_history == 1)
        .order_by(messages.c.number)
    )
    return tuple(map(message_of, rows))


def list_sessions(connection: Connection, owner: str, query: SessionQuery, now_s: float) -> SessionList:
    order = Order(sessions, (sessions.c.last_used_s, sessions.c.id), sessions.c.owner == owner)
    wanted: list[ColumnElement[bool]] = []
    if query.project_id is not None:
        wanted.append(sessions.c.project_id == query.project_id)
    if not query.with_expired:
        wanted.append(_alive(now_s))
    if query.text:
        said = exists().where(messages.c.session_id == sessions.c.id, has_words(messages.c.words, query.text))
        wanted.append(or_(has_words(sessions.c.words, query.text), said))
    part = page_of(connection, order, and_(true(), *wanted), query.page)
    return SessionList(part.has_more, part.total, tuple(map(session_of, part.rows)))


def list_messages(connection: Connection, session_id: str, page: Page) -> MessageList:
    order = Order(messages, (messages.c.number,), messages.c.session_id == session_id)
    part = page_of(connection, order, true(), page)
    return MessageList(part.has_more, part.total, tuple(map(message_of, part.rows)))


def add_session(connection: Connection, new: Session, said: Sequence[StoredMessage], head_digest: bytes | None) -> None:
    values = session_values(new) | {"message_count": len(said), "head_digest": head_digest}
    connection.execute(insert(sessions), values)
    if said:
        rows = [message_values(message, new.id, number) for number, message in enumerate(said, 1)]
        connection.execute(insert(messages), rows)


def change_session(
    connection: Connection, session_id: str, owner: str, patch: SessionPatch, now_s: float
) -> Session | None:
    row = connection.execute(
        update(sessions).where(_is(session_id, owner)).values(_changes(patch, now_s)).returning(sessions)
    ).first()
    return None if row is None else session_of(row)


def _changes(patch: SessionPatch, now_s: float) -> Values:
    changes: dict[str, Any] = {"updated_s": now_s}
    if patch.title is not None:
        changes |= {"title": patch.title, "words": folded(patch.title)}
    if patch.model is not None:
        changes["model"] = patch.model
    if patch.system is not None:
        changes["system"] = blocks_text(patch.system)
    if patch.profile is not None:
        changes["profile"] = patch.profile.value
    if patch.mode is not None:
        changes["mode"] = patch.mode.value
    if patch.project_id is not None:
        changes["project_id"] = patch.project_id
    if patch.ttl_s is not None:
        (ttl_s,) = patch.ttl_s
        changes |= {"ttl_s": ttl_s, "expires_s": None if ttl_s is None else sessions.c.last_used_s + ttl_s}
    return changes


def delete_session(connection: Connection, session_id: str, owner: str) -> bool:
    """Delete it; its messages and turns go with it, by their foreign keys."""
    return connection.execute(delete(sessions).where(_is(session_id, owner))).rowcount == 1


def expired_sessions(connection: Connection, expired_before_s: float, limit: int) -> tuple[tuple[str, str], ...]:
    rows = connection.execute(
        select(sessions.c.id, sessions.c.owner)
        .where(sessions.c.expires_s < expired_before_s)
        .order_by(sessions.c.expires_s, sessions.c.id)
        .limit(limit)
    )
    return tuple((row.id, row.owner) for row in rows)


def session_stats(connection: Connection, owner: str, now_s: float) -> SessionStats:
    row = connection.execute(_sums(owner)).one()
    alive = select(func.count()).select_from(sessions).where(sessions.c.owner == owner, _alive(now_s))
    return SessionStats(
        sessions=row.sessions,
        active_sessions=connection.execute(alive).scalar_one(),
        messages=int(row.messages or 0),
        turns=int(row.turns or 0),
        usage=usage_of(row),
    )


def _sums(owner: str) -> Select[Any]:
    added = (
        func.sum(sessions.c[name]).label(name)
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_creation_tokens",
            "reasoning_tokens",
        )
    )
    return select(
        func.count().label("sessions"),
        func.sum(sessions.c.message_count).label("messages"),
        func.sum(sessions.c.turn_count).label("turns"),
        func.coalesce(func.sum(sessions.c.cost_usd), 0.0).label("cost_usd"),
        *added,
    ).where(sessions.c.owner == owner)


def _is(session_id: str, owner: str) -> ColumnElement[bool]:
    return and_(sessions.c.id == session_id, sessions.c.owner == owner)


def _alive(now_s: float) -> ColumnElement[bool]:
    return or_(sessions.c.expires_s.is_(None), sessions.c.expires_s > now_s)
