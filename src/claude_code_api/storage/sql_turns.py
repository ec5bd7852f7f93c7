"""Turns: accepted, told, over. Each function is what one transaction does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import orjson
from sqlalchemy import Connection, bindparam, case, delete, insert, select, update

from claude_code_api.flow.ports import IdempotencyConflictError, StaleError
from claude_code_api.flow.records import (
    Acceptance,
    Compaction,
    IdempotencyKey,
    JournalEntry,
    StoredMessage,
    Turn,
    TurnEnd,
    TurnState,
)
from claude_code_api.storage import sql_budgets
from claude_code_api.storage.rows import (
    AnyRow,
    Values,
    blocks_text,
    day_of,
    message_of,
    message_values,
    outcome_values,
    session_values,
    turn_of,
    turn_values,
    usage_values,
)
from claude_code_api.storage.tables import idempotency_keys, journal, messages, sessions, turns, usage
from claude_code_api.storage.upsert import insert_new
from claude_code_api.turn.events import Usage

# The statements are made once: SQLAlchemy then finds their SQL at once.
_CONTINUE = (
    update(sessions)
    .where(
        sessions.c.id == bindparam("of_session"),
        sessions.c.owner == bindparam("of_owner"),
        sessions.c.fence == bindparam("fence_before"),
    )
    .values(
        fence=sessions.c.fence + 1,
        message_count=sessions.c.message_count + bindparam("more_messages"),
        turn_count=sessions.c.turn_count + 1,
        title=case((sessions.c.title == "", bindparam("title")), else_=sessions.c.title),
        model=bindparam("model"),
        system=bindparam("system"),
        project_id=bindparam("project_id"),
        updated_s=bindparam("now_s"),
        last_used_s=bindparam("now_s"),
        expires_s=sessions.c.ttl_s + bindparam("now_s"),
        head_digest=None,
        open_digest=bindparam("open_digest"),
    )
    .returning(sessions.c.message_count)
)
_SUPERSEDE = (
    update(messages)
    .where(messages.c.id == bindparam("of_message"), messages.c.session_id == bindparam("of_session"))
    .values(in_history=0)
)
_ADD_MESSAGE = insert(messages)
_ADD_TURN = insert(turns)
_ADD_USAGE = insert(usage)
_CONCLUDE = (
    update(sessions)
    .where(sessions.c.id == bindparam("of_session"), sessions.c.fence == bindparam("of_fence"))
    .values(
        message_count=sessions.c.message_count + bindparam("more_messages"),
        input_tokens=sessions.c.input_tokens + bindparam("more_input_tokens"),
        output_tokens=sessions.c.output_tokens + bindparam("more_output_tokens"),
        cache_read_tokens=sessions.c.cache_read_tokens + bindparam("more_cache_read_tokens"),
        cache_creation_tokens=sessions.c.cache_creation_tokens + bindparam("more_cache_creation_tokens"),
        reasoning_tokens=sessions.c.reasoning_tokens + bindparam("more_reasoning_tokens"),
        cost_usd=sessions.c.cost_usd + bindparam("more_cost_usd"),
        updated_s=bindparam("now_s"),
        last_used_s=bindparam("now_s"),
        expires_s=sessions.c.ttl_s + bindparam("now_s"),
    )
    .returning(sessions.c.message_count)
)
_ANSWERED = _CONCLUDE.values(head_digest=bindparam("head_digest"), open_digest=None)
_END = (
    update(turns)
    .where(
        turns.c.id == bindparam("of_turn"),
        turns.c.session_id == bindparam("of_session"),
        turns.c.ended_s.is_(None),
    )
    .values(
        {
            name: bindparam(name)
            for name in (
                "state",
                "ended_s",
                "model",
                "usage",
                "ended",
                "error",
                "first_token_ms",
                "answer_number",
            )
        }
    )
    .returning(turns.c.id, turns.c.owner, turns.c.session_id, turns.c.project_id, turns.c.dialect, turns.c.model)
)
_ABANDON = (
    update(turns)
    .where(turns.c.session_id == bindparam("of_session"), turns.c.ended_s.is_(None))
    .values(state=TurnState.INTERRUPTED.value, ended_s=bindparam("now_s"))
    .returning(turns.c.id, turns.c.owner, turns.c.session_id, turns.c.project_id, turns.c.dialect, turns.c.model)
)
_SUM_UP = (
    update(messages)
    .where(messages.c.id == bindparam("of_message"), messages.c.session_id == bindparam("of_session"))
    .values(summary=bindparam("summary"))
)
_DROP_EVENTS = delete(journal).where(journal.c.turn_id == bindparam("of_turn"))


# T0


def accept(connection: Connection, acceptance: Acceptance) -> None:
    """Write T0. A key counts more than the fence: a request sent twice is the same turn, not one that came too late."""
    turn = acceptance.turn
    try:
        held = _begin_session(connection, acceptance) if acceptance.new_session else _go_on(connection, acceptance)
    except StaleError:
        # It may have been the same request that came first.
        if acceptance.idempotency is not None:
            _check_key(connection, turn.owner, acceptance.idempotency)
        raise
    if acceptance.superseded:
        taken_out = [{"of_message": name, "of_session": turn.session_id} for name in acceptance.superseded]
        connection.execute(_SUPERSEDE, taken_out)
    if acceptance.messages:
        connection.execute(
            _ADD_MESSAGE,
            [message_values(entry, turn.session_id, held + n) for n, entry in enumerate(acceptance.messages, 1)],
        )
    connection.execute(_ADD_TURN, turn_values(turn) | sql_budgets.reserved(acceptance))
    if acceptance.idempotency is not None:
        _keep_key(connection, turn, acceptance.idempotency)
    # Last: a request that comes again costs nothing, and is told what it came to.
    sql_budgets.check(connection, acceptance)


def _begin_session(connection: Connection, acceptance: Acceptance) -> int:
    if acceptance.new_session is None:
        return 0
    values = session_values(acceptance.new_session) | {
        "fence": acceptance.turn.fence,
        "message_count": len(acceptance.messages),
        "turn_count": 1,
        "model": acceptance.model,
        "system": blocks_text(acceptance.system),
        "project_id": acceptance.project_id,
        "open_digest": acceptance.open_digest or None,
    }
    if not insert_new(connection, sessions, values):
        raise StaleError(f"there is a session {acceptance.turn.session_id} already")
    return 0


def _go_on(connection: Connection, acceptance: Acceptance) -> int:
    """Take the session's next fence; says how many messages it held."""
    turn, more = acceptance.turn, len(acceptance.messages)
    values = {
        "of_session": turn.session_id,
        "of_owner": turn.owner,
        "fence_before": turn.fence - 1,
        "more_messages": more,
        "title": acceptance.title,
        "model": acceptance.model,
        "system": blocks_text(acceptance.system),
        "project_id": acceptance.project_id,
        "now_s": turn.created_s,
        "open_digest": acceptance.open_digest or None,
    }
    count: int | None = connection.execute(_CONTINUE, values).scalar()
    if count is None:
        raise StaleError(f"session {turn.session_id} is not at fence {turn.fence - 1}")
    _interrupt_older(connection, turn)
    return count - more


