"""Insertion where there may be a row already, which then stays or grows: each database has its own construct for it."""

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


def add_to(connection: Connection, table: Table, named: dict[str, Any], amounts: dict[str, Any]) -> None:
    """Add amounts to those of the row with this key, or to none."""
    connection.execute(_addition(connection.dialect.name, table, tuple(amounts)), named | amounts)


@cache
def _addition(dialect: str, table: Table, amounts: tuple[str, ...]) -> Executable:
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - its memory is saved where it is not used

        new = postgresql.insert(table)
        grown = {name: table.c[name] + new.excluded[name] for name in amounts}
        return new.on_conflict_do_update(index_elements=list(table.primary_key), set_=grown)
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - the same

    fresh = sqlite.insert(table)
    larger = {name: table.c[name] + fresh.excluded[name] for name in amounts}
    return fresh.on_conflict_do_update(index_elements=list(table.primary_key), set_=larger)
