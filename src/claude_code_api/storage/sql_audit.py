"""The record, a chain of hashes. Each function is what one transaction does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, true

from claude_code_api.flow.acts import Act
from claude_code_api.flow.audit_records import START, AuditEntry, AuditList, AuditQuery, entry_after
from claude_code_api.storage.named_locks import hold
from claude_code_api.storage.rows import AnyRow
from claude_code_api.storage.tables import audit

_LAST: Final = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)


def append(connection: Connection, acts: Sequence[Act]) -> None:
    """Add to the end. The last thing in its transaction: from here on, no other one can add anything."""
    if not acts:
        return
    hold(connection, "audit")
    last = connection.execute(_LAST).first()
    number, head = (last.number, bytes(last.hash)) if last is not None else (0, START)
    rows = []
    for act in acts:
        entry = entry_after(number, head, act)
        number, head = entry.number, entry.hash
        rows.append(_values(entry))
    connection.execute(insert(audit), rows)


def list_entries(connection: Connection, query: AuditQuery) -> AuditList:
    wanted = _wanted(query)
    total = connection.execute(select(func.count()).select_from(audit).where(wanted)).scalar_one()
    page, number = query.page, audit.c.number
    if page.after is not None:
        if not (page.after.isascii() and page.after.isdecimal()):
            # Behind an entry that is not in the list, there is nothing.
            return AuditList(has_more=False, total=total)
        after = int(page.after[:18])
        wanted = and_(wanted, number > after if page.ascending else number < after)
    order = number if page.ascending else number.desc()
    rows = connection.execute(select(audit).where(wanted).order_by(order).limit(page.limit + 1)).all()
    return AuditList(len(rows) > page.limit, total, tuple(map(_entry_of, rows[: page.limit])))


def chain(connection: Connection, after: int, limit: int) -> tuple[AuditEntry, ...]:
    rows = connection.execute(select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(limit))
    return tuple(map(_entry_of, rows))


def _wanted(query: AuditQuery) -> ColumnElement[bool]:
    found: list[ColumnElement[bool]] = [true()]
    if query.since_s is not None:
        found.append(audit.c.at_s >= query.since_s)
    if query.until_s is not None:
        found.append(audit.c.at_s < query.until_s)
    if query.key is not None:
        found.append(audit.c.key == query.key)
    if query.kind is not None:
        found.append(audit.c.kind == query.kind)
    return and_(*found)


def _values(entry: AuditEntry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at_s": entry.at_s,
        "key": entry.key,
        "kind": entry.kind,
        "body": entry.body,
        "hash": entry.hash,
    }


def _entry_of(row: AnyRow) -> AuditEntry:
    return AuditEntry(row.number, row.at_s, row.key, row.kind, row.body, bytes(row.hash))
