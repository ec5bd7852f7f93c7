"""What the model's API says of a model → its row."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.models.told_by_api import joined_with_api
from claude_code_api.standin.model_list import answer
from tests.models.asking import ALL, TABLE


def says(supported: bool) -> dict[str, bool]:
    return {"supported": supported}


@pytest.mark.parametrize("name", ALL)
def test_what_is_known_is_what_the_api_says(name: str) -> None:
    """In the shape that the API has, by a table that was made apart from ours."""
    _, told = answer(f"/v1/models/{name}", "", "req")
    row = TABLE.row(name)
    assert row is not None
    found = joined_with_api(row, told)
    assert found.effort_levels == row.effort_levels
    assert (found.max_output_tokens, found.json_schema) == (row.max_output_tokens, row.json_schema)
    assert set(found.thinking) == set(row.thinking)


def test_what_it_says_counts_more() -> None:
    told: dict[str, Any] = {
        "max_tokens": 7,
        "max_input_tokens": 9,
        "capabilities": {
            "effort": {**says(True), "low": says(True), "max": says(False)},
            "structured_outputs": says(False),
            "thinking": {
                **says(True),
                "types": {"adaptive": says(False), "enabled": says(True), "disabled": says(True)},
            },
        },
    }
    found = joined_with_api(TABLE.of("claude-opus-5-5"), told)
    assert (found.max_output_tokens, found.context_tokens) == (7, 9)
    assert (found.effort_levels, found.json_schema) == (("low",), False)
    assert found.thinking == ("disabled", "enabled")


@pytest.mark.parametrize(
    "told",
    [{}, {"capabilities": None}, {"max_tokens": "many", "capabilities": {"effort": [], "thinking": {"types": 1}}}],
)
def test_what_is_not_said_stays_as_it_was(told: dict[str, Any]) -> None:
    row = TABLE.of("claude-opus-5-5")
    assert joined_with_api(row, told) == row


def test_a_model_that_does_not_think() -> None:
    told = {"capabilities": {"thinking": says(False), "effort": says(False)}}
    found = joined_with_api(TABLE.of("claude-opus-5-5"), told)
    assert (found.thinking, found.effort_levels) == ((), ())
