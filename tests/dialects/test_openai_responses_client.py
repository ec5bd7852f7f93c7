"""What the official client makes of our bytes, for random legal turns and for the golden ones, in any pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_code_api.dialects.openai_responses import OPENAI_RESPONSES, OpenAIResponses
from claude_code_api.dialects.openai_shared import ERRORS
from claude_code_api.turn.answer import answer_of, events_of
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import (
    Ended,
    EndReason,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    TurnEvent,
)
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from claude_code_api.turn.result import fold
from tests.dialects.event_lines import load_events
from tests.dialects.official_responses import OfficialResponses
from tests.dialects.test_golden import GOLDEN, SCENARIOS
from tests.turn.legal_events import ended_turns, failed_turns, legal_turns

MESSAGES = (Message("user", (TextBlock("hi"),)),)
PLAIN = TurnRequest(model="gpt-5", messages=MESSAGES)
WITH_THOUGHTS = TurnRequest(model="gpt-5", messages=MESSAGES, note={"echo": {"store": False}, "encrypted": True})
REQUESTS = st.sampled_from([PLAIN, WITH_THOUGHTS])
CUTS = st.lists(st.integers(0, 10**6), max_size=8)
# The client builds typed objects for every event, which takes it its time.
FEWER = settings(max_examples=50)


@pytest.fixture(scope="module")
def client() -> Iterator[OfficialResponses]:
    client = OfficialResponses()
    yield client
    client.close()


def encoded(events: list[TurnEvent], request: TurnRequest = PLAIN, after: int = -1) -> bytes:
    encoder = OpenAIResponses(after).encoder(request)
    return b"".join(encoder.push(event) for event in events)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def frames_of(stream: bytes) -> list[dict[str, Any]]:
    frames = stream.decode().split("\n\n")
    assert frames.pop() == ""
    found = []
    for frame in frames:
        name, data = frame.split("\n")
        body = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}"
        found.append(body)
    return found


def assert_within(wanted: Any, found: Any) -> None:
    """Everything wanted is there; the client adds keys of its own."""
    if isinstance(wanted, Mapping):
        for key, value in wanted.items():
            assert_within(value, found[key])
    elif isinstance(wanted, list):
        assert len(wanted) == len(found)
        for mine, theirs in zip(wanted, found, strict=True):
            assert_within(mine, theirs)
    else:
        assert wanted == found


def distinct(events: list[TurnEvent]) -> list[TurnEvent]:
    """The same turn, with an id of its own for every call: the client knows calls by them, and no model repeats one."""
    return [
        replace(event, tool_id=f"{event.tool_id}_{event.index}") if isinstance(event, PartStarted) else event
        for event in events
    ]


@FEWER
@given(ended_turns().map(distinct), CUTS, REQUESTS)
def test_the_accumulated_stream_is_the_whole_answer(
    client: OfficialResponses, events: list[TurnEvent], cuts: list[int], request: TurnRequest
) -> None:
    whole: Any = OPENAI_RESPONSES.render(fold(events), request)
    streamed, told = client.stream(cut(encoded(events, request), cuts))
    assert_within(whole, streamed)
    assert told == fold(events).text_of(PartKind.TEXT)


@FEWER
@given(ended_turns())
def test_the_client_reads_the_whole_answer_as_it_stands(client: OfficialResponses, events: list[TurnEvent]) -> None:
    whole: Any = OPENAI_RESPONSES.render(fold(events), WITH_THOUGHTS)
    assert_within(whole, client.answer(200, {}, orjson.dumps(whole)))


@given(failed_turns(), CUTS)
def test_a_failure_is_raised_after_what_was_said(
    client: OfficialResponses, events: list[TurnEvent], cuts: list[int]
) -> None:
    result = fold(events)
    assert result.error is not None
    said, raised = client.said_before_the_error(cut(encoded(events), cuts))
    assert said == result.text_of(PartKind.TEXT)
    assert raised.message == result.error.message
    assert (raised.type, raised.code) == ERRORS[result.error.kind][1:]


ENDS = ("response.completed", "response.incomplete", "response.failed")


@given(legal_turns(), REQUESTS)
def test_every_turn_is_told_in_the_published_order(events: list[TurnEvent], request: TurnRequest) -> None:
    stream = encoded(events, request)
    # A reader that splits at every line end that Python knows finds the same lines.
    assert stream.decode().splitlines() == stream.decode().split("\n")[:-1]
    frames, result = frames_of(stream), fold(events)
    assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
    names = [frame["type"] for frame in frames]
    assert names.count("error") == (result.error is not None)
    if result.started is not None:
        assert names[:2] == ["response.created", "response.in_progress"]
        assert names[-1] in ENDS
        assert sum(names.count(end) for end in ENDS) == 1
        whole: Any = OPENAI_RESPONSES.render(result, request)
        assert frames[-1]["response"] == whole
    else:
        assert names == ["error"]
    items = _check_items(frames)
    if result.error is None:
        assert items == frames[-1]["response"]["output"]


def _check_items(frames: list[dict[str, Any]]) -> list[Any]:
    """Items open and close one after another; what is inside of one says whose it is and joins to what closes it."""
    done: list[Any] = []
    open_id, joined = None, ""
    for frame in frames:
        match frame["type"]:
            case "response.output_item.added":
                assert open_id is None
                open_id, joined = frame["item"]["id"], ""
                assert frame["output_index"] == len(done)
            case "response.output_item.done":
                assert frame["item"]["id"] == open_id
                done.append(frame["item"])
                open_id = None
            case name if name.endswith(".delta"):
                assert frame["delta"]
                joined += frame["delta"]
            case name if name.endswith((".text.done", "_text.done")):
                assert frame["text"] == joined
            case "response.function_call_arguments.done":
                assert frame["arguments"] == joined
            case _:
                pass
        if "item_id" in frame:
            assert (frame["item_id"], frame["output_index"]) == (open_id, len(done))
    return done


@given(legal_turns(), st.integers(-1, 30))
def test_a_stream_is_taken_up_after_any_frame(events: list[TurnEvent], after: int) -> None:
    assert frames_of(encoded(events, after=after)) == frames_of(encoded(events))[after + 1 :]


@given(ended_turns())
def test_what_is_told_again_from_the_stored_answer_has_the_same_items(events: list[TurnEvent]) -> None:
    kinds = {event.index: event.kind for event in events if isinstance(event, PartStarted)}
    told = list[TurnEvent]()
    for event in events:
        if isinstance(event, PartDelta):
            continue
        if isinstance(event, PartEnded):
            # A whole call with arguments, some words; and every third text says nothing.
            is_call, silent = kinds[event.index] is PartKind.TOOL, event.index % 3 == 2
            told += [] if silent and not is_call else [PartDelta(event.index, '{"a":1}' if is_call else "words")]
        told.append(event)
    first: Any = OPENAI_RESPONSES.render(fold(told), PLAIN)
    answer = answer_of(fold(told))
    again = [told[0], *(events_of(answer) if answer is not None else ()), told[-1]]
    second: Any = OPENAI_RESPONSES.render(fold(again), PLAIN)
    for response in (first, second):
        for item in response["output"]:
            item.pop("arguments", None)
    assert second["output"] == first["output"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_golden_streams_byte_by_byte(client: OfficialResponses, scenario: str) -> None:
    stream = (GOLDEN / scenario / "openai_responses.stream.sse").read_bytes()
    result = fold(load_events(GOLDEN / scenario / "events.jsonl"))
    pieces = cut(stream, list(range(len(stream))))
    if result.error is None:
        answer = orjson.loads((GOLDEN / scenario / "openai_responses.answer.json").read_bytes())
        byte_by_byte = client.stream(pieces)
        assert byte_by_byte == client.stream([stream])
        assert_within(answer, byte_by_byte[0])
    else:
        said, raised = client.said_before_the_error(pieces)
        assert (said, raised.message) == (result.text_of(PartKind.TEXT), result.error.message)


@pytest.mark.parametrize("kind", ErrorKind, ids=lambda kind: kind.value)
def test_an_error_has_openais_shape(client: OfficialResponses, kind: ErrorKind) -> None:
    answer = OPENAI_RESPONSES.render_error(TurnError(kind, "say it", param="input[0]", source="upstream"))
    with pytest.raises(openai.APIStatusError) as caught:
        client.answer(answer.status, dict(answer.headers), orjson.dumps(answer.body))
    error = caught.value
    assert (error.status_code, error.type, error.code) == ERRORS[kind]
    assert error.param == "input[0]"


def test_the_last_item_is_the_one_that_is_cut() -> None:
    """A text without words, after the last item, makes none: what came before it is the last."""
    events: list[TurnEvent] = [
        Started("t", "m", 1),
        PartStarted(0, PartKind.TEXT),
        PartDelta(0, "a"),
        PartEnded(0),
        PartStarted(1, PartKind.TEXT),
        PartEnded(1),
        Ended(EndReason.LENGTH),
    ]
    frames = frames_of(encoded(events))
    (done,) = _check_items(frames)
    assert done["status"] == "incomplete"
    assert frames[-1]["response"]["output"] == [done]