def _interrupt_older(connection: Connection, turn: Turn) -> None:
    """End the turns that the new fence shuts out. What they used is not known; that they were is on the bill."""
    older = connection.execute(_ABANDON, {"of_session": turn.session_id, "now_s": turn.created_s})
    for row in older.all():
        end = {"state": TurnState.INTERRUPTED.value, "ended_s": turn.created_s, "day": day_of(turn.created_s)}
        connection.execute(_ADD_USAGE, _billed(row) | end | usage_values(Usage()))


def _billed(turn: AnyRow) -> Values:
    return {
        "turn_id": turn.id,
        "owner": turn.owner,
        "session_id": turn.session_id,
        "project_id": turn.project_id,
        "dialect": turn.dialect,
        "model": turn.model,
    }


def _check_key(connection: Connection, owner: str, key: IdempotencyKey) -> None:
    taken = connection.execute(
        select(idempotency_keys.c.turn_id, idempotency_keys.c.body_digest).where(
            idempotency_keys.c.owner == owner, idempotency_keys.c.key == _named(key)
        )
    ).first()
    if taken is not None:
        raise IdempotencyConflictError(taken.turn_id, bytes(taken.body_digest))


def _keep_key(connection: Connection, turn: Turn, key: IdempotencyKey) -> None:
    values = {"owner": turn.owner, "key": _named(key), "turn_id": turn.id, "body_digest": key.body_digest}
    if not insert_new(connection, idempotency_keys, values):
        _check_key(connection, turn.owner, key)
        raise StaleError(f"the idempotency key of turn {turn.id} was taken and given back meanwhile")


