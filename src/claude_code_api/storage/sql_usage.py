"""The bill, added up."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, case, func, literal_column, select

from claude_code_api.flow.records import TurnState, UsageGroup, UsageQuery, UsageRow
from claude_code_api.storage.rows import usage_of
from claude_code_api.storage.tables import usage

_COLUMNS: Final[dict[UsageGroup, Column[Any]]] = {
    UsageGroup.DAY: usage.c.day,
    UsageGroup.KEY: usage.c.owner,
    UsageGroup.PROJECT: usage.c.project_id,
    UsageGroup.SESSION: usage.c.session_id,
    UsageGroup.MODEL: usage.c.model,
}
# Not a parameter: PostgreSQL would take two of them for two things, and see no group.
_NONE: Final[Any] = literal_column("''")
# Neither what was answered nor what somebody wanted to end.
_FAILED: Final = (TurnState.FAILED.value, TurnState.INTERRUPTED.value)


def add_up(connection: Connection, query: UsageQuery) -> tuple[UsageRow, ...]:
    """Add up by the query's groups: the newest days first, then by the other groups' values. No project is ""."""
    groups = [func.coalesce(_COLUMNS[group], _NONE).label(f"group_{group.value}") for group in query.groups]
    order = [
        column.desc() if group is UsageGroup.DAY else column
        for group, column in sorted(
            zip(query.groups, groups, strict=True), key=lambda pair: pair[0] is not UsageGroup.DAY
        )
    ]
    rows = connection.execute(
        select(*groups, *_sums()).where(*_wanted(query)).group_by(*groups).order_by(*order).limit(query.limit)
    )
    return tuple(
        UsageRow(
            group={group: str(row[n]) for n, group in enumerate(query.groups)},
            turns=row.turns,
            failed_turns=int(row.failed_turns or 0),
            usage=usage_of(row),
        )
        for row in rows
        if row.turns
    )


def _sums() -> list[ColumnElement[Any]]:
    added = (
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_creation_tokens",
        "reasoning_tokens",
        "cost_usd",
    )
    return [
        func.count().label("turns"),
        func.sum(case((usage.c.state.in_(_FAILED), 1), else_=0)).label("failed_turns"),
        *(func.sum(usage.c[name]).label(name) for name in added),
    ]


def _wanted(query: UsageQuery) -> list[ColumnElement[bool]]:
    same = (
        (usage.c.owner, query.owner),
        (usage.c.project_id, query.project_id),
        (usage.c.session_id, query.session_id),
        (usage.c.model, query.model),
    )
    wanted = [column == value for column, value in same if value is not None]
    if query.since_s is not None:
        wanted.append(usage.c.ended_s >= query.since_s)
    if query.until_s is not None:
        wanted.append(usage.c.ended_s < query.until_s)
    return wanted
