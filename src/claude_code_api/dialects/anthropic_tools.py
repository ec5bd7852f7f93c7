"""Anthropic's tools and tool choice → the words of a turn.

Served are the client's own functions, and the kinds that the model's API defines and the client runs (bash, text
editor, memory). What the API would run on its side, or take under a beta of its own alone, is left out and named: the
answer goes through the CLI, which has no place for it. A choice that cannot be followed is refused.
"""

from __future__ import annotations

from claude_code_api.dialects.fields import (
    Notes,
    as_object,
    objects_of,
    optional_bool,
    optional_string,
    required_string,
    shown,
)
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import ClientTool, Json, JsonObject, ToolChoice, ToolChoiceKind

# Their schemas are the model's own; the dates of their versions follow.
_RUN_BY_THE_CLIENT = ("bash_", "text_editor_", "memory_")
_READ = frozenset({"type", "name", "description", "input_schema", "strict"})
# Laid beside them as they came; anything else belongs to a beta.
_KEPT = frozenset({"cache_control", "eager_input_streaming"})
_KINDS = {
    "auto": ToolChoiceKind.AUTO,
    "none": ToolChoiceKind.NONE,
    "any": ToolChoiceKind.REQUIRED,
    "tool": ToolChoiceKind.NAMED,
}


def read_tools(body: JsonObject, notes: Notes) -> tuple[tuple[ClientTool, ...], ToolChoice]:
    """Read `tools` with `tool_choice`."""
    offered = body.get("tools")
    tools, left_out = list[ClientTool](), dict[str, str]()
    for place, tool in objects_of([] if offered is None else offered, "tools"):
        kind = optional_string(tool, "type", f"{place}.") or "custom"
        if kind == "custom":
            tools.append(_function(tool, place, notes))
        elif kind.startswith(_RUN_BY_THE_CLIENT):
            name = required_string(tool, "name", f"{place}.")
            extra = {key: value for key, value in tool.items() if key != "name" and value is not None}
            tools.append(ClientTool(name, None, None, extra=extra))
        else:
            notes.add_unknown(kind, "tools.")
            left_out[optional_string(tool, "name", f"{place}.") or kind] = kind
    return tuple(tools), _choice(body.get("tool_choice"), [tool.name for tool in tools], left_out)


def _function(tool: JsonObject, place: str, notes: Notes) -> ClientTool:
    for name, value in tool.items():
        if value is not None and name not in _READ | _KEPT:
            notes.add_unknown(name, "tools.")
    return ClientTool(
        name=required_string(tool, "name", f"{place}."),
        description=optional_string(tool, "description", f"{place}."),
        schema=as_object(tool.get("input_schema"), f"{place}.input_schema"),
        strict=optional_bool(tool, "strict", f"{place}."),
        extra={name: value for name, value in tool.items() if name in _KEPT and value is not None},
    )


def _choice(value: Json, names: list[str], left_out: dict[str, str]) -> ToolChoice:
    if value is None:
        return ToolChoice()
    choice = as_object(value, "tool_choice")
    kind = _KINDS.get(str(choice.get("type")))
    if kind is None:
        words = ", ".join(f'"{word}"' for word in _KINDS)
        raise invalid(f"`tool_choice.type` must be one of: {words}.", param="tool_choice.type")
    parallel = optional_bool(choice, "disable_parallel_tool_use", "tool_choice.") is not True
    if kind is ToolChoiceKind.REQUIRED and not names:
        raise invalid("`tool_choice` asks for a call, but no tool that can be served is offered.", param="tool_choice")
    if kind is not ToolChoiceKind.NAMED:
        return ToolChoice(kind, None, parallel)
    name = required_string(choice, "name", "tool_choice.")
    if name in left_out:
        raise invalid(
            f'`tool_choice` asks for "{shown(name)}", a tool of the type {shown(left_out[name])}, which this gateway '
            "cannot serve.",
            param="tool_choice",
        )
    if name not in names:
        raise invalid(f'`tool_choice` names the tool "{shown(name)}", which is not offered.', param="tool_choice")
    return ToolChoice(kind, name, parallel)
