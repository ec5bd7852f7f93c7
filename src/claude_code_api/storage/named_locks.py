"""One after the other, by a name, until the end of the transaction."""

from __future__ import annotations

from sqlalchemy import Connection, func, select


def hold(connection: Connection, name: str) -> None:
    """Wait until nobody else holds the name. In a file only one writes at a time, so there is nothing to wait for."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
