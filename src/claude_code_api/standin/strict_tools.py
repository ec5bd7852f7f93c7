"""Rules about tools: their names, their schemas, and the choice among them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError

from claude_code_api.standin.strict_request import Request
from claude_code_api.standin.strict_rows import Check, Found

_BLOCKED: Final = "blocked_domains"
_UNIONS: Final = ("oneOf", "allOf", "anyOf")
# The tools of a busy client, several times over: they come with every turn.
_REMEMBERED_SCHEMAS: Final = 1024


def _tools(request: Request) -> list[Mapping[str, Any]]:
    tools = request.get("tools")
    return [one for one in tools if isinstance(one, dict)] if isinstance(tools, list) else []


def _schemas(request: Request) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, tool in enumerate(_tools(request)):
        schema = tool.get("input_schema")
        if tool.get("type") in (None, "custom") and isinstance(schema, dict):
            yield index, schema


def _names(request: Request) -> list[str]:
    return [str(tool["name"]) for tool in _tools(request) if "name" in tool]


def _names_unique(request: Request) -> Found | None:
    twice = [name for name, count in Counter(_names(request)).items() if count > 1]
    return {"found": twice[0]} if twice else None


def _schema_union(request: Request) -> Found | None:
    return next(({"index": at} for at, schema in _schemas(request) if any(one in schema for one in _UNIONS)), None)


def _schema_valid(request: Request) -> Found | None:
    return next(({"index": at} for at, schema in _schemas(request) if not is_valid(schema)), None)


def is_valid(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is one of draft 2020-12."""
    return _is_valid(json.dumps(schema))


@lru_cache(maxsize=_REMEMBERED_SCHEMAS)
def _is_valid(written: str) -> bool:
    try:
        Draft202012Validator.check_schema(json.loads(written))
    except (SchemaError, RecursionError):
        return False
    return True


def _choice_without_tools(request: Request) -> Found | None:
    return {} if request.get("tool_choice") is not None and not request.get("tools") else None


def _choice_unknown(request: Request) -> Found | None:
    choice = request.part("tool_choice")
    name = choice.get("name")
    return (
        {"found": name}
        if choice.get("type") == "tool" and isinstance(name, str) and name not in _names(request)
        else None
    )


def _deferred_mark(request: Request) -> Found | None:
    for tool in _tools(request):
        if tool.get("defer_loading") is True and tool.get("cache_control") is not None:
            return {"found": tool.get("name")}
    return None


def _all_deferred(request: Request) -> Found | None:
    tools = _tools(request)
    return {} if tools and all(tool.get("defer_loading") is True for tool in tools) else None


def _reference_unknown(request: Request) -> Found | None:
    names = _names(request)
    for block in request.blocks("tool_result"):
        content = block.value.get("content")
        for one in content if isinstance(content, list) else ():
            if isinstance(one, dict) and one.get("type") == "tool_reference" and one.get("tool_name") not in names:
                return {"found": one.get("tool_name")}
    return None


def _search_domains(request: Request) -> Found | None:
    for index, tool in enumerate(_tools(request)):
        kind = str(tool.get("type"))
        if kind.startswith(("web_search_", "web_fetch_")) and tool.get("allowed_domains") and tool.get(_BLOCKED):
            return {"place": f"tools.{index}.{kind}"}
    return None


CHECKS: Final[Mapping[str, Check]] = {
    "tool_names_unique": _names_unique,
    "tool_schema_union": _schema_union,
    "tool_schema_valid": _schema_valid,
    "deferred_mark": _deferred_mark,
    "all_deferred": _all_deferred,
    "reference_unknown": _reference_unknown,
    "search_domains": _search_domains,
    "tool_choice_without_tools": _choice_without_tools,
    "tool_choice_unknown": _choice_unknown,
}
