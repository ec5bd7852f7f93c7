"""Parts of a list, and searching in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Integer, Row, Table, and_, func, literal, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from claude_code_api.flow.records import Page
from claude_code_api.storage.rows import folded


@dataclass(frozen=True, slots=True)
class Order:
    """A list of somebody's: rows of a table, newest first by these columns, which together name one row."""

    table: Table
    by: tuple[Column[Any], ...]
    within: ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a list, and what is to be said of all of it."""

    rows: Sequence[Row[Any]]
    has_more: bool
    total: int


def page_of(connection: Connection, order: Order, wanted: ColumnElement[bool], page: Page) -> Part:
    """Read a part of what is wanted. Behind an entry that is not in the list, there is nothing."""
    everything = and_(order.within, wanted)
    total = connection.execute(select(func.count()).select_from(order.table).where(everything)).scalar_one()
    if not total:
        # A search has read everything, and need not do so again.
        return Part((), has_more=False, total=0)
    if page.after is not None:
        named = and_(order.within, order.table.c.id == page.after)
        last = connection.execute(select(*order.by).where(named)).first()
        if last is None:
            return Part((), has_more=False, total=total)
        here, there = tuple_(*order.by), tuple_(*last)
        everything = and_(everything, here > there if page.ascending else here < there)
    by = [column if page.ascending else column.desc() for column in order.by]
    rows = connection.execute(select(order.table).where(everything).order_by(*by).limit(page.limit + 1)).all()
    return Part(rows[: page.limit], len(rows) > page.limit, total)


class _Place(FunctionElement[int]):
    """Where a text stands in another one: a number from 1, or 0."""

    inherit_cache = True
    type = Integer()


@compiles(_Place)
def _on_a_server(element: _Place, compiler: SQLCompiler, **kw: object) -> str:
    return f"strpos({compiler.process(element.clauses, **kw)})"


@compiles(_Place, "sqlite")
def _in_a_file(element: _Place, compiler: SQLCompiler, **kw: object) -> str:
    return f"instr({compiler.process(element.clauses, **kw)})"


def has_words(column: Column[str], text: str) -> ColumnElement[bool]:
    """Look for a text in a column of folded words. Not with LIKE: there, some characters mean others."""
    return _Place(column, literal(folded(text), column.type)) > 0
