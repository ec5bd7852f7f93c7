"""The client's functions: names that come back, schemas that are taken, marks that are few."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from claude_code_api.models.tool_schema import accepted_schema
from claude_code_api.turn.request import (
    ClientTool,
    Json,
    TextBlock,
    ToolChoice,
    ToolChoiceKind,
    ToolResultBlock,
    ToolUseBlock,
)
from tests.models.asking import BUDGET, asks, fitted, said

OBJECT: dict[str, Json] = {"type": "object", "properties": {"a": {"type": "string"}}}


def test_names_that_are_refused_get_others_everywhere() -> None:
    names = ("mcp.srv/look", "mcp_srv_look", "plain", "ü" * 200, "a b", "a.b")
    call = ToolUseBlock("t", "mcp.srv/look", {})
    gone = ToolUseBlock("u", "old tool", {})
    request = asks(
        said("user", "q"),
        said("assistant", call, gone),
        said("user", ToolResultBlock("t", "x"), ToolResultBlock("u", "x")),
        tools=tuple(ClientTool(name, None, OBJECT) for name in names),
        tool_choice=ToolChoice(ToolChoiceKind.NAMED, "mcp.srv/look"),
    )
    found = fitted(BUDGET, request)
    sent = [tool.name for tool in found.request.tools]
    assert len(set(sent)) == len(names)
    assert all(0 < len(name) <= 128 and name.isascii() for name in sent)
    assert sent[1:3] == ["mcp_srv_look", "plain"]
    back = found.shape.names
    assert [back.get(name, name) for name in sent] == list(names)
    assert back[found.request.tool_choice.name or ""] == "mcp.srv/look"
    asked = [block for block in found.request.messages[1].blocks if isinstance(block, ToolUseBlock)]
    assert [back[block.name] for block in asked] == ["mcp.srv/look", "old tool"]
    # It is the client's business what they are called; nothing of it is lost.
    assert found.changed == ()


@pytest.mark.parametrize(
    ("schema", "lost"),
    [
        (OBJECT, False),
        ({}, False),
        ({"type": ["object", "null"], "properties": {}}, False),
        ({"$ref": "#/$defs/A", "$defs": {"A": OBJECT}}, False),
        ({"anyOf": [OBJECT, {"type": "object", "properties": {"b": {}}, "required": ["b"]}]}, True),
        ({"type": "object", "oneOf": [{"required": ["b"]}, {"required": ["a"]}], "properties": {"a": {}}}, True),
        ({"allOf": [{"$ref": "#/definitions/A"}], "definitions": {"A": OBJECT}}, True),
        ({"type": "string"}, True),
        ({"type": "object", "properties": {"a": {"type": "number", "minimum": 1, "exclusiveMinimum": True}}}, False),
        ({"type": "object", "properties": {"a": {"type": "array", "items": [{"type": "string"}]}}}, False),
        ({"type": "object", "properties": {"a": {"type": "string", "required": True}}}, False),
        ({"type": "object", "properties": None, "required": None}, False),
        ({"type": "object", "properties": {"a": {"type": "any"}}}, True),
    ],
)
def test_schemas_become_one_valid_object(schema: dict[str, Any], lost: bool) -> None:
    made, told = accepted_schema(schema)
    Draft202012Validator.check_schema(made)
    assert made["type"] == "object"
    assert {"anyOf", "oneOf", "allOf", "$ref"}.isdisjoint(made)
    assert bool(told) is lost
    found = fitted(BUDGET, asks(tools=(ClientTool("look", "Looks.", schema),)))
    assert found.changed == (("tools.parameters",) if lost else ())
    assert found.request.tools[0].description == (f"Looks.\n\n{told}" if lost else "Looks.")


def test_a_schema_that_is_taken_stays_as_it_is() -> None:
    schema: dict[str, Json] = {**OBJECT, "additionalProperties": True, "x": [1, None]}
    assert accepted_schema(schema) == (schema, "")


def test_a_union_keeps_what_all_of_its_kinds_require() -> None:
    one: Json = {"properties": {"a": {"type": "string"}, "k": {"const": 1}}, "required": ["a", "k"]}
    other: Json = {"properties": {"b": {"type": "string"}, "k": {"const": 2}}, "required": ["b", "k"]}
    made, _ = accepted_schema({"type": "object", "anyOf": [one, other]})
    assert made == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "k": {"const": 1}, "b": {"type": "string"}},
        "required": ["k"],
    }


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({**OBJECT, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]}, None),
    ],
)
def test_strictness_where_the_api_can_be_strict(schema: dict[str, Any], strict: bool | None) -> None:
    found = fitted(BUDGET, asks(tools=(ClientTool("look", None, schema, strict=True),)))
    assert found.request.tools[0].strict is strict
    assert found.changed == (() if strict else ("tools.strict",))


MARK: dict[str, Json] = {"cache_control": {"type": "ephemeral"}}


def test_no_more_marks_than_there_is_room_for_and_the_last_ones_stay() -> None:
    request = asks(
        said("user", TextBlock("1", MARK)),
        said("user", TextBlock("2", MARK)),
        tools=(ClientTool("look", None, OBJECT, extra=MARK),),
        system=(TextBlock("s", MARK),),
    )
    assert fitted(BUDGET, request).changed == ()
    found = fitted(BUDGET, request, marks=1)
    assert found.changed == ("cache_control",)
    assert found.request.tools[0].extra == {}
    assert found.request.system == (TextBlock("s"),)
    assert found.request.messages == (said("user", "1"), said("user", TextBlock("2", MARK)))
