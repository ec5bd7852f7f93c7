"""The wish about thinking → what this model can be told of it.

Without a wish a model does not think, where it can be kept from it: a client that did not ask for thoughts pays for
them, and waits for them (docs/decisions/0005).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from claude_code_api.models.capabilities import ADAPTIVE, ENABLED, Capabilities
from claude_code_api.models.draft import Draft
from claude_code_api.turn.request import Effort, Json, Message, Reasoning, ToolChoiceKind, ToolResultBlock, is_thought

# Tokens of thinking for models that take a budget. The largest is what the CLI itself would ask for, the smallest what
# the model's API accepts.
BUDGETS: Final[Mapping[Effort, int]] = {
    Effort.MINIMAL: 1_024,
    Effort.LOW: 2_048,
    Effort.MEDIUM: 8_192,
    Effort.HIGH: 16_384,
    Effort.XHIGH: 31_999,
    Effort.MAX: 31_999,
}
MIN_BUDGET: Final = 1_024
# From the least to the most; a model that lacks one gets the next lower one that it has, or else its lowest.
_EFFORTS: Final = tuple(Effort)
_FORCED: Final = frozenset({ToolChoiceKind.REQUIRED, ToolChoiceKind.NAMED})
WORD: Final = "reasoning"


def forces_a_call(draft: Draft) -> bool:
    """Whether the model is made to call a function."""
    return draft.request.tool_choice.kind in _FORCED


def settle_thinking(draft: Draft) -> None:
    """Decide whether the model thinks, and how hard."""
    reasoning, model = draft.request.reasoning, draft.model
    draft.change(reasoning=Reasoning())
    wish = _wished(reasoning)
    if wish and (forces_a_call(draft) or not model.thinking):
        # A forced call and thinking exclude each other: what a client's code relies on is the call.
        draft.name(WORD)
        wish = False
    thinking = _thinking(draft, reasoning) if wish else None
    if thinking is None:
        if wish or (reasoning.effort is Effort.NONE and not model.can_be_quiet):
            draft.name(WORD)
        draft.fields["thinking"] = model.quiet
        draft.fields["output_config"] = None
        return
    draft.fields["thinking"] = thinking
    effort = _level(model, reasoning)
    if reasoning.effort is not None and effort not in (None, reasoning.effort.value):
        draft.name(WORD)
    draft.fields["output_config"] = {"effort": effort} if effort is not None else None


def thinks(draft: Draft) -> bool:
    """Whether the model will think, as far as it has been decided."""
    match draft.fields.get("thinking"):
        case {"type": "disabled"}:
            return False
        case None:
            return draft.model.thinks_unless_told
        case _:
            return True


def _wished(reasoning: Reasoning) -> bool:
    return reasoning.budget_tokens is not None or reasoning.effort not in (None, Effort.NONE)


def _thinking(draft: Draft, reasoning: Reasoning) -> Json:
    model = draft.model
    if ADAPTIVE in model.thinking:
        # Newer models leave the words of their thoughts out unless they are asked for.
        return {"type": ADAPTIVE, "display": "summarized"}
    if ENABLED not in model.thinking or _calls_without_thoughts(draft.request.messages):
        return None
    budget = reasoning.budget_tokens
    if budget is None:
        budget = BUDGETS[reasoning.effort or Effort.MEDIUM]
    # Thinking counts against the answer's length, so the budget has to be below it.
    limit = draft.request.limits.max_output_tokens
    if limit is not None and budget >= limit:
        budget = limit - 1
        draft.name(WORD)
    return {"type": ENABLED, "budget_tokens": budget} if budget >= MIN_BUDGET else None


def _level(model: Capabilities, reasoning: Reasoning) -> str | None:
    wish = reasoning.effort
    if wish is None and reasoning.budget_tokens is not None and ADAPTIVE in model.thinking:
        wish = _nearest_to(reasoning.budget_tokens)
    return offered_effort(wish, model.effort_levels)


def offered_effort(wish: Effort | None, levels: Sequence[str]) -> str | None:
    """Return the level that a model has for a wish."""
    if wish is None or not levels:
        return None
    rank = _EFFORTS.index(wish)
    lower = [effort.value for effort in _EFFORTS[: rank + 1] if effort.value in levels]
    return lower[-1] if lower else levels[0]


def _nearest_to(budget_tokens: int) -> Effort:
    below = [effort for effort, tokens in BUDGETS.items() if tokens <= budget_tokens]
    return below[-1] if below else Effort.LOW


def _calls_without_thoughts(messages: Sequence[Message]) -> bool:
    """Whether results are being sent to calls whose thoughts the client did not keep.

    With a budget for thinking the model's API refuses such a conversation; without one it takes it. Most clients of the
    OpenAI dialects cannot keep thoughts.
    """
    if len(messages) < 2 or not any(isinstance(block, ToolResultBlock) for block in messages[-1].blocks):  # noqa: PLR2004
        return False
    calling = messages[-2].blocks
    return bool(calling) and not is_thought(calling[0])
