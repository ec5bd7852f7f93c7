"""What a turn may come to, and what a cut one has cost."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.flow.access import Caller
from claude_code_api.flow.amounts import Budget, Charge, Reservation
from claude_code_api.flow.budgets import budget_refusal, charge_for, reservation_for, seconds_left
from claude_code_api.flow.catalogue import Model
from claude_code_api.flow.ports import BudgetError
from claude_code_api.turn.answer import Said
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import Started, Usage
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import ClientTool, Limits, Message, OpaqueBlock, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
WATCHED = Caller("ann", admin=False, budget=Budget(usd_per_month=5.0))
MODEL = Model("m", "M", "m", 0, context_tokens=200_000, max_output_tokens=8000, input_usd=1.0, output_usd=5.0)
STARTED = Started("t", "m", 0)


def asking(*blocks: Any, **more: Any) -> TurnRequest:
    return TurnRequest("m", (Message("user", blocks or (TextBlock("hi"),)),), **more)


def at_most(request: TurnRequest, model: Model | None = MODEL) -> Reservation:
    found = reservation_for(WATCHED, request, model, Profile.CHAT)
    assert found is not None
    return found


def test_nobody_watches_a_key_without_a_budget() -> None:
    assert reservation_for(Caller("ann", admin=False), asking(), MODEL, Profile.CHAT) is None


def test_the_answer_is_as_long_as_was_asked_for_or_as_the_model_can() -> None:
    short = at_most(asking(limits=Limits(max_output_tokens=100)))
    whole = at_most(asking())
    assert whole.tokens - short.tokens == 7900
    assert whole.usd - short.usd == pytest.approx(7900 * 5 / 1e6)
    assert at_most(asking(limits=Limits(max_output_tokens=10**9))) == whole


@pytest.mark.parametrize("text", ["x" * 9000, "ö" * 9000, "漢" * 9000, "\x00" * 9000, "🙂" * 9000])
def test_a_token_is_a_byte_at_least(text: str) -> None:
    assert at_most(asking(TextBlock(text))).tokens >= 8000 + len(text.encode())
    assert at_most(asking(system=(TextBlock(text),))).tokens >= 8000 + len(text.encode())
    tool = ClientTool("a", text, {"type": "object"})
    assert at_most(asking(tools=(tool,))).tokens >= 8000 + len(text.encode())


def test_what_is_kept_in_the_cache_for_an_hour_is_paid_for() -> None:
    """It costs twice as much as what is read: nothing that a request can do costs more."""
    bound = at_most(asking(TextBlock("x" * 100_000), limits=Limits(max_output_tokens=0)))
    assert bound.usd >= 100_000 * 2 * 1.0 / 1e6


def test_pictures_and_documents_are_not_measured_by_their_files() -> None:
    picture = OpaqueBlock({"type": "image", "source": {"type": "base64", "data": "eA=="}})
    document = OpaqueBlock({"type": "document", "source": {"type": "base64", "data": "eA=="}})
    assert at_most(asking(picture)).tokens > 8000 + 4784
    assert at_most(asking(document)).tokens == 208_000, "all that the model can read"
    assert at_most(asking(remote_parts=("a",))).tokens == 208_000


def test_no_more_is_read_than_fits_into_the_model() -> None:
    assert at_most(asking(TextBlock("x" * 10**6))).tokens == 208_000


def test_a_model_whose_price_nobody_knows_is_taken_for_the_dearest() -> None:
    unknown = Model("u", "U", "u", 0)
    assert at_most(asking(), unknown) == at_most(asking(), None)
    assert at_most(asking(), None).usd > 128_000 * 75 / 1e6


@pytest.mark.parametrize("profile", [Profile.READ, Profile.EDIT, Profile.SHELL, Profile.FULL])
def test_an_agent_may_come_to_anything(profile: Profile) -> None:
    found = reservation_for(WATCHED, asking(), MODEL, profile)
    assert found is not None
    assert found.usd > 1e9


def said(text: str = "") -> Said:
    return Said((), Message("assistant", (TextBlock(text),)) if text else None)


def test_what_it_cost_is_what_the_model_says() -> None:
    told = TurnResult(started=STARTED, usage=Usage(10, 5, 3, 2, cost_usd=0.25))
    assert charge_for(asking(), MODEL, told, said("x" * 9000)) == Charge(0.25, 20)


def test_what_was_cut_is_counted_by_what_was_read_and_said() -> None:
    cut = TurnResult(started=STARTED, usage=Usage(1000, 1))
    assert charge_for(asking(), MODEL, cut, said("x" * 900)) == Charge((1000 + 300 * 5) / 1e6, 1300)
    counted = TurnResult(started=STARTED, usage=Usage(1000, 500))
    assert charge_for(asking(), MODEL, counted, said("x" * 900)) == Charge((1000 + 500 * 5) / 1e6, 1500)


def test_what_was_cut_before_the_model_counted_is_counted_by_its_length() -> None:
    charge = charge_for(asking(TextBlock("x" * 9000)), MODEL, TurnResult(started=STARTED), said("x" * 900))
    assert charge.tokens >= 3000 + 300


def test_what_never_came_to_the_model_costs_nothing() -> None:
    assert charge_for(asking(TextBlock("x" * 9000)), MODEL, TurnResult(), said()) == Charge(0.0, 0)


@pytest.mark.parametrize(
    ("now_s", "period", "left_s"),
    [
        (NOW, "day", 6400),
        (NOW, "month", 6400 + 16 * 86_400),
        (1_704_067_199.0, "month", 1),  # the last second of 2023
        (1_709_078_400.0, "month", 2 * 86_400),  # the 29th of February 2024 is still to come
        (1_704_067_200.0, "day", 86_400),
    ],
)
def test_how_long_a_day_and_a_month_still_last(now_s: float, period: str, left_s: float) -> None:
    assert seconds_left(period, now_s) == left_s


def test_what_is_spent_is_told_apart_from_what_is_only_reserved() -> None:
    spent = budget_refusal(BudgetError(spent=True, limit=1500, period="day", unit="tokens"), NOW).error
    assert (spent.kind, spent.retry_after_s) == (ErrorKind.BUDGET_SPENT, 6400)
    assert spent.message == "This key's budget of 1,500 tokens a day is spent; it begins anew on 2023-11-15 (UTC)."
    reserved = budget_refusal(BudgetError(spent=False, limit=5, period="day", unit="usd"), NOW).error
    assert reserved.kind is ErrorKind.RATE_LIMITED
    assert reserved.retry_after_s is not None
    assert reserved.retry_after_s < 60
