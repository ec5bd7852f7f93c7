"""Responses' tools, tool choice and text format → the words of a turn.

Served are functions. What OpenAI would run on its side (`web_search`, `mcp`, …), groups of tools (`namespace`) and
tools that take free text (`custom`) have no counterpart in a call with a JSON object: they are left out and named,
because agents send their whole tool box to every server. A choice that cannot be followed is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from claude_code_api.dialects.fields import (
    MAX_FUNCTION_NAME_CHARS,
    Notes,
    as_object,
    objects_of,
    optional_bool,
    optional_object,
    optional_string,
    required_string,
    shown,
)
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import ClientTool, Json, JsonObject, OutputSchema, ToolChoice, ToolChoiceKind

# What the model's API takes.
_NO_PARAMETERS: Final[JsonObject] = {"type": "object", "properties": {}}
_WORDS: Final = {"auto": ToolChoiceKind.AUTO, "none": ToolChoiceKind.NONE, "required": ToolChoiceKind.REQUIRED}
_READ: Final = frozenset({"type", "name", "description", "parameters", "strict", "cache_control"})


def read_tools(body: JsonObject, notes: Notes) -> tuple[tuple[ClientTool, ...], ToolChoice]:
    """Read `tools` with `tool_choice`; where the choice allows some of the tools, only those are offered."""
    tools = _tools(body.get("tools"), notes)
    parallel = optional_bool(body, "parallel_tool_calls") is not False
    value = body.get("tool_choice")
    if value is None:
        return tools, ToolChoice(parallel=parallel)
    if isinstance(value, str) and value in _WORDS:
        kind = _WORDS[value]
    elif not isinstance(value, Mapping):
        words = ", ".join(f'"{word}"' for word in _WORDS)
        raise invalid(f"`tool_choice` must be {words} or an object that names a function.", param="tool_choice")
    elif value.get("type") == "allowed_tools":
        tools, kind = _allowed(value, tools, notes)
    else:
        return tools, ToolChoice(ToolChoiceKind.NAMED, _named(value, tools), parallel)
    if kind is ToolChoiceKind.REQUIRED and not tools:
        raise invalid("`tool_choice` asks for a call, but no tool that can be served is offered.", param="tool_choice")
    return tools, ToolChoice(kind, None, parallel)


def _tools(value: Json, notes: Notes) -> tuple[ClientTool, ...]:
    tools: dict[str, ClientTool] = {}
    for place, tool in objects_of([] if value is None else value, "tools"):
        kind = required_string(tool, "type", f"{place}.")
        if kind != "function":
            notes.add_unknown(kind, "tools.")
            continue
        function = _function(tool, place, notes)
        if function.name in tools:
            raise invalid(f'The function "{function.name}" is offered twice; names must differ.', param="tools")
        tools[function.name] = function
    return tuple(tools.values())


def _function(tool: JsonObject, place: str, notes: Notes) -> ClientTool:
    name = required_string(tool, "name", f"{place}.")
    if len(name) > MAX_FUNCTION_NAME_CHARS:
        raise invalid(f"`{place}.name` is longer than {MAX_FUNCTION_NAME_CHARS} characters.", param=f"{place}.name")
    for field, value in tool.items():
        if value is not None and field not in _READ:
            notes.add_unknown(field, "tools.")
    schema = optional_object(tool, "parameters", f"{place}.")
    mark = optional_object(tool, "cache_control", f"{place}.")
    return ClientTool(
        name=name,
        description=optional_string(tool, "description", f"{place}."),
        schema=_NO_PARAMETERS if schema is None else schema,
        strict=optional_bool(tool, "strict", f"{place}."),
        extra={} if mark is None else {"cache_control": mark},
    )


def _named(choice: JsonObject, tools: Sequence[ClientTool]) -> str:
    kind = choice.get("type")
    if kind != "function":
        what = f'"{shown(kind)}"' if isinstance(kind, str) else "none"
        raise invalid(
            f"`tool_choice` asks for a tool of the type {what}, which this gateway cannot serve; functions can be "
            "chosen.",
            param="tool_choice",
        )
    name = required_string(choice, "name", "tool_choice.")
    if all(tool.name != name for tool in tools):
        raise invalid(
            f'`tool_choice` names the function "{shown(name)}", which is not offered in `tools`.', param="tool_choice"
        )
    return name


def _allowed(
    choice: JsonObject, tools: Sequence[ClientTool], notes: Notes
) -> tuple[tuple[ClientTool, ...], ToolChoiceKind]:
    mode = optional_string(choice, "mode", "tool_choice.") or "auto"
    if mode not in ("auto", "required"):
        raise invalid('`tool_choice.mode` must be "auto" or "required".', param="tool_choice.mode")
    names = set[str]()
    for place, entry in objects_of(choice.get("tools"), "tool_choice.tools"):
        kind = required_string(entry, "type", f"{place}.")
        if kind == "function":
            names.add(_named(entry, tools))
        else:
            notes.add_unknown(kind, "tools.")
    return tuple(tool for tool in tools if tool.name in names), _WORDS[mode]


def read_format(text: JsonObject) -> OutputSchema | None:
    """Read `text.format`; plain text is none."""
    wanted = optional_object(text, "format", "text.")
    if wanted is None:
        return None
    match wanted.get("type"):
        case "text":
            return None
        case "json_object":
            return OutputSchema("json_object", {"type": "object"})
        case "json_schema":
            schema = as_object(wanted.get("schema"), "text.format.schema")
            return OutputSchema(required_string(wanted, "name", "text.format."), schema)
        case _:
            raise invalid(
                '`text.format.type` must be "text", "json_object" or "json_schema".', param="text.format.type"
            )


def tool_body(tool: ClientTool) -> JsonObject:
    """Say a function as the response object has it."""
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema,
        "strict": tool.strict,
    }
