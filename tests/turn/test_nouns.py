"""Requests and errors: defaults that mean "nothing asked", and messages that stay apart."""

from __future__ import annotations

import dataclasses

import pytest

from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid
from claude_code_api.turn.request import (
    Limits,
    Message,
    Reasoning,
    Sampling,
    TextBlock,
    ToolChoice,
    ToolChoiceKind,
    ToolResultBlock,
    ToolUseBlock,
    TurnRequest,
)


def test_a_request_asks_for_nothing_that_was_not_said() -> None:
    request = TurnRequest(model="m", messages=(Message("user", (TextBlock("hi"),)),))
    assert request.tool_choice == ToolChoice(ToolChoiceKind.AUTO, None, parallel=True)
    assert request.limits == Limits(None, ())
    assert request.sampling == Sampling(None, None, None)
    assert request.reasoning == Reasoning(None, None)
    assert (request.system, request.tools, request.ignored) == ((), (), ())
    assert (request.stream, request.stream_usage) == (False, False)
    assert request.output_schema is None
    assert (request.end_user, request.session_id, request.project_id) == (None, None, None)


def test_blocks_are_equal_by_value() -> None:
    assert TextBlock("a") == TextBlock("a", {})
    assert TextBlock("a", {"cache_control": {"type": "ephemeral"}}) != TextBlock("a")
    assert ToolUseBlock("1", "f", {}) == ToolUseBlock("1", "f", {}, {})
    assert ToolResultBlock("1", "x") != ToolResultBlock("1", (TextBlock("x"),))


def test_nouns_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TextBlock("a").text = "b"  # type: ignore[misc]


def test_a_refusal_shows_the_private_text_to_the_log_alone() -> None:
    error = TurnError(ErrorKind.UPSTREAM_AUTH, "public", detail="private")
    refused = TurnRefusedError(error)
    assert refused.error is error
    assert str(refused) == "upstream_auth: public [private]"


def test_invalid_blames_the_client_and_names_the_field() -> None:
    assert invalid("send a string", param="user").error == TurnError(
        ErrorKind.INVALID_REQUEST, "send a string", source="client", param="user"
    )
