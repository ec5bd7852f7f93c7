"""Budgets: what was spent by owner and day, and what running turns may still spend. Parts of other transactions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from claude_code_api.flow.amounts import Charge, Spending
from claude_code_api.flow.ports import BudgetError
from claude_code_api.flow.records import Acceptance, TurnEnd
from claude_code_api.storage.named_locks import hold
from claude_code_api.storage.rows import Values, day_of
from claude_code_api.storage.tables import spending, turns
from claude_code_api.storage.upsert import add_to
from claude_code_api.turn.events import Usage

_RUNNING: Final = select(
    func.count().label("turns"),
    func.coalesce(func.sum(turns.c.reserved_usd), 0.0).label("usd"),
    func.coalesce(func.sum(turns.c.reserved_tokens), 0).label("tokens"),
).where(turns.c.owner == bindparam("of_owner"), turns.c.ended_s.is_(None), turns.c.id != bindparam("but_turn"))
_SPENT: Final = select(
    func.coalesce(func.sum(spending.c.cost_usd), 0.0).label("usd"),
    func.coalesce(func.sum(spending.c.tokens), 0).label("tokens"),
).where(
    spending.c.owner == bindparam("of_owner"), spending.c.day >= bindparam("since"), spending.c.day <= bindparam("to")
)


def reserved(acceptance: Acceptance) -> Values:
    """Say what a turn's row keeps of it."""
    wanted = acceptance.reservation
    return {
        "reserved_usd": None if wanted is None else wanted.usd,
        "reserved_tokens": None if wanted is None else wanted.tokens,
    }


def check(connection: Connection, acceptance: Acceptance) -> None:
    """Refuse a turn that its key's budget does not hold. The turn is written already, with what it reserves."""
    turn, wanted, budget = acceptance.turn, acceptance.reservation, acceptance.budget
    if wanted is None:
        return
    hold(connection, f"budget {turn.owner}")
    # In this order: a turn that ends in between is counted twice, and never not at all.
    running = connection.execute(_RUNNING, {"of_owner": turn.owner, "but_turn": turn.id}).one()
    spent = spent_by(connection, turn.owner, turn.created_s)
    limits = (
        (budget.usd_per_month, spent.month.usd, running.usd + wanted.usd, "month", "usd"),
        (budget.usd_per_day, spent.day.usd, running.usd + wanted.usd, "day", "usd"),
        (budget.tokens_per_month, spent.month.tokens, running.tokens + wanted.tokens, "month", "tokens"),
        (budget.tokens_per_day, spent.day.tokens, running.tokens + wanted.tokens, "day", "tokens"),
    )
    for limit, used, at_most, period, unit in limits:
        if limit is None:
            continue
        if used >= limit:
            raise BudgetError(spent=True, limit=limit, period=period, unit=unit)
        if running.turns and used + at_most > limit:
            raise BudgetError(spent=False, limit=limit, period=period, unit=unit)


def spent_by(connection: Connection, owner: str, now_s: float) -> Spending:
    today = day_of(now_s)
    month, day = (
        connection.execute(_SPENT, {"of_owner": owner, "since": since, "to": today}).one()
        for since in (f"{today[:7]}-01", today)
    )
    return Spending(Charge(float(month.usd), int(month.tokens)), Charge(float(day.usd), int(day.tokens)))


def add(connection: Connection, owner: str, end: TurnEnd) -> None:
    """Put on the day's account what a turn has cost."""
    used = end.usage or Usage()
    charge = end.charge or Charge(used.cost_usd or 0.0, used.all_input_tokens + used.output_tokens)
    if charge.usd or charge.tokens:
        amounts = {"cost_usd": charge.usd, "tokens": charge.tokens}
        add_to(connection, spending, {"owner": owner, "day": day_of(end.ended_s)}, amounts)
