"""A look at a database from outside: what it is, what is in it, whether it holds together. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, exists, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from claude_code_api.storage.address import Address, StoreOpenError
from claude_code_api.storage.backups import quick_check
from claude_code_api.storage.engines import postgres_engine, sqlite_engine
from claude_code_api.storage.failures import store_error
from claude_code_api.storage.file_locks import IN_USE, FileLock, TakenError, beside
from claude_code_api.storage.schema import version_of
from claude_code_api.storage.sql_keys import any_key
from claude_code_api.storage.tables import HEAD, messages, metadata, sessions, turns, usage


@dataclass(frozen=True, slots=True)
class Status:
    """What a database is, and what is in it."""

    database: str
    kind: str
    # None: it has not been made yet.
    schema: str | None
    newest_schema: str = HEAD
    # Of a file alone: whether a gateway has it open.
    in_use: bool | None = None
    size_bytes: int | None = None
    rows: Mapping[str, int] = field(default_factory=dict)


def status_of(address: Address) -> Status:
    """Look at a database."""
    if address.file is not None and not address.file.exists():
        return Status(address.shown, address.kind, None, in_use=False)
    with _looking(address) as connection:
        version = version_of(connection)
        rows = {} if version is None else _counts(connection)
        return Status(address.shown, address.kind, version, HEAD, _in_use(address), _size(address, connection), rows)


def _counts(connection: Connection) -> dict[str, int]:
    counts = {
        table.name: connection.execute(select(func.count()).select_from(table)) for table in metadata.sorted_tables
    }
    return {name: int(found.scalar_one()) for name, found in counts.items()}


def _in_use(address: Address) -> bool | None:
    if address.file is None:
        return None
    if not beside(address.file, IN_USE).exists():
        return False
    lock = FileLock(beside(address.file, IN_USE))
    try:
        lock.take()
    except TakenError:
        return True
    finally:
        lock.close()
    return False


def _size(address: Address, connection: Connection) -> int:
    if address.file is None:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    files = (address.file, address.file.with_name(f"{address.file.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def holds_a_key(address: Address, now_s: float) -> bool:
    """Whether somebody could come in with a key that is kept in a database."""
    if address.file is not None and not address.file.exists():
        return False
    with _looking(address) as connection:
        # An older schema knows no keys.
        return version_of(connection) == HEAD and any_key(connection, now_s)


# Whether it holds together

_HELD: Final = select(func.count()).where(messages.c.session_id == sessions.c.id).scalar_subquery()
_LAST: Final = (
    select(func.coalesce(func.max(messages.c.number), 0))
    .where(messages.c.session_id == sessions.c.id)
    .scalar_subquery()
)
# What has to be true of everything, each with a look for what breaks it.
_RULES: Final = {
    "sessions that count their messages wrongly": select(sessions.c.id).where(sessions.c.message_count != _HELD),
    "sessions with gaps between their messages": select(sessions.c.id).where(_HELD != _LAST),
    "turns that are over and not on the bill": select(turns.c.id).where(
        turns.c.ended_s.is_not(None), ~exists().where(usage.c.turn_id == turns.c.id)
    ),
    "turns that go on though a later one has begun": select(turns.c.id)
    .join(sessions, sessions.c.id == turns.c.session_id)
    .where(turns.c.ended_s.is_(None), turns.c.fence < sessions.c.fence),
    "turns with an answer that is not there": select(turns.c.id).where(
        turns.c.answer_number.is_not(None),
        ~exists().where(messages.c.session_id == turns.c.session_id, messages.c.number == turns.c.answer_number),
    ),
}


def problems_of(address: Address) -> list[str]:
    """Read everything; says what is wrong, in one line each."""
    if address.file is not None:
        if not address.file.exists():
            raise StoreOpenError(f"There is no database {address.file} yet.")
        try:
            quick_check(address.file, "")
        except StoreOpenError as error:
            return [str(error).strip()]
    with _looking(address) as connection:
        if version_of(connection) != HEAD:
            raise StoreOpenError("The schema is not the newest one; run `claude-code-api db migrate` first.")
        found = []
        for rule, broken in _RULES.items():
            names = [str(row[0]) for row in connection.execute(broken.order_by(broken.selected_columns[0]))]
            if names:
                found.append(f"{len(names)} {rule}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}")  # noqa: PLR2004 - enough to look at
        return found


@contextmanager
def _looking(address: Address) -> Iterator[Connection]:
    engine = postgres_engine(address) if address.file is None else sqlite_engine(address, writes=False)
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreOpenError(f"The database {address.shown} cannot be read: {store_error(error)}.") from error
    finally:
        engine.dispose()
