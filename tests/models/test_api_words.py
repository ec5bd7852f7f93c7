"""What the model's API says → the rule, and the client's field."""

from __future__ import annotations

import pytest

from claude_code_api.models.api_words import OTHER, Refusal, refusal_in, rules


@pytest.mark.parametrize(
    ("words", "rule", "field"),
    [
        ("`temperature` is deprecated for this model.", "temperature", "temperature"),
        (
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
            "temperature_and_top_p",
            "top_p",
        ),
        (
            "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.",
            "thinking_temperature",
            "temperature",
        ),
        ("Thinking may not be enabled when tool_choice forces tool use.", "thinking_forced_call", "tool_choice"),
        (
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
            "output_closed",
            "output_schema",
        ),
        (
            "This model does not support assistant message prefill. The conversation must end with a user message.",
            "prefill",
            "messages",
        ),
        ("tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'", "tool_name", "tools"),
        ("messages.1.content.0.text.text: text content blocks must be non-empty", "blank_text", "messages"),
        ("A maximum of 4 blocks with cache_control may be provided. Found 5.", "cache_marks", "cache_control"),
        (
            "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5",
            "too_many_tokens",
            "max_tokens",
        ),
        ("stop_sequences.0: each stop sequence must contain non-whitespace", "stop", "stop"),
        ('"thinking.type.enabled" is not supported for this model.', "thinking_kind", "reasoning"),
        ("output_config.effort: Input should be 'low', 'medium' or 'high'", "effort", "reasoning"),
        ("system.0: Extra inputs are not permitted", "unknown_field", "system"),
        ("Something new.", OTHER, None),
    ],
)
def test_known_words(words: str, rule: str, field: str | None) -> None:
    found = refusal_in(words)
    assert (found.rule, found.field) == (rule, field)


def test_the_apis_own_name_is_kept_for_those_who_know_it() -> None:
    assert refusal_in("output_config.effort: no") == Refusal("effort", "reasoning", "output_config.effort")


def test_rules_are_told_apart() -> None:
    ids = [rule.id for rule in rules()]
    assert len(set(ids)) == len(ids)
    assert OTHER not in ids
