"""JSON as text: values arrive unchanged or not at all, lines stay whole."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given

from claude_code_api.dialects.json_text import MAX_DEPTH, NotAnObjectError, dump, dump_text, load_object
from tests.turn.legal_events import TEXT


@given(TEXT)
def test_a_text_comes_back_and_is_one_line_for_every_reader(text: str) -> None:
    for encoded in (dump_text(text), dump({"k": text})):
        assert len(encoded.decode().splitlines()) == 1
    assert orjson.loads(dump_text(text)) == text
    assert orjson.loads(dump({text: text})) == {text: text}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ('{"a": NaN}', "is not valid JSON"),
        ('{"a": "\\ud800"}', "is not valid JSON"),
        ("[]", "is JSON, but not an object"),
        ("null", "is JSON, but not an object"),
        ('{"a":' * MAX_DEPTH + "{}" + "}" * MAX_DEPTH, "is nested deeper than 128 levels"),
        ('{"a": [18446744073709551616]}', "holds an integer of more than 64 bits"),
        ('{"a": -9223372036854775809}', "holds an integer of more than 64 bits"),
        ('{"a": 1' + "0" * 200 + "}", "holds an integer of more than 64 bits"),
    ],
)
def test_what_cannot_be_carried_unchanged_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotAnObjectError, match=reason):
        load_object(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        (' {"a": [1, {"b": null}]} ', {"a": [1, {"b": None}]}),
        ('{"a": 18446744073709551615, "b": -9223372036854775808}', {"a": 2**64 - 1, "b": -(2**63)}),
        ('{"a": "12345678901234567890123"}', {"a": "12345678901234567890123"}),
        ('{"a": 1.25e10}', {"a": 1.25e10}),
    ],
)
def test_objects_are_read(text: str, value: object) -> None:
    assert load_object(text) == value


def test_what_is_read_can_be_written() -> None:
    text = '{"a":' * (MAX_DEPTH - 1) + "{}" + "}" * (MAX_DEPTH - 1)
    assert dump(load_object(text)).decode() == text
