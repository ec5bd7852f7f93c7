"""Lines in, frames out; and the lines that go the other way."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.engine.protocol import (
    BrokenLineError,
    ControlAnswer,
    ControlAsk,
    ControlCancel,
    Frame,
    HookStopFrame,
    LifecycleFrame,
    LineSplitter,
    OtherFrame,
    ResultFrame,
    RetryFrame,
    StreamFrame,
    SyntheticFrame,
    control_line,
    control_refusal_line,
    parse_line,
    user_line,
)
from tests.engine.frames import hooked
from tests.turn.legal_events import TEXT

LINES = st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=8)


def split(chunks: list[bytes], limit: int = 1000) -> list[bytes]:
    splitter = LineSplitter(limit)
    return [line for chunk in chunks for line in splitter.feed(chunk)]


def test_a_stream_is_split_alike_byte_by_byte() -> None:
    data = b'{"a":1}\n\n \r\n{"b":"\xc3\xbc"}\r\n{"rest":1}\nunfinished'
    whole = split([data])
    assert whole == [b'{"a":1}', b'{"b":"\xc3\xbc"}\r', b'{"rest":1}']
    assert split([bytes([byte]) for byte in data]) == whole


@given(LINES, st.lists(st.integers(0, 400), max_size=12))
def test_chunks_do_not_matter(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    assert split(chunks) == [line for line in lines if line.strip()]


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x" * 5, b"x" * 6], [b"ok\n" + b"x" * 11]])
def test_a_line_over_the_limit_is_refused_before_its_end(chunks: list[bytes]) -> None:
    with pytest.raises(BrokenLineError, match="more than 10 bytes"):
        split(chunks, limit=10)


def test_a_line_at_the_limit_is_fine_however_many_follow() -> None:
    assert split([b"x" * 10, b"\n", b"y" * 10, b"\n"] * 3, limit=10) == [b"x" * 10, b"y" * 10] * 3


EVENT = {"type": "message_stop"}
FRAMES: list[tuple[dict[str, Any], Frame]] = [
    (
        {"type": "stream_event", "event": EVENT, "api_message_id": "m", "user_message_uuids": ["u", "v"]},
        StreamFrame(EVENT, "m", ("u", "v"), None),
    ),
    (
        {"type": "stream_event", "event": EVENT, "parent_tool_use_id": "toolu_1", "user_message_uuids": None},
        StreamFrame(EVENT, "", (), "toolu_1"),
    ),
    ({"type": "stream_event", "event": None}, OtherFrame("stream_event", "without event")),
    (
        {"is_error": False, "type": "result", "user_message_uuids": ["u"]},
        ResultFrame(("u",), {"is_error": False, "type": "result", "user_message_uuids": ["u"]}),
    ),
    ({"type": "result"}, ResultFrame((), {"type": "result"})),
    ({"type": "assistant", "message": {"model": "<synthetic>"}, "error": "rate_limit"}, SyntheticFrame("rate_limit")),
    ({"type": "assistant", "message": {"model": "<synthetic>"}}, SyntheticFrame("unknown")),
    ({"type": "assistant", "message": {"model": "claude-x"}, "error": "odd"}, OtherFrame("assistant", "")),
    ({"type": "assistant", "message": None}, OtherFrame("assistant", "")),
    ({"type": "command_lifecycle", "command_uuid": "u", "state": "queued"}, LifecycleFrame("u", "queued")),
    (
        {"type": "system", "subtype": "api_retry", "attempt": 2, "error_status": 529, "retry_delay_ms": 1.5},
        RetryFrame(2, 529, 1.5),
    ),
    ({"type": "system", "subtype": "api_retry", "error_status": None}, RetryFrame(0, None, 0)),
    (hooked("blocked_by_hook", "no"), HookStopFrame("no")),
    (hooked("stopped_by_hook", None), HookStopFrame("")),
    (hooked("some_other_end", "no"), OtherFrame("system", "informational")),
    ({"type": "system", "subtype": "informational", "content": "x"}, OtherFrame("system", "informational")),
    ({"type": "system", "prompt_submit_outcome": "x"}, OtherFrame("system", "")),
    ({"type": "system", "subtype": "init"}, OtherFrame("system", "init")),
    (
        {"type": "control_response", "response": {"subtype": "success", "request_id": "g1", "response": {"a": 1}}},
        ControlAnswer("g1", ok=True, body={"a": 1}, error=""),
    ),
    (
        {"type": "control_response", "response": {"subtype": "success", "request_id": "g1"}},
        ControlAnswer("g1", ok=True, body={}, error=""),
    ),
    (
        {"type": "control_response", "response": {"subtype": "error", "request_id": "g1", "error": "no"}},
        ControlAnswer("g1", ok=False, body={}, error="no"),
    ),
    ({"type": "control_response"}, ControlAnswer("", ok=False, body={}, error="")),
    (
        {"type": "control_request", "request_id": "c", "request": {"subtype": "can_use_tool", "x": 1}},
        ControlAsk("c", "can_use_tool", {"subtype": "can_use_tool", "x": 1}),
    ),
    ({"type": "control_request", "request_id": "c"}, ControlAsk("c", "", {})),
    ({"type": "control_cancel_request", "request_id": "c"}, ControlCancel("c")),
    ({"type": "brand_new", "subtype": "x"}, OtherFrame("brand_new", "x")),
    ({"type": ["odd"]}, OtherFrame("['odd']", "")),
    ({}, OtherFrame("None", "")),
]


@pytest.mark.parametrize(("line", "frame"), FRAMES)
def test_each_kind_of_line_is_its_frame(line: dict[str, Any], frame: Frame) -> None:
    assert parse_line(json.dumps(line).encode()) == frame


@pytest.mark.parametrize("line", [b"nonsense", b"[1]", b'"x"', b"null", b"{", b"\xff", b'{"a":1} {"b":2}'])
def test_what_is_no_object_breaks_the_stream(line: bytes) -> None:
    with pytest.raises(BrokenLineError):
        parse_line(line)


@pytest.mark.parametrize("line", [b'{"type":"x","a":"\\ud83d"}', b'{"type":"x","a":NaN}', b'{"type":"x","a":1e999}'])
def test_json_that_only_the_standard_library_reads_is_read(line: bytes) -> None:
    assert parse_line(line) == OtherFrame("x", "")


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(0, 9) | st.text() | st.lists(st.text())))
def test_no_object_breaks_the_reader(line: dict[str, Any]) -> None:
    for kind in ("stream_event", "result", "assistant", "command_lifecycle", "control_request", "control_response"):
        parse_line(json.dumps({**line, "type": kind}).encode())


@given(TEXT)
def test_a_user_line_is_one_line_that_carries_the_blocks_literally(text: str) -> None:
    block = {"type": "text", "text": text}
    line = user_line("u-1", [block])
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "type": "user",
        "uuid": "u-1",
        "client_composed": True,
        "parent_tool_use_id": None,
        "session_id": "",
        "message": {"role": "user", "content": [block, {"type": "text", "text": " "}]},
    }


def test_control_lines() -> None:
    asked = {"type": "control_request", "request_id": "g1", "request": {"subtype": "interrupt"}}
    assert json.loads(control_line("g1", {"subtype": "interrupt"})) == asked
    refused = {"type": "control_response", "response": {"subtype": "error", "request_id": "c", "error": "no"}}
    assert json.loads(control_refusal_line("c", "no")) == refused
