"""The wish about thinking → what each kind of model is told."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.models.thinking import BUDGETS
from claude_code_api.turn.request import (
    Block,
    ClientTool,
    Effort,
    Limits,
    OpaqueBlock,
    Reasoning,
    TextBlock,
    ThinkingBlock,
    ToolChoice,
    ToolChoiceKind,
    ToolResultBlock,
    ToolUseBlock,
)
from tests.models.asking import ALL, ALWAYS, BUDGET, EITHER, TABLE, UNLESS_TOLD, asks, fitted, said, words

ADAPTIVE = {"type": "adaptive", "display": "summarized"}
OFF = {"type": "disabled"}


@pytest.mark.parametrize(("model", "thinking"), [(BUDGET, OFF), (EITHER, OFF), (UNLESS_TOLD, OFF), (ALWAYS, None)])
@pytest.mark.parametrize("reasoning", [Reasoning(), Reasoning(Effort.NONE)])
def test_without_a_wish_it_does_not_think_where_that_can_be(model: str, thinking: Any, reasoning: Reasoning) -> None:
    found = fitted(model, asks(reasoning=reasoning))
    assert found.request.as_is["thinking"] == thinking
    assert found.request.as_is["output_config"] is None
    told_not_to = reasoning.effort is Effort.NONE
    assert found.changed == (("reasoning",) if told_not_to and model == ALWAYS else ())


@pytest.mark.parametrize(
    ("effort", "said"),
    [(Effort.MINIMAL, "low"), (Effort.LOW, "low"), (Effort.XHIGH, "xhigh"), (Effort.MAX, "max")],
)
@pytest.mark.parametrize("model", [EITHER, UNLESS_TOLD, ALWAYS])
def test_an_effort_where_the_model_thinks_adaptively(model: str, effort: Effort, said: str) -> None:
    found = fitted(model, asks(reasoning=Reasoning(effort)))
    assert found.request.as_is["thinking"] == ADAPTIVE
    assert found.request.as_is["output_config"] == {"effort": said}
    assert found.changed == (("reasoning",) if effort.value != said else ())


def test_a_level_that_the_model_lacks_becomes_the_next_lower_one() -> None:
    assert words("claude-opus-4-6", asks(reasoning=Reasoning(Effort.XHIGH)))["output_config"] == {"effort": "high"}


def test_an_effort_where_the_model_has_a_budget() -> None:
    for effort, tokens in BUDGETS.items():
        found = words(BUDGET, asks(reasoning=Reasoning(effort)))
        assert (found["thinking"], found["output_config"]) == ({"type": "enabled", "budget_tokens": tokens}, None)


def test_a_budget_where_the_model_has_efforts() -> None:
    found = words(ALWAYS, asks(reasoning=Reasoning(budget_tokens=9_000)))
    assert (found["thinking"], found["output_config"]) == (ADAPTIVE, {"effort": "medium"})


@pytest.mark.parametrize(("limit", "budget"), [(20_000, 16_384), (2_000, 1_999), (1_025, 1_024), (1_024, None)])
def test_a_budget_stays_below_the_length_of_the_answer(limit: int, budget: int | None) -> None:
    found = fitted(BUDGET, asks(reasoning=Reasoning(Effort.HIGH), limits=Limits(limit)))
    thinking = OFF if budget is None else {"type": "enabled", "budget_tokens": budget}
    assert found.request.as_is["thinking"] == thinking
    assert found.changed == (("reasoning",) if limit < 16_384 else ())


@pytest.mark.parametrize(
    ("calling", "thinks"),
    [
        ((), False),
        ((TextBlock("let me see"),), False),
        ((ThinkingBlock("hm", "sig"),), True),
        ((OpaqueBlock({"type": "redacted_thinking", "data": "x"}),), True),
    ],
)
def test_calls_whose_thoughts_were_not_kept_are_answered_without(calling: tuple[Block, ...], thinks: bool) -> None:
    call, result = ToolUseBlock("toolu_1", "look", {}), ToolResultBlock("toolu_1", "blue")
    request = asks(
        said("user", "q"), said("assistant", *calling, call), said("user", result), reasoning=Reasoning(Effort.LOW)
    )
    found = fitted(BUDGET, request)
    assert (found.request.as_is["thinking"] != OFF) is thinks
    assert found.changed == (() if thinks else ("reasoning",))
    # Only an open round of calls is bound to its thoughts.
    later = asks(*request.messages, said("assistant", "blue"), said("user", "why?"), reasoning=Reasoning(Effort.LOW))
    assert words(BUDGET, later)["thinking"]["type"] == "enabled"


LOOK = ClientTool("look", None, {"type": "object"})


@pytest.mark.parametrize("choice", [ToolChoice(ToolChoiceKind.REQUIRED), ToolChoice(ToolChoiceKind.NAMED, "look")])
@pytest.mark.parametrize("model", ALL)
def test_a_forced_call_wins_over_a_wish_to_think(model: str, choice: ToolChoice) -> None:
    found = fitted(model, asks(tools=(LOOK,), tool_choice=choice, reasoning=Reasoning(Effort.HIGH)))
    row = TABLE.of(model)
    assert found.request.as_is["thinking"] == (OFF if "disabled" in row.thinking else None)
    assert "reasoning" in found.changed
    if row.forced_calls and row.can_be_quiet:
        assert found.request.tool_choice == choice
        assert "tool_choice" not in found.changed
    else:
        # It cannot be made to call, so it is told to.
        assert found.request.tool_choice == ToolChoice()
        assert "tool_choice" in found.changed
        assert "look" in found.request.system[-1].text or "functions" in found.request.system[-1].text


def test_a_model_that_does_not_think_says_so() -> None:
    found = fitted("claude-3-5-haiku-20241022", asks(reasoning=Reasoning(Effort.LOW)))
    assert (found.request.as_is["thinking"], found.changed) == (None, ("reasoning",))
