"""Insertion that gives way to a row that is there already: each database has its own construct for it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Table


def insert_new(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row; false if there was one with this key."""
    return connection.execute(_statement(connection.dialect.name, table), values).first() is not None


@cache
def _statement(dialect: str, table: Table) -> Executable:
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - its memory is saved where it is not used

        return postgresql.insert(table).on_conflict_do_nothing().returning(*table.primary_key)
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - the same

    return sqlite.insert(table).on_conflict_do_nothing().returning(*table.primary_key)
