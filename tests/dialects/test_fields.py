"""Reading fields: null is absence, a wrong value is named by its place and never repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from claude_code_api.dialects import fields
from claude_code_api.dialects.fields import MAX_UNKNOWN_NAMED, Notes, kind_of, shown
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import Json


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a decimal number"),
        ("x", "a string"),
        ({}, "an object"),
        ([], "a list"),
    ],
)
def test_kinds_are_named_in_the_words_of_json(value: Json, name: str) -> None:
    assert kind_of(value) == name


@pytest.mark.parametrize(
    "read",
    [
        lambda body: fields.optional_string(body, "f"),
        lambda body: fields.optional_bool(body, "f"),
        lambda body: fields.optional_positive_int(body, "f"),
        lambda body: fields.optional_number(body, "f", 1),
        lambda body: fields.optional_object(body, "f"),
    ],
    ids=["string", "bool", "int", "number", "object"],
)
def test_null_is_absence(read: Callable[[dict[str, Json]], object]) -> None:
    assert read({}) is None
    assert read({"f": None}) is None


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (lambda body: fields.optional_string(body, "f", "a."), 1, "`a.f` must be a string, not a number."),
        (lambda body: fields.required_string(body, "f", "a."), None, "`a.f` must be a string, not null."),
        (lambda body: fields.required_string(body, "f", "a."), "", "`a.f` must not be empty."),
        (lambda body: fields.optional_bool(body, "f", "a."), "yes", "`a.f` must be true or false, not a string."),
        (lambda body: fields.optional_positive_int(body, "f"), True, "`f` must be a whole number, not a boolean."),
        (
            lambda body: fields.optional_positive_int(body, "f"),
            1.0,
            "`f` must be a whole number, not a decimal number.",
        ),
        (lambda body: fields.optional_positive_int(body, "f"), 0, "`f` must be at least 1."),
        (lambda body: fields.optional_number(body, "f", 2), True, "`f` must be a number, not a boolean."),
        (lambda body: fields.optional_number(body, "f", 2), "1", "`f` must be a number, not a string."),
        (lambda body: fields.optional_number(body, "f", 2), 2.1, "`f` must be between 0 and 2."),
        (lambda body: fields.optional_number(body, "f", 2), -0.1, "`f` must be between 0 and 2."),
        (lambda body: fields.optional_object(body, "f", "a."), [], "`a.f` must be an object, not a list."),
        (lambda body: list(fields.objects_of(body["f"], "f")), {}, "`f` must be a list, not an object."),
        (lambda body: list(fields.objects_of(body["f"], "f")), [{}, 1], "`f[1]` must be an object, not a number."),
    ],
)
def test_a_wrong_value_is_refused(read: Callable[[dict[str, Json]], object], value: Json, message: str) -> None:
    with pytest.raises(TurnRefusedError) as caught:
        read({"f": value})
    assert caught.value.error.message == message
    assert f"`{caught.value.error.param}`" in message


def test_values_are_read_as_they_are() -> None:
    body: dict[str, Json] = {"s": "", "b": False, "i": 3, "n": 1, "o": {}}
    assert fields.optional_string(body, "s") == ""
    assert fields.optional_bool(body, "b") is False
    assert fields.optional_positive_int(body, "i") == 3
    assert fields.optional_number(body, "n", 1) == 1.0
    assert fields.optional_object(body, "o") == {}
    assert list(fields.objects_of([{"a": 1}], "l")) == [("l[0]", {"a": 1})]


def test_a_name_of_the_client_cannot_break_a_header_or_a_message() -> None:
    assert shown("top_k") == "top_k"
    assert shown("a\r\nset-cookie: b,c") == "a??set-cookie:?b?c"
    assert shown("x" * 65) == "x" * 64 + "..."


def test_notes_name_each_thing_once_and_hold_the_number_of_unknown_ones() -> None:
    notes = Notes()
    for name in ("seed", "seed", "store"):
        notes.add(name)
    for index in range(MAX_UNKNOWN_NAMED + 3):
        notes.add_unknown(f"x{index}", "messages.")
    notes.add_unknown("x0", "messages.")
    names = notes.names()
    assert names[:3] == ("seed", "store", "messages.x0")
    assert names[-1] == "3-more"
    assert len(names) == 2 + MAX_UNKNOWN_NAMED + 1