def _named(key: IdempotencyKey) -> str:
    """Bring a client's name for a request to a length that can be looked for in every database."""
    return hashlib.sha256(key.key.encode()).hexdigest()


def was_accepted(connection: Connection, turn_id: str) -> bool:
    """Whether there is such a turn."""
    return connection.execute(select(turns.c.id).where(turns.c.id == turn_id)).first() is not None


# T3


def add_events(connection: Connection, entries: Sequence[JournalEntry]) -> None:
    """Append events. Those of a turn that is over, or was deleted meanwhile, are of use to nobody."""
    named = sorted({entry.turn_id for entry in entries if entry.events})
    found = connection.execute(
        # On a server, the turns may not be deleted between this and the insertion.
        select(turns.c.id, turns.c.state)
        .where(turns.c.id.in_(named), turns.c.ended_s.is_(None))
        .with_for_update(read=True, key_share=True)
    ).all()
    states = {row.id: row.state for row in found}
    new = [turn_id for turn_id, state in states.items() if state == TurnState.ACCEPTED.value]
    if new:
        dispatched = update(turns).where(turns.c.id.in_(new), turns.c.state == TurnState.ACCEPTED.value)
        connection.execute(dispatched.values(state=TurnState.DISPATCHED.value))
    rows = [
        {
            "turn_id": entry.turn_id,
            "first": entry.first,
            "last": entry.first + len(entry.events) - 1,
            "events": orjson.dumps(entry.events).decode(),
        }
        for entry in entries
        if entry.events and entry.turn_id in states
    ]
    if rows:
        connection.execute(insert(journal), rows)


def events(connection: Connection, turn_id: str, owner: str, after: int) -> tuple[str, ...]:
    rows = connection.execute(
        select(journal.c.first, journal.c.events)
        .join(turns, turns.c.id == journal.c.turn_id)
        .where(turns.c.id == turn_id, turns.c.owner == owner, journal.c.last > after)
        .order_by(journal.c.first)
    )
    return tuple(
        event for row in rows for number, event in enumerate(orjson.loads(row.events), row.first) if number > after
    )


def forget_events(connection: Connection, ended_before_s: float) -> int:
    """Drop what was kept for those who ask again; says of how many turns."""
    old = select(turns.c.id).where(turns.c.ended_s < ended_before_s)
    keepers = (journal.c.turn_id, idempotency_keys.c.turn_id)
    forgotten = {row[0] for column in keepers for row in connection.execute(select(column).where(column.in_(old)))}
    for column in keepers:
        connection.execute(delete(column.table).where(column.in_(old)))
    return len(forgotten)


# T4


