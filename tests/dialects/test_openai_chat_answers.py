"""What a whole answer may be asked of, and what the dialect says about itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.dialects.sse import named_frame
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
from claude_code_api.turn.result import fold

REQUEST = TurnRequest(model="m", messages=(Message("user", (TextBlock("hi"),)),))
STARTED = Started("t", "m", 1)


def test_a_failed_turn_has_no_whole_answer() -> None:
    failed = Failed(TurnError(ErrorKind.INTERNAL, "x"))
    turns: list[list[TurnEvent]] = [[STARTED], [Ended(EndReason.STOP)], [STARTED, failed]]
    for events in turns:
        with pytest.raises(ValueError, match="only a turn that ended well"):
            OPENAI_CHAT.render(fold(events), REQUEST)


def test_the_heartbeat_is_a_comment() -> None:
    assert OPENAI_CHAT.name == "openai_chat"
    assert OPENAI_CHAT.heartbeat.startswith(b":")
    assert OPENAI_CHAT.heartbeat.endswith(b"\n\n")


def test_named_frames() -> None:
    assert named_frame("ping", b"{}") == b"event: ping\ndata: {}\n\n"


def says(turn_id: str, text: str, usage: Usage | None) -> list[TurnEvent]:
    parts: list[TurnEvent] = [PartStarted(0, PartKind.TEXT), PartDelta(0, text), PartEnded(0)]
    return [Started(turn_id, "m", 1), *parts, *([usage] if usage else []), Ended(EndReason.STOP)]


TURNS = [says("t1", "a", Usage(1, 2, 3, 4, 5)), says("t2", "b", None), says("t3", "c", Usage(10, 20, 30, 40, 50))]
THREE = replace(REQUEST, answers=3, stream_usage=True)


def frames(data: bytes) -> list[Any]:
    return [orjson.loads(frame[6:]) for frame in data.split(b"\n\n") if frame and frame != b"data: [DONE]"]


def test_several_answers_are_choices_and_their_usage_is_added_up() -> None:
    first, *further = map(fold, TURNS)
    body: Any = OPENAI_CHAT.render(first, THREE, further)
    assert [(choice["index"], choice["message"]["content"]) for choice in body["choices"]] == [
        (0, "a"),
        (1, "b"),
        (2, "c"),
    ]
    assert body["id"] == "chatcmpl-t1"
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (88, 22)

    encoder = OPENAI_CHAT.encoder(THREE)
    data = b"".join(encoder.push(event) for turn in TURNS for event in turn)
    *chunks, last = frames(data)
    assert [(c["choices"][0]["index"], c["choices"][0]["delta"].get("role")) for c in chunks] == [
        (index, role) for index in range(3) for role in ("assistant", None, None)
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None, None, "stop"] * 3
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-t1"}
    assert (last["choices"], last["usage"]) == ([], body["usage"])
    assert data.count(b"[DONE]") == 1


def test_several_answers_end_with_the_first_failure() -> None:
    encoder = OPENAI_CHAT.encoder(THREE)
    for event in TURNS[0]:
        encoder.push(event)
    data = encoder.push(Failed(TurnError(ErrorKind.INTERNAL, "x")))
    assert frames(data)[0]["error"]["message"] == "x"
    assert data.endswith(b"data: [DONE]\n\n")
    with pytest.raises(ValueError, match="only a turn that ended well"):
        OPENAI_CHAT.render(fold(TURNS[0]), THREE, [fold([STARTED])])
