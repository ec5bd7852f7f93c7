"""Connections to both databases, with the rules that each of them is held to."""

from __future__ import annotations

from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

from claude_code_api.storage.address import Address
from claude_code_api.storage.tables import know_postgresql

# How long a database is waited for that somebody else has locked.
BUSY_S: Final = 5.0
# Until a server answers; a name that resolves to a dead machine would otherwise be waited for for minutes.
CONNECT_S: Final = 5
# One statement; the longest are searches. It bounds how long a thread can be away.
STATEMENT_S: Final = 60


class _Cursor(Protocol):
    def execute(self, statement: str) -> object: ...


class _DbApi(Protocol):
    autocommit: bool

    def cursor(self) -> _Cursor: ...


def sqlite_engine(address: Address, *, connections: int = 0, writes: bool = True, foreign_keys: bool = True) -> Engine:
    """Open the file: with one connection for each thread that uses the engine, or (0) one for each use."""
    engine = create_engine(
        address.url,
        connect_args={"timeout": BUSY_S, "isolation_level": None, "check_same_thread": False},
        **_shared(connections),
    )

    @event.listens_for(engine, "connect")
    def set_rules(connection: _DbApi, _record: object) -> None:
        cursor = connection.cursor()
        # Set in the file, for whoever opens it; the rest holds for this connection.
        cursor.execute("PRAGMA journal_mode = WAL")
        # A commit returns once it is on the disk. NORMAL would tell clients of what a power cut then takes away.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        # Checkpoints have a thread of their own, so that no request pays for one.
        cursor.execute("PRAGMA wal_autocheckpoint = 0")
        if not writes:
            cursor.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that turns into a writing one fails at once where another writes: it is not waited for.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def postgres_engine(address: Address, *, connections: int = 0) -> Engine:
    """Know the server; connections are made when they are needed."""
    know_postgresql()
    engine = create_engine(address.url, connect_args={"connect_timeout": CONNECT_S}, **_shared(connections))

    @event.listens_for(engine, "connect")
    def set_rules(connection: _DbApi, _record: object) -> None:
        connection.autocommit = True
        connection.cursor().execute(f"SET lock_timeout = {int(BUSY_S * 1000)}")
        connection.cursor().execute(f"SET statement_timeout = {STATEMENT_S * 1000}")
        connection.autocommit = False

    return engine


def _shared(connections: int) -> dict[str, Any]:
    # What people say must not get into a log by way of an error's text.
    quiet = {"hide_parameters": True}
    if not connections:
        return {"poolclass": NullPool, **quiet}
    return {"poolclass": QueuePool, "pool_size": connections, "max_overflow": 0, **quiet}
