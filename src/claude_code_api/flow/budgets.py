"""What a turn may come to, before it runs; what it has cost, where the model did not say; and what to answer when a
budget does not hold it.

A turn of a key with a budget is taken when what was spent, what running turns may still spend and what it may itself
come to stay within the budget; or when nothing else of the key runs and there is something left. So a budget is overrun
by one request at most, and one that is small is not dead for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from claude_code_api.flow.access import Caller
from claude_code_api.flow.admission import RETRY_AFTER_S
from claude_code_api.flow.amounts import Budget, Charge, Reservation, Spending
from claude_code_api.flow.catalogue import Model
from claude_code_api.flow.ports import BudgetError, Clock, Store
from claude_code_api.flow.purse import BYTES_PER_TOKEN, Prices, Purse
from claude_code_api.flow.rates import Standing
from claude_code_api.turn.answer import Said
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import Usage
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Block, OpaqueBlock, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult

# Of a model whose price nobody told: that of the dearest one known, in dollars for a million tokens.
_DEAREST: Final = Prices(15.0, 75.0)
# What is kept in the model's cache for an hour costs twice as much as what is only read.
_DEAREST_INPUT: Final = 2
# Of a model that does not say how long its answers get, and how much it reads.
_LONGEST_ANSWER: Final = 128_000
_WIDEST_CONTEXT: Final = 1_000_000
# A token is at least a byte of text. A picture is not text: no more than this, however small its file is.
_PICTURE_TOKENS: Final = 5_000
# What the CLI says itself, around what the client said.
_AROUND_TOKENS: Final = 2_000
# An agent takes as many steps as its work needs: nobody can say beforehand what it comes to.
_UNKNOWN: Final = Reservation(usd=1e12, tokens=2**53)


def reservation_for(caller: Caller, request: TurnRequest, model: Model | None, profile: Profile) -> Reservation | None:
    """Say what a turn may come to at most. None: nobody watches what its key spends."""
    if caller.budget.unlimited:
        return None
    if profile is not Profile.CHAT:
        return _UNKNOWN
    asked = request.limits.max_output_tokens
    longest = (model.max_output_tokens if model is not None else None) or _LONGEST_ANSWER
    output = min(asked, longest) if asked is not None else longest
    read = _most_input(request, model)
    return Reservation(_prices(model).of(Usage(read * _DEAREST_INPUT, output)), read + output)


def charge_for(request: TurnRequest, model: Model | None, result: TurnResult, said: Said) -> Charge:
    """Say what a turn has cost: as the model says, or where it was cut before that, as far as one can tell."""
    used = result.usage
    if used is not None and used.cost_usd is not None:
        return Charge(used.cost_usd, used.all_input_tokens + used.output_tokens)
    if result.started is None and used is None:
        # It never came to the model.
        return Charge(0.0, 0)
    used = used or Usage()
    read = used.all_input_tokens or _most_input(request, model) // BYTES_PER_TOKEN
    words = (block for message in (*said.steps, said.answer) if message is not None for block in message.blocks)
    wrote = max(used.output_tokens, sum(map(_size, words)) // BYTES_PER_TOKEN)
    return Charge(_prices(model).of(Usage(read, wrote)), read + wrote)


def _prices(model: Model | None) -> Prices:
    if model is None or model.input_usd is None or model.output_usd is None:
        return _DEAREST
    return Prices(model.input_usd, model.output_usd)


def _most_input(request: TurnRequest, model: Model | None) -> int:
    """As many tokens as a request can be for the model to read. It reads no more than fits into it."""
    fits = (model.context_tokens if model is not None else None) or _WIDEST_CONTEXT
    blocks = [block for message in request.messages for block in message.blocks]
    if request.remote_parts or any(_is_document(block) for block in blocks):
        # How long it is, only who reads it knows.
        return fits
    pictures = sum(isinstance(block, OpaqueBlock) for block in blocks)
    text = sum(_size(block) for block in (*blocks, *request.system, *request.instructions))
    tools = len(repr((request.tools, request.output_schema)).encode(errors="replace"))
    return min(fits, text + tools + pictures * _PICTURE_TOKENS + _AROUND_TOKENS)


def _is_document(block: Block) -> bool:
    return isinstance(block, OpaqueBlock) and block.body.get("type") == "document"


def _size(block: Block) -> int:
    said = block.text if isinstance(block, TextBlock) else repr(block)
    return len(said.encode(errors="replace"))


# While an agent works


async def purse_for(caller: Caller, model: Model | None, profile: Profile, store: Store, now_s: float) -> Purse | None:
    """Count what an agent's turn that was just taken uses, against what it may: of a key with a budget, no other turn
    runs. None: it is no agent's, and what it comes to at most was known before."""
    if profile is Profile.CHAT:
        return None
    budget = caller.budget
    if budget.unlimited:
        return Purse(_prices(model))
    spent = await store.spending(caller.name, now_s=now_s)
    usd = ((budget.usd_per_month, spent.month.usd), (budget.usd_per_day, spent.day.usd))
    tokens = ((budget.tokens_per_month, spent.month.tokens), (budget.tokens_per_day, spent.day.tokens))
    return Purse(_prices(model), usd=_least_left(usd), tokens=_least_left(tokens))


def _least_left(limits: Iterable[tuple[float | None, float]]) -> float:
    return min((limit - used for limit, used in limits if limit is not None), default=math.inf)


# Where a budget stands


class Budgets:
    """Looks at what keys have left."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Take what there is."""
        self._store, self._clock = store, clock

    async def tokens(self, caller: Caller) -> Standing | None:
        """Say how many tokens a key has left, where somebody counts them: of the tightest of its budgets."""
        budget, now_s = caller.budget, self._clock.now_s()
        if budget.tokens_per_month is None and budget.tokens_per_day is None:
            return None
        spent = await self._store.spending(caller.name, now_s=now_s)
        return min(_standings(budget, spent, now_s), key=lambda standing: standing.remaining)


def _standings(budget: Budget, spent: Spending, now_s: float) -> Iterable[Standing]:
    limits = ((budget.tokens_per_month, spent.month, "month"), (budget.tokens_per_day, spent.day, "day"))
    for limit, used, period in limits:
        if limit is not None:
            yield Standing(limit, max(0, limit - used.tokens), seconds_left(period, now_s))


def seconds_left(period: str, now_s: float) -> float:
    """Say how long a day, or a month, of UTC still lasts."""
    now = datetime.fromtimestamp(now_s, UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    # The 28th and four days are in the next month, whichever this one is.
    end = today + timedelta(days=1) if period == "day" else (today.replace(day=28) + timedelta(days=4)).replace(day=1)
    return (end - now).total_seconds()


def budget_refusal(error: BudgetError, now_s: float) -> TurnRefusedError:
    """Say that a budget does not hold a turn: as it is spent, or only while others run."""
    if not error.spent:
        message = "What is left of this key's budget may be needed by its turns that run; try again when one has ended."
        reserved = TurnError(ErrorKind.RATE_LIMITED, message, source="client", retry_after_s=RETRY_AFTER_S)
        return TurnRefusedError(reserved)
    left_s = seconds_left(error.period, now_s)
    anew = datetime.fromtimestamp(now_s + left_s, UTC).strftime("%Y-%m-%d")
    amount = f"${error.limit:g}" if error.unit == "usd" else f"{error.limit:,.0f} tokens"
    message = f"This key's budget of {amount} a {error.period} is spent; it begins anew on {anew} (UTC)."
    return TurnRefusedError(TurnError(ErrorKind.BUDGET_SPENT, message, source="client", retry_after_s=left_s))
