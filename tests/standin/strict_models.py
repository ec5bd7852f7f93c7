"""Examples of the rules that some models have and others not."""

from __future__ import annotations

from typing import Final

from tests.standin.strict_bodies import Example, assistant, body, closed, said, tool, tools, user

_BUDGET: Final = {"type": "enabled", "budget_tokens": 2000}
_DOCS: Final = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
_USE: Final = ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
_PREFILL: Final = (
    "This model does not support assistant message prefill. The conversation must end with a user message."
)
_FORCED: Final = 'tool_choice: type "tool" and "any" are not supported for this model.'
_BEGUN: Final = (user("Say it."), assistant("It"))


def _thinking(model: str, kind: str) -> dict[str, object]:
    return body(model=model, thinking={"type": kind})


EXAMPLES: Final = [
    Example(
        "max_tokens_most",
        body(max_tokens=64_001),
        "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5",
        body(max_tokens=64_000),
    ),
    Example(
        "thinking_none",
        body(model="claude-3-haiku-20240307", thinking=_BUDGET),
        "'claude-3-haiku-20240307' does not support thinking.",
        body(model="claude-3-7-sonnet-20250219", thinking=_BUDGET),
    ),
    Example(
        "thinking_disabled",
        _thinking("claude-fable-5-2", "disabled"),
        f'"thinking.type.disabled" is not supported for this model.{_USE}',
        _thinking("claude-haiku-5-5", "disabled"),
    ),
    Example(
        "thinking_enabled",
        body(model="claude-sonnet-5", thinking=_BUDGET),
        f'"thinking.type.enabled" is not supported for this model.{_USE}',
        body(model="claude-opus-4-6", thinking=_BUDGET),
    ),
    Example(
        "thinking_adaptive",
        _thinking("claude-opus-4-5", "adaptive"),
        "adaptive thinking is not supported on this model",
        _thinking("claude-opus-4-7", "adaptive"),
    ),
    Example(
        "thinking_between_tools",
        _thinking("claude-opus-5-5", "between_tools"),
        '"thinking.type.between_tools" is not supported for this model.',
        _thinking("claude-sonnet-5-5", "between_tools"),
    ),
    Example(
        "budget_below_limit",
        body(max_tokens=2000, thinking=_BUDGET),
        "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
        f"{_DOCS}#max-tokens-and-context-window-size",
        body(max_tokens=2001, thinking=_BUDGET),
    ),
    Example(
        "temperature_deprecated",
        body(model="claude-sonnet-5", temperature=1),
        "`temperature` is deprecated for this model.",
        body(model="claude-sonnet-4-6", temperature=0.2),
    ),
    Example(
        "temperature_one",
        body(model="claude-haiku-5-5", temperature=0.7),
        "`temperature` is deprecated for this model.",
        body(model="claude-haiku-5-5", temperature=1),
    ),
    Example(
        "top_p_deprecated",
        body(model="claude-opus-4-7", top_p=1),
        "`top_p` is deprecated for this model.",
        body(model="claude-opus-4-6", top_p=1),
    ),
    Example(
        "top_k_deprecated",
        body(model="claude-opus-5", top_k=5),
        "`top_k` is deprecated for this model.",
        body(model="claude-opus-4-6", top_k=5),
    ),
    Example(
        "thinking_temperature",
        body(thinking=_BUDGET, temperature=0.5),
        "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. Please consult our "
        f"documentation at {_DOCS}#important-considerations-when-using-extended-thinking",
        body(thinking=_BUDGET, temperature=1),
    ),
    Example(
        "thinking_top_p",
        body(thinking=_BUDGET, top_p=0.9),
        "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive mode.",
        body(thinking=_BUDGET, top_p=0.95),
    ),
    Example(
        "thinking_top_k",
        body(thinking=_BUDGET, top_k=5),
        "`top_k` must be unset when thinking is enabled or in adaptive mode.",
        body(thinking={"type": "disabled"}, top_k=5),
    ),
    Example(
        "temperature_and_top_p",
        body(temperature=0.5, top_p=0.5),
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        body(model="claude-3-5-haiku-20241022", temperature=0.5, top_p=0.5),
    ),
    Example(
        "effort_unsupported",
        body(output_config={"effort": "low"}),
        "This model does not support the effort parameter.",
        body(output_config={"effort": None}),
    ),
    Example(
        "effort_level",
        body(model="claude-opus-4-6", output_config={"effort": "xhigh"}),
        "This model does not support effort level 'xhigh'. Supported levels: low, medium, high, max.",
        body(model="claude-opus-4-6", output_config={"effort": "max"}),
    ),
    Example(
        "effort_without_thinking",
        body(model="claude-opus-5", output_config={"effort": "max"}, thinking={"type": "disabled"}),
        "output_config.effort 'max' is not supported when thinking is disabled on this model. "
        "Use effort 'high' or below, or enable thinking.",
        body(model="claude-opus-5", output_config={"effort": "high"}, thinking={"type": "disabled"}),
    ),
    Example(
        "forced_call",
        tools(tool(), model="claude-opus-5-5", tool_choice={"type": "any"}),
        _FORCED,
        tools(tool(), model="claude-opus-5", tool_choice={"type": "any"}),
    ),
    Example(
        "forced_call_thinking",
        tools(tool(), thinking=_BUDGET, tool_choice={"type": "tool", "name": "look"}),
        "Thinking may not be enabled when tool_choice forces tool use.",
        tools(tool(), thinking=_BUDGET, tool_choice={"type": "auto"}),
    ),
    Example(
        "system_role",
        said(user("hi"), {"role": "system", "content": "be brief"}),
        "role 'system' is not supported on this model",
        said(user("hi"), {"role": "system", "content": "be brief"}, model="claude-opus-4-8"),
    ),
    Example("prefill", said(*_BEGUN, model="claude-opus-4-6"), _PREFILL, said(*_BEGUN, model="claude-opus-4-5")),
    Example(
        "output_unsupported",
        body(model="claude-sonnet-4", output_config={"format": {"type": "json_schema", "schema": closed()}}),
        "output_config.format: structured outputs are not supported for this model",
        body(model="claude-sonnet-4-5", output_config={"format": {"type": "json_schema", "schema": closed()}}),
    ),
]
