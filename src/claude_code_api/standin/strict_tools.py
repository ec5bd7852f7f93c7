"""The rules about tools and the choice among them."""

from __future__ import annotations

import re
from typing import Any, Final

from claude_code_api.standin.strict_rules import Body, Breach
from claude_code_api.standin.strict_schemas import check_strict, is_valid

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_UNIONS: Final = frozenset({"oneOf", "allOf", "anyOf"})
_FIELDS: Final = frozenset(
    {"type", "name", "description", "input_schema", "cache_control", "strict", "defer_loading", "allowed_callers"}
    | {"eager_input_streaming", "input_examples"}
)


def check_tools(body: Body) -> None:
    """Hold the tools, and the choice, against their rules."""
    tools = body.get("tools") or []
    for index, tool in enumerate(tools):
        if isinstance(tool, dict) and tool.get("type", "custom") == "custom":
            _check_function(index, tool)
    names = [tool.get("name") for tool in tools if isinstance(tool, dict) and tool.get("type") != "mcp_toolset"]
    if len(set(names)) < len(names):
        raise Breach("tool_names_unique")
    _check_choice(body.get("tool_choice"), names)


def _check_function(index: int, tool: Body) -> None:
    for name in tool:
        if name not in _FIELDS:
            raise Breach("tool_field", index=index, found=name)
    if not isinstance(tool["name"], str) or not _NAME.fullmatch(tool["name"]):
        raise Breach("tool_name", index=index)
    schema: Any = tool.get("input_schema")
    if not isinstance(schema, dict):
        raise Breach("tool_schema_required", index=index)
    if "type" not in schema:
        raise Breach("tool_schema_type_required", index=index)
    if schema["type"] != "object":
        raise Breach("tool_schema_object", index=index)
    if _UNIONS & schema.keys():
        raise Breach("tool_schema_union", index=index)
    if not is_valid(schema):
        raise Breach("tool_schema_valid", index=index)
    if tool.get("strict"):
        check_strict(index, schema)


def _check_choice(choice: Any, names: list[Any]) -> None:  # noqa: ANN401 - JSON
    if not isinstance(choice, dict):
        return
    if not names:
        raise Breach("tool_choice_without_tools")
    if choice.get("type") == "tool":
        if not isinstance(choice.get("name"), str):
            raise Breach("tool_choice_name")
        if choice["name"] not in names:
            raise Breach("tool_choice_unknown", found=choice["name"])
