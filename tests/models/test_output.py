"""The form that an answer has to have: what the model's API enforces, what is asked in words, and the check."""

from __future__ import annotations

import re
from typing import Any

import pytest

from claude_code_api.models.answer_check import check, is_quick, schema_problem
from claude_code_api.models.native_schema import native_form
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import Effort, JsonObject, OutputSchema, Reasoning
from tests.models.asking import ALWAYS, BUDGET, asks, fitted

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("schema", "weaker"),
    [
        (CLOSED, False),
        (obj(a={"type": "string"}), False),
        (obj(a={"type": ["string", "null"]}), False),
        (obj(a={"enum": ["x", None, 1]}, b={"const": 2}), False),
        (obj(a={"type": "array", "items": {"type": "integer"}, "minItems": 1}), False),
        (obj(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": obj(b={"type": "null"})}}, False),
        (obj(a={"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}), False),
        (obj(a={"allOf": [{"type": "string"}], "title": "T"}), False),
        (obj(a={"type": "integer", "minimum": 1}), True),
        (obj(a={"type": "string", "pattern": "^a"}), True),
        (obj(a={"type": "string", "format": "uri-template"}), True),
        (obj(a={"type": "array", "items": {"type": "integer"}, "minItems": 2}), True),
        (obj(a={"oneOf": [{"type": "string"}, {"type": "null"}]}), True),
        (obj(a={"type": "string"}) | {"minProperties": 1}, True),
    ],
)
def test_what_the_api_enforces(schema: JsonObject, weaker: bool) -> None:
    native = native_form(schema)
    assert native is not None
    assert native.weaker is weaker
    assert native.schema["additionalProperties"] is False
    wanted = asks(output_schema=OutputSchema("x", schema), reasoning=Reasoning(Effort.LOW))
    found = fitted(ALWAYS, wanted)
    assert found.request.as_is["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": native.schema},
    }
    assert (found.shape.json is not None) is weaker
    assert found.request.system == ()


DEEP: dict[str, Any] = {"$ref": "#/$defs/N", "$defs": {"N": obj(next={"$ref": "#/$defs/N"})}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
        DEEP,
        obj(a={"type": "object", "additionalProperties": {"type": "string"}}),
        obj(a={}),
        obj(a=True),
        obj(a={"enum": [{"b": 1}]}),
        obj(a={"type": "array"}),
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(25)}},
        obj(**{f"p{n}": {"type": ["string", "null"]} for n in range(17)}),
    ],
)
def test_what_it_cannot_enforce_is_said_in_words_and_checked(schema: JsonObject) -> None:
    assert native_form(schema) is None
    found = fitted(ALWAYS, asks(output_schema=OutputSchema("x", schema)))
    assert found.request.as_is["output_config"] is None
    assert found.shape.json is not None
    assert found.shape.json.schema == schema
    assert "JSON" in found.request.system[-1].text
    # It is honoured: there is nothing to name.
    assert found.changed == ()


def test_a_model_without_it_is_asked_in_words() -> None:
    found = fitted("claude-sonnet-4-20250514", asks(output_schema=OutputSchema("x", CLOSED)))
    assert found.shape.json is not None
    assert '"additionalProperties":false' in found.request.system[-1].text


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "objekt"}, "objekt"),
        ({"properties": {"a": {"$ref": "https://example.org/x.json"}}}, "outside"),
        ({"$defs": {"a": {"$ref": "other.json#/x"}}}, "outside"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_by_name(schema: JsonObject, problem: str) -> None:
    assert problem in (schema_problem(schema) or "")
    wanted = asks(output_schema=OutputSchema("x", schema), field_names={"output_schema": "response_format"})
    with pytest.raises(TurnRefusedError, match=problem) as refusal:
        fitted(BUDGET, wanted)
    assert refusal.value.error.param == "response_format"


@pytest.mark.parametrize(
    ("text", "json", "problem"),
    [
        ('{"a": "x"}', '{"a": "x"}', None),
        ('```json\n{"a": "x"}\n```', '{"a": "x"}', None),
        (' ```\n{"a": "```"}``` ', '{"a": "```"}', None),
        ('Here: {"a": "x"}', None, "not JSON"),
        ('{"a": NaN}', None, "not JSON"),
        ('{"a": 1}', '{"a": 1}', r"\$\.a"),
        ('{"a": "x", "b": 1}', '{"a": "x", "b": 1}', "b"),
        ("[" * 100_000, None, "not JSON"),
        ("", None, "not JSON"),
    ],
)
def test_the_check(text: str, json: str | None, problem: str | None) -> None:
    found = check(text, CLOSED)
    assert found.text == (text if json is None else json)
    if problem is None:
        assert found.problem is None
    else:
        assert re.search(problem, found.problem or "")


def test_older_drafts_are_read_as_they_are_meant() -> None:
    schema: JsonObject = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "properties": {"n": {"minimum": 1, "exclusiveMinimum": True}},
    }
    assert check('{"n": 2}', schema).problem is None
    assert check('{"n": 1}', schema).problem is not None


def test_a_check_that_would_never_end_is_given_up() -> None:
    chain: dict[str, Any] = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    schema: JsonObject = {"$ref": "#/$defs/a0", "$defs": {**chain, "a60": {"type": "string"}}}
    found = check("1", schema)
    assert (found.given_up, found.problem) == (True, None)
    endless: JsonObject = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert check("1", endless).given_up


@pytest.mark.parametrize(
    ("pattern", "chars", "quick"),
    [
        ("^[a-z]+$", 10_000, True),
        (r"^\d{4}-\d{2}$", 20, True),
        ("^(a+)+$", 30, False),
        ("(a|a)*b", 30, False),
        (".*.*.*x", 1_000, False),
        (r"\(\*", 100_000, True),
        (r"(?=a)b", 3, False),
        ("[", 3, False),
    ],
)
def test_a_pattern_that_could_take_for_ever_is_not_tried(pattern: str, chars: int, quick: bool) -> None:
    assert is_quick(pattern, chars) is quick


def test_a_pattern_is_checked() -> None:
    schema: JsonObject = {"properties": {"a": {"pattern": "^a"}, "b": {"pattern": "^(a+)+$"}}}
    assert check('{"a": "abc", "b": "x"}', schema).problem is None
    assert check('{"a": "bc"}', schema).problem is not None
