"""Scripts as JSON: what is written can be read, and what is wrong is refused with its place."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.standin import (
    Answer,
    Break,
    Echo,
    Gate,
    Pause,
    Ping,
    RawEvent,
    RedactedThinking,
    ScriptError,
    Text,
    Thinking,
    ToolUse,
    Usage,
    answer_from_json,
    answer_to_json,
    script_from_bytes,
    script_from_json,
)
from claude_code_api.standin.playback import Occasion, message, stream
from claude_code_api.standin.script import BREAK_KINDS, STOP_REASONS

texts = st.text(max_size=20)
times = st.integers(0, 50) | st.floats(0, 50)
counts = st.integers(0, 10**9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=3)
breaks = st.builds(Break, st.sampled_from(BREAK_KINDS), texts, texts)
interludes = (
    st.builds(Pause, times) | st.builds(Gate, texts) | st.just(Ping()) | breaks | st.builds(RawEvent, texts, texts)
)
pieces = st.integers(0, 5) | st.lists(texts | interludes, max_size=4).map(tuple)


def _texts(kind: type[Text | Thinking]) -> st.SearchStrategy[Any]:
    whole = st.builds(kind, texts, pieces=st.integers(0, 5), every_ms=times)
    return whole | st.builds(kind, pieces=pieces, every_ms=times)


steps = (
    _texts(Text)
    | _texts(Thinking)
    | st.builds(RedactedThinking, texts)
    | st.builds(ToolUse, texts, texts, objects | texts, pieces, times)
    | st.builds(Echo, st.integers(0, 5), times)
    | interludes
)
answers = st.builds(
    Answer,
    st.lists(steps, max_size=4).map(tuple),
    stop_reason=st.none() | st.sampled_from(STOP_REASONS),
    stop_sequence=st.none() | texts,
    usage=st.none() | st.builds(Usage, counts, counts, counts, counts, objects),
    model=st.none() | texts,
    hold=st.none() | st.builds(Pause, times) | st.builds(Gate, texts) | st.just(Break("stall")),
    status=st.sampled_from([200, 400, 429, 500, 529]),
    error_type=texts,
    error_message=texts,
    headers=st.dictionaries(texts, texts, max_size=2),
)
OCCASION = Occasion("msg_1", "req_1", "m", b'{"a": "b"}', 3)


@given(answers)
def test_an_answer_survives_the_way_through_json(answer: Answer) -> None:
    assert answer_from_json(orjson.loads(orjson.dumps(answer_to_json(answer)))) == answer


@given(answers)
def test_any_answer_can_be_played_in_both_forms(answer: Answer) -> None:
    moves = list(stream(answer, OCCASION))
    assert isinstance(moves[0], bytes)
    assert all(move.endswith(b"\n\n") for move in moves if isinstance(move, bytes))
    orjson.dumps(message(answer, OCCASION))


def test_the_short_forms() -> None:
    assert answer_from_json("hi") == answer_from_json({"steps": ["hi"]}) == Answer((Text("hi"),))
    script = script_from_json(
        {"answers": ["a", {"status": 529}], "rules": [{"match": "m", "answers": ["b", "c"]}], "always": "d"}
    )
    assert (len(script.answers), script.rules[0].match, len(script.rules[0].answers)) == (2, "m", 2)
    assert script.always == Answer((Text("d"),))
    assert script_from_json({"match": "m", "answer": "b"}).rules[0].answers == (Answer((Text("b"),)),)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ([{"steps": [{"step": "txt"}]}], r"script\[0\]\.steps\[0\]"),
        ([{"stop": "end_turn"}], "unknown key 'stop'"),
        ([{"stop_reason": "done"}], "unknown stop_reason"),
        ([{"steps": [{"step": "text", "text": 1}]}], r"steps\[0\]\.text: wrong type int"),
        ([{"steps": [{"step": "text", "pieces": True}]}], "wrong type bool"),
        ([{"steps": [{"step": "text", "text": "a", "pieces": ["b"]}]}], "text and pieces differ"),
        ([{"steps": [{"step": "text", "pieces": [{"step": "text"}]}]}], "cannot stand inside"),
        ([{"steps": [{"step": "text", "every_ms": -1}]}], "every_ms"),
        ([{"steps": [{"step": "text", "text": "a", "pieces": -1}]}], "-1 characters"),
        ([{"steps": [{"step": "echo", "pieces": ["a"]}]}], "chunk size"),
        ([{"steps": [{"step": "pause", "ms": -1}]}], "-1 ms"),
        ([{"steps": [{"step": "gate"}]}], "missing name"),
        ([{"steps": [{"step": "break", "kind": "bang"}]}], "unknown kind"),
        ([{"hold": {"step": "ping"}}], "hold"),
        ([{"hold": {"step": "break", "kind": "error"}}], "a status, not a hold"),
        ([{"status": 418}], "no usual error type"),
        ([{"headers": {"a": 1}}], "a header is a text"),
        ([{"match": "", "answer": "a"}], "empty marker"),
        ([{"match": "a", "answers": []}], "at least one"),
        ([{"match": 1, "answer": "a"}], "a rule is"),
        ({"answer": "a"}, "unknown key 'answer'"),
        ({"answers": "a"}, "expected a list"),
        ([7], "expected an object"),
        ("text", "expected a list or an object"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(wrong: object, place: str) -> None:
    with pytest.raises(ScriptError, match=place):
        script_from_json(wrong)


def test_bytes_that_are_no_json_are_refused() -> None:
    with pytest.raises(ScriptError, match="not JSON"):
        script_from_bytes(b"{")
