"""What the official client makes of our bytes, for random legal turns and for the golden ones, in any pieces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.dialects.openai_shared import ERRORS
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import PartKind, TurnEvent
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from claude_code_api.turn.result import fold
from tests.dialects.event_lines import load_events
from tests.dialects.official_openai import OfficialClient
from tests.dialects.test_golden import GOLDEN, SCENARIOS
from tests.turn.legal_events import ended_turns, failed_turns, legal_turns

MESSAGES = (Message("user", (TextBlock("hi"),)),)
PLAIN = TurnRequest(model="gpt-4o", messages=MESSAGES)
WITH_USAGE = TurnRequest(model="gpt-4o", messages=MESSAGES, stream_usage=True)
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def client() -> Iterator[OfficialClient]:
    client = OfficialClient()
    yield client
    client.close()


def encoded(events: list[TurnEvent], request: TurnRequest) -> bytes:
    encoder = OPENAI_CHAT.encoder(request)
    return b"".join(encoder.push(event) for event in events)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def essence(answer: Any) -> dict[str, Any]:
    """What a program reads of an answer: a stream's helper keeps indexes, and leaves out what was null all along."""
    (choice,) = answer["choices"]
    message = choice["message"]
    calls = [
        (call["id"], call["type"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or []
    ]
    return {
        **{key: answer[key] for key in ("id", "object", "created", "model")},
        "index": choice["index"],
        "finish_reason": choice["finish_reason"],
        "logprobs": choice["logprobs"],
        **{key: message.get(key) for key in ("role", "content", "refusal", "reasoning_content")},
        "tool_calls": calls,
    }


CUTS = st.lists(st.integers(0, 10**6), max_size=8)


@given(ended_turns(), CUTS)
def test_the_accumulated_stream_is_the_whole_answer(
    client: OfficialClient, events: list[TurnEvent], cuts: list[int]
) -> None:
    whole: Any = OPENAI_CHAT.render(fold(events), WITH_USAGE)
    streamed = client.stream(cut(encoded(events, WITH_USAGE), cuts))
    assert essence(streamed) == essence(whole)
    if whole["usage"] is None:
        assert streamed["usage"] is None
    else:
        for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert streamed["usage"][key] == whole["usage"][key]
        for key in ("prompt_tokens_details", "completion_tokens_details"):
            assert streamed["usage"][key].items() >= whole["usage"][key].items()


@given(ended_turns())
def test_the_client_reads_the_whole_answer_as_it_stands(client: OfficialClient, events: list[TurnEvent]) -> None:
    whole: Any = OPENAI_CHAT.render(fold(events), PLAIN)
    assert essence(client.answer(200, {}, orjson.dumps(whole))) == essence(whole)


@given(failed_turns(), CUTS)
def test_a_failure_is_raised_after_what_was_said(
    client: OfficialClient, events: list[TurnEvent], cuts: list[int]
) -> None:
    result = fold(events)
    assert result.error is not None
    said, raised = client.said_before_the_error(cut(encoded(events, PLAIN), cuts))
    assert said == result.text_of(PartKind.TEXT)
    assert raised.message == result.error.message
    assert (raised.type, raised.code) == ERRORS[result.error.kind][1:]


@given(legal_turns(), st.sampled_from([PLAIN, WITH_USAGE]))
def test_every_turn_has_one_terminal_frame_and_loses_no_text(events: list[TurnEvent], request: TurnRequest) -> None:
    stream = encoded(events, request)
    frames = stream.split(b"\n\n")
    assert frames.pop() == b""
    assert frames.pop() == b"data: [DONE]"
    assert all(frame.startswith(b"data: {") for frame in frames)
    # A reader that splits at every line end that Python knows finds the same frames.
    assert stream.decode().splitlines()[::2] == [*(frame.decode() for frame in frames), "data: [DONE]"]
    chunks = [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames]
    result = fold(events)
    assert ("error" in chunks[-1]) == (result.error is not None)
    choices = [choice for chunk in chunks for choice in chunk.get("choices", [])]
    finishes = [choice["finish_reason"] for choice in choices if choice["finish_reason"] is not None]
    assert len(finishes) == (result.ended is not None)
    assert "".join(c["delta"].get("content") or "" for c in choices) == result.text_of(PartKind.TEXT)
    assert "".join(c["delta"].get("reasoning_content", "") for c in choices) == result.text_of(PartKind.THINKING)
    assert [c["delta"]["role"] for c in choices if "role" in c["delta"]] == ["assistant"] * bool(choices)
    assert not choices or "role" in choices[0]["delta"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_golden_streams_byte_by_byte(client: OfficialClient, scenario: str) -> None:
    stream = (GOLDEN / scenario / "openai_chat.stream.sse").read_bytes()
    result = fold(load_events(GOLDEN / scenario / "events.jsonl"))
    pieces = cut(stream, list(range(len(stream))))
    if result.error is None:
        answer = orjson.loads((GOLDEN / scenario / "openai_chat.answer.json").read_bytes())
        assert essence(client.stream(pieces)) == essence(client.stream([stream])) == essence(answer)
    else:
        said, raised = client.said_before_the_error(pieces)
        assert (said, raised.message) == (result.text_of(PartKind.TEXT), result.error.message)


CLASSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
}


@pytest.mark.parametrize("kind", ErrorKind, ids=lambda kind: kind.value)
def test_the_client_raises_the_class_that_belongs_to_the_status(client: OfficialClient, kind: ErrorKind) -> None:
    answer = OPENAI_CHAT.render_error(TurnError(kind, "say it", param="messages[0]", source="upstream"))
    with pytest.raises(CLASSES.get(answer.status, openai.APIStatusError)) as caught:
        client.answer(answer.status, dict(answer.headers), orjson.dumps(answer.body))
    error = caught.value
    assert isinstance(error, openai.APIStatusError)
    assert error.status_code == answer.status
    assert (error.type, error.param, error.code) == (ERRORS[kind][1], "messages[0]", ERRORS[kind][2])
    assert "say it" in error.message
