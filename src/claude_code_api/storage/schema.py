"""The schema of a database that is being opened: made, recognised, brought up to date."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Engine, inspect, select

from claude_code_api.storage.address import StoreOpenError
from claude_code_api.storage.tables import HEAD, metadata, versions

# Under it, one gateway at a time looks at the schema of a server's database: any number that nobody else has.
_LOCK: Final = 0x636361_01


def version_of(connection: Connection) -> str | None:
    """Return the version of the schema; None for an empty database. Raises `StoreOpenError` for somebody else's."""
    tables = inspect(connection).get_table_names()
    if versions.name in tables and "sessions" in tables:
        return str(connection.execute(select(versions.c.version_num)).scalar_one())
    if tables:
        raise StoreOpenError("The database holds tables that are not the gateway's; choose an empty one.")
    return None


def lock(connection: Connection) -> None:
    """Keep other gateways away until the transaction is over. SQLite's writing transaction does so by itself."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def bring_up(engine: Engine, before_migration: Callable[[str], None]) -> None:
    """Make the schema, or bring it up to date. `before_migration` gets the version that there is, while it still is."""
    with engine.begin() as connection:
        lock(connection)
        version = version_of(connection)
        if version is None:
            make(connection)
    if version is None or version == HEAD:
        return

    from claude_code_api.storage.migrations import is_known, upgrade  # noqa: PLC0415 - see there

    if not is_known(version):
        raise StoreOpenError(
            f"The database has the schema {version}, which this version of the gateway does not know; "
            "install the newer one again, or restore a backup (`claude-code-api db restore FILE`)."
        )
    before_migration(version)
    with engine.begin() as connection:
        lock(connection)
        upgrade(connection, HEAD)


def make(connection: Connection) -> None:
    """Make the newest schema at once; a test compares it with what the scripts make."""
    metadata.create_all(connection)
    versions.create(connection)
    connection.execute(versions.insert(), {"version_num": HEAD})