def finish(connection: Connection, end: TurnEnd) -> None:
    """Write T4. The session comes first, as in T0, so that two transactions never wait for each other."""
    used = end.usage or Usage()
    said = (*end.steps, end.answer) if end.answer is not None else end.steps
    more = {f"more_{name}": value for name, value in usage_values(used).items()}
    values = more | {
        "of_session": end.session_id,
        "of_fence": end.fence,
        "more_messages": len(said),
        "more_cost_usd": used.cost_usd or 0.0,
        "now_s": end.ended_s,
    }
    if end.head_digest is None:
        count = connection.execute(_CONCLUDE, values).scalar()
    else:
        count = connection.execute(_ANSWERED, values | {"head_digest": end.head_digest}).scalar()
    if count is None:
        raise StaleError(f"session {end.session_id} is not at fence {end.fence}")
    number: int | None = None if end.answer is None else count
    _end_turn(connection, end, used, number)
    if said:
        first = count - len(said) + 1
        rows = [message_values(message, end.session_id, first + n) for n, message in enumerate(said)]
        connection.execute(_ADD_MESSAGE, rows)
    if end.compaction is not None:
        _sum_up(connection, end, end.compaction)
    if not end.keep_events:
        connection.execute(_DROP_EVENTS, {"of_turn": end.turn_id})


def _sum_up(connection: Connection, end: TurnEnd, compaction: Compaction) -> None:
    of_turn = select(messages.c.id).where(messages.c.session_id == end.session_id, messages.c.turn_id == end.turn_id)
    first = compaction.message_id or connection.execute(of_turn.order_by(messages.c.number).limit(1)).scalar()
    values = {"of_message": first, "of_session": end.session_id, "summary": compaction.summary}
    connection.execute(_SUM_UP, values)


def _end_turn(connection: Connection, end: TurnEnd, used: Usage, number: int | None) -> None:
    outcome = {
        "of_turn": end.turn_id,
        "of_session": end.session_id,
        "state": end.state.value,
        "ended_s": end.ended_s,
        "model": end.model,
        "first_token_ms": end.first_token_ms,
        "answer_number": number,
    }
    turn = connection.execute(_END, outcome | outcome_values(end.usage, end.ended, end.error)).first()
    if turn is None:
        raise StaleError(f"turn {end.turn_id} is over, or not of session {end.session_id}")
    bill = {"state": end.state.value, "ended_s": end.ended_s, "day": day_of(end.ended_s)}
    connection.execute(_ADD_USAGE, _billed(turn) | bill | usage_values(used))
    sql_budgets.add(connection, turn.owner, end)


def was_finished(connection: Connection, end: TurnEnd) -> bool:
    """Whether the turn ended as this record says."""
    row = connection.execute(select(turns.c.state, turns.c.ended_s).where(turns.c.id == end.turn_id)).first()
    return row is not None and (row.state, row.ended_s) == (end.state.value, end.ended_s)


# Questions


def turn(connection: Connection, turn_id: str, owner: str) -> Turn | None:
    row = connection.execute(select(turns).where(turns.c.id == turn_id, turns.c.owner == owner)).first()
    return None if row is None else turn_of(row)


def turns_of(connection: Connection, session_id: str, owner: str, from_fence: int) -> tuple[Turn, ...]:
    rows = connection.execute(
        select(turns)
        .where(turns.c.session_id == session_id, turns.c.owner == owner, turns.c.fence >= from_fence)
        .order_by(turns.c.fence, turns.c.id)
    )
    return tuple(map(turn_of, rows))


def forget_note(connection: Connection, turn_id: str, owner: str) -> bool:
    noted = (turns.c.id == turn_id, turns.c.owner == owner, turns.c.note.is_not(None))
    found = connection.execute(update(turns).where(*noted).values(note=None).returning(turns.c.id)).first()
    if found is not None:
        connection.execute(_DROP_EVENTS, {"of_turn": turn_id})
    return found is not None


def answer(connection: Connection, turn_id: str, owner: str) -> StoredMessage | None:
    row = connection.execute(
        select(messages)
        .join(turns, (turns.c.session_id == messages.c.session_id) & (turns.c.answer_number == messages.c.number))
        .where(turns.c.id == turn_id, turns.c.owner == owner)
    ).first()
    return None if row is None else message_of(row)


def unfinished(connection: Connection, boot_id: str) -> tuple[Turn, ...]:
    rows = connection.execute(
        select(turns).where(turns.c.ended_s.is_(None), turns.c.boot_id != boot_id).order_by(turns.c.created_s)
    )
    return tuple(map(turn_of, rows))
