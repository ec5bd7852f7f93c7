"""Examples of the rules about schemas that are to be enforced: of the answer, and of strict tools."""

from __future__ import annotations

from typing import Any, Final

from tests.standin.strict_bodies import Example, answer_of, closed, document, said, text, tool, tools, user

_AT: Final = "output_config.format.schema"
_WORD: Final = {"type": "string"}
_TREE: Final = {**closed(more={"$ref": "#"}), "required": []}


def _case(rule: str, wrong: Any, words: str, right: Any) -> Example:
    """Two schemas of one field."""
    return Example(rule, answer_of(closed(a=wrong)), f"{_AT}: {words}", answer_of(closed(a=right)))


def _cited(*, enabled: bool) -> dict[str, Any]:
    talk = said(user(document(citations={"enabled": enabled}), text("Say.")))
    return {**answer_of(closed(a=_WORD)), "messages": talk["messages"]}


def _strict(count: int) -> dict[str, Any]:
    return tools(*(tool(f"t{number}", closed(a=_WORD), strict=True) for number in range(count)))


def _optional(count: int) -> dict[str, Any]:
    return {**closed(**{f"p{number}": _WORD for number in range(count)}), "required": []}


def _unions(count: int) -> dict[str, Any]:
    return closed(**{f"p{number}": {"type": ["string", "null"]} for number in range(count)})


EXAMPLES: Final = [
    Example(
        "output_citations",
        _cited(enabled=True),
        "messages.0.content.0: citations are not compatible with output_config.format",
        _cited(enabled=False),
    ),
    _case("output_valid", {"type": "strin"}, "JSON schema is invalid", _WORD),
    _case(
        "output_external",
        {"$ref": "https://example.com/a.json"},
        "External schema references are not supported: 'https://example.com/a.json'",
        _WORD,
    ),
    Example(
        "output_dangling",
        answer_of({**closed(a={"$ref": "#/$defs/b"}), "$defs": {"c": _WORD}}),
        f"{_AT}: Reference '#/$defs/b' not found in schema",
        answer_of({**closed(a={"$ref": "#/$defs/b"}), "$defs": {"b": _WORD}}),
    ),
    Example(
        "output_recursive",
        answer_of(_TREE),
        f"{_AT}: Recursive schema definitions are not supported",
        answer_of({**closed(more={"$ref": "#/$defs/leaf"}), "$defs": {"leaf": closed()}}),
    ),
    _case(
        "output_untyped",
        {"description": "anything"},
        "Schema type is required: use 'type', '$ref', 'enum', 'const', 'anyOf' or 'allOf'",
        {"enum": ["x", 1, None]},
    ),
    _case("output_one_of", {"oneOf": [_WORD]}, "Schema type 'oneOf' is not supported", {"anyOf": [_WORD]}),
    Example(
        "output_closed",
        answer_of({"type": "object"}),
        f"{_AT}: For 'object' type, 'additionalProperties' must be explicitly set to false",
        answer_of({"type": "object", "additionalProperties": False}),
    ),
    _case(
        "output_min_items",
        {"type": "array", "items": _WORD, "minItems": 2},
        "For 'array' type, 'minItems' values other than 0 or 1 are not supported",
        {"type": "array", "items": _WORD, "minItems": 1},
    ),
    _case(
        "output_format",
        {**_WORD, "format": "regex"},
        "For 'string' type, format 'regex' is not supported",
        {**_WORD, "format": "date-time"},
    ),
    _case(
        "output_pattern",
        {**_WORD, "pattern": "^(?=a)"},
        "For 'string' type, pattern '^(?=a)' uses unsupported regular expression features",
        {**_WORD, "pattern": "^[a-z]+$"},
    ),
    Example(
        "output_keyword",
        tools(tool("a"), tool(schema=closed(b={"type": "array", "items": _WORD, "maxItems": 3}), strict=True)),
        "tools.1.custom: For 'array' type, property 'maxItems' is not supported",
        tools(tool(schema=closed(b={"type": "array", "items": _WORD, "maxItems": 3}))),
    ),
    _case(
        "output_plain_values",
        {"enum": [{"b": 1}]},
        "'enum' and 'const' values must be strings, numbers, booleans or null",
        {"const": True},
    ),
    Example(
        "output_strict_tools",
        _strict(21),
        "Too many strict tools (21). The maximum number of strict tools supported is 20.",
        _strict(20),
    ),
    Example(
        "output_optional",
        answer_of(_optional(25)),
        "Schemas contains too many optional parameters (25), which would make grammar compilation inefficient. Reduce "
        "the number of optional parameters in your tool schemas (limit: 24).",
        answer_of(_optional(24)),
    ),
    Example(
        "output_unions",
        answer_of(_unions(17)),
        "Schemas contains too many parameters with union types (17 parameters with type arrays or anyOf), which would "
        "cause exponential compilation cost. Reduce the number of nullable or union-typed parameters (limit: 16).",
        answer_of(_unions(16)),
    ),
]
