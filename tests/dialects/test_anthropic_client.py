"""What the official client makes of our bytes, for random legal turns and for the golden ones, in any pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import anthropic
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_code_api.dialects.anthropic_errors import ERRORS
from claude_code_api.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import PartDelta, PartEnded, PartKind, PartStarted, TurnEvent
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from claude_code_api.turn.result import fold
from tests.dialects.event_lines import load_events
from tests.dialects.official_anthropic import OfficialClient
from tests.dialects.test_golden import GOLDEN, SCENARIOS
from tests.turn.legal_events import ended_turns, failed_turns, legal_turns

REQUEST = TurnRequest(model="claude-x", messages=(Message("user", (TextBlock("hi"),)),), request_id="req_1")
TOO_LONG = "prompt is too long: "


@pytest.fixture(scope="module")
def client() -> Iterator[OfficialClient]:
    client = OfficialClient()
    yield client
    client.close()


def encoded(events: list[TurnEvent]) -> bytes:
    encoder = ANTHROPIC_MESSAGES.encoder(REQUEST)
    return b"".join(encoder.push(event) for event in events)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def callable_calls(events: list[TurnEvent]) -> list[TurnEvent]:
    """The same turn with arguments that are JSON objects, in two pieces: the client raises on others."""
    calls = {event.index for event in events if isinstance(event, PartStarted) and event.kind is PartKind.TOOL}
    said: list[TurnEvent] = []
    for event in events:
        if isinstance(event, PartDelta) and event.index in calls:
            continue
        if isinstance(event, PartEnded) and event.index in calls:
            said += [PartDelta(event.index, '{"a":[1,"\\u2028'), PartDelta(event.index, '😀"]}')]
        said.append(event)
    return said


def frames_of(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    frames = stream.decode().split("\n\n")
    assert frames.pop() == ""
    found = []
    for frame in frames:
        name, data = frame.split("\n")
        body = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}"
        found.append((body["type"], body))
    return found


CUTS = st.lists(st.integers(0, 10**6), max_size=8)


# The client builds typed objects for every event, which takes it its time.
FEWER = settings(max_examples=50)


def without_nulls(value: Any) -> Any:
    """Whole answers hold keys that say nothing, because the published schema demands them; streams do not."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@FEWER
@given(ended_turns(), CUTS)
def test_the_accumulated_stream_is_the_whole_answer(
    client: OfficialClient, events: list[TurnEvent], cuts: list[int]
) -> None:
    events = callable_calls(events)
    whole: Any = ANTHROPIC_MESSAGES.render(fold(events), REQUEST)
    streamed = client.stream(cut(encoded(events), cuts))
    assert without_nulls(streamed) == without_nulls(whole)


@FEWER
@given(ended_turns())
def test_the_client_reads_the_whole_answer_as_it_stands(client: OfficialClient, events: list[TurnEvent]) -> None:
    whole: Any = ANTHROPIC_MESSAGES.render(fold(events), REQUEST)
    assert client.answer(200, {}, orjson.dumps(whole)) == whole


@given(failed_turns(), CUTS)
def test_a_failure_is_raised_after_what_was_said(
    client: OfficialClient, events: list[TurnEvent], cuts: list[int]
) -> None:
    result = fold(events)
    assert result.error is not None
    said, raised = client.said_before_the_error(cut(encoded(events), cuts))
    assert said == result.text_of(PartKind.TEXT)
    body: Any = raised.body
    assert body["error"]["type"] == ERRORS[result.error.kind][1]
    assert body["error"]["message"].removeprefix(TOO_LONG) == result.error.message
    assert body["request_id"] == "req_1"


@given(legal_turns())
def test_every_turn_has_one_terminal_frame_in_the_documented_order(events: list[TurnEvent]) -> None:
    stream = encoded(events)
    # A reader that splits at every line end that Python knows finds the same lines.
    assert stream.decode().splitlines() == stream.decode().split("\n")[:-1]
    frames = frames_of(stream)
    result = fold(events)
    names = [name for name, _ in frames]
    assert names[-1] == ("error" if result.error is not None else "message_stop")
    assert names.count("error") + names.count("message_stop") == 1
    assert names.count("message_start") == (names[0] == "message_start") == (result.ended is not None or len(names) > 1)
    opened, index = False, -1
    for name, body in frames:
        match name:
            case "content_block_start":
                assert not opened
                opened, index = True, index + 1
            case "content_block_stop":
                assert opened
                opened = False
            case "content_block_delta":
                assert opened
            case "message_delta" | "message_stop":
                assert not opened
            case _:
                pass
        assert body.get("index", index) == index
    texts = [body["delta"]["text"] for name, body in frames if "text" in body.get("delta", ())]
    assert "".join(texts) == result.text_of(PartKind.TEXT)


def test_what_goes_in_is_told_first(client: OfficialClient) -> None:
    events = load_events(GOLDEN / "redacted_thinking" / "events.jsonl")
    (name, start), *_ = frames_of(encoded(events))
    assert name == "message_start"
    assert start["message"]["usage"] == {
        "input_tokens": 12,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 30,
        "output_tokens": 1,
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_golden_streams_byte_by_byte(client: OfficialClient, scenario: str) -> None:
    stream = (GOLDEN / scenario / "anthropic_messages.stream.sse").read_bytes()
    result = fold(load_events(GOLDEN / scenario / "events.jsonl"))
    pieces = cut(stream, list(range(len(stream))))
    if result.error is None:
        answer = orjson.loads((GOLDEN / scenario / "anthropic_messages.answer.json").read_bytes())
        byte_by_byte = client.stream(pieces)
        assert byte_by_byte == client.stream([stream])
        assert without_nulls(byte_by_byte) == without_nulls(answer)
    else:
        said, raised = client.said_before_the_error(pieces)
        assert said == result.text_of(PartKind.TEXT)
        assert result.error.message in str(raised.body)


CLASSES = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    409: anthropic.ConflictError,
    413: anthropic.APIStatusError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
}


@pytest.mark.parametrize("kind", ErrorKind, ids=lambda kind: kind.value)
def test_the_client_raises_the_class_that_belongs_to_the_status(client: OfficialClient, kind: ErrorKind) -> None:
    error = replace(TurnError(kind, "say it", source="upstream"), request_id="req_9")
    answer = ANTHROPIC_MESSAGES.render_error(error)
    with pytest.raises(CLASSES.get(answer.status, anthropic.APIStatusError)) as caught:
        client.answer(answer.status, dict(answer.headers), orjson.dumps(answer.body))
    raised: Any = caught.value
    assert raised.status_code == answer.status
    prefix = TOO_LONG if kind is ErrorKind.CONTEXT_TOO_LONG else ""
    assert raised.body == {
        "type": "error",
        "error": {"type": ERRORS[kind][1], "message": prefix + "say it"},
        "request_id": "req_9",
    }
    assert answer.headers["x-should-retry"] == "false"


def test_every_kind_has_its_row() -> None:
    assert set(ERRORS) == set(ErrorKind)
