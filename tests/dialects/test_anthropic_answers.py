"""Answers of the Anthropic dialect in the cases that no golden scenario has."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import (
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    TurnEvent,
    Usage,
)
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult, fold

REQUEST = TurnRequest(model="m", messages=(Message("user", (TextBlock("hi"),)),))
STARTED = Started("t", "claude", 1)


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "1", '{"n": 123456789012345678901}', '{"a"' + ":[" * 200])
def test_arguments_that_are_no_object_are_told_as_they_are(arguments: str) -> None:
    call: list[TurnEvent] = [PartStarted(0, PartKind.TOOL, "t1", "look"), PartDelta(0, arguments), PartEnded(0)]
    answer: Any = ANTHROPIC_MESSAGES.render(fold([STARTED, *call, Ended(EndReason.LENGTH)]), REQUEST)
    (call_told,) = answer["content"]
    assert call_told["input"] == {"INVALID_JSON": arguments}


def test_without_figures_they_are_0() -> None:
    answer: Any = ANTHROPIC_MESSAGES.render(fold([STARTED, Ended(EndReason.STOP)]), REQUEST)
    assert {name: count for name, count in answer["usage"].items() if count is not None} == {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }


@pytest.mark.parametrize("events", [[], [STARTED], [Failed(TurnError(ErrorKind.INTERNAL, "x"))]])
def test_what_did_not_end_well_cannot_be_rendered(events: list[Started | Failed]) -> None:
    with pytest.raises(ValueError, match="ended well"):
        ANTHROPIC_MESSAGES.render(fold(events), REQUEST)


def test_a_failure_leaves_the_open_block_open() -> None:
    encoder = ANTHROPIC_MESSAGES.encoder(REQUEST)
    opening: list[TurnEvent] = [
        STARTED,
        Usage(1),
        PartStarted(0, PartKind.TOOL, "t1", "rm"),
        PartDelta(0, '{"path":"/"'),
    ]
    said = b"".join(encoder.push(event) for event in opening)
    last = encoder.push(Failed(TurnError(ErrorKind.ENGINE_DIED, "gone", source="engine")))
    assert b"content_block_stop" not in said + last
    assert last == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"gone"},"request_id":null}\n\n'
    )


def test_a_kept_conversation_is_refused_in_the_words_that_clients_know() -> None:
    error = TurnError(ErrorKind.INVALID_REQUEST, "no", source="client", param="thread")
    assert ANTHROPIC_MESSAGES.render_error(error).body["error"] == {
        "type": "invalid_request_error",
        "message": "no",
        "details": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
    }


def test_the_heartbeat_is_a_ping() -> None:
    assert ANTHROPIC_MESSAGES.heartbeat == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_several_answers_are_not_a_thing_here() -> None:
    result = fold([STARTED, Ended(EndReason.STOP)])
    with pytest.raises(ValueError, match="one turn"):
        ANTHROPIC_MESSAGES.render(result, REQUEST, (TurnResult(),))
