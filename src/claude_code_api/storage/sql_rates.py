"""Requests that a limit let through. Each function is what one transaction does."""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from claude_code_api.flow.amounts import Window
from claude_code_api.storage.named_locks import hold
from claude_code_api.storage.tables import rate_hits

# What fits into a column, and tells as many requests of one moment apart as there will ever be.
_NONCE_BITS: Final = 62
_OLD: Final = delete(rate_hits).where(
    rate_hits.c.name == bindparam("of_name"), rate_hits.c.at_s <= bindparam("before_s")
)
_COUNT: Final = select(func.count(), func.min(rate_hits.c.at_s)).where(rate_hits.c.name == bindparam("of_name"))


def take_hits(connection: Connection, name: str, amount: int, *, limit: int, window_s: float, now_s: float) -> Window:
    hold(connection, f"rate {name}")
    connection.execute(_OLD, {"of_name": name, "before_s": now_s - window_s})
    count, oldest_s = connection.execute(_COUNT, {"of_name": name}).one()
    taken = count + amount <= limit
    if taken and amount:
        rows = [{"name": name, "at_s": now_s, "nonce": secrets.randbits(_NONCE_BITS)} for _ in range(amount)]
        connection.execute(insert(rate_hits), rows)
        count += amount
    return Window(taken, count, now_s if oldest_s is None else oldest_s)


def forget_hits(connection: Connection, before_s: float) -> None:
    connection.execute(delete(rate_hits).where(rate_hits.c.at_s <= before_s))
