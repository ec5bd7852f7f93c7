"""OpenAI chat's tools, tool choice and response format, present and legacy form, → the words of a turn.

Tools of a type that is not a function are named and left out: agents send their whole tool box to every server, and a
refusal would break them (Codex does). A choice that cannot be followed is refused: the client relies on it.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from claude_code_api.turn.request import (
    ClientTool,
    Json,
    JsonObject,
    OutputSchema,
    ToolChoice,
    ToolChoiceKind,
)

# OpenAI: leaving `parameters` out defines a function without any.
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
_WORDS = {"auto": ToolChoiceKind.AUTO, "none": ToolChoiceKind.NONE, "required": ToolChoiceKind.REQUIRED}


def read_tools(body: JsonObject, notes: Notes) -> tuple[tuple[ClientTool, ...], ToolChoice]:
    """Read `tools` with `tool_choice`, or their legacy forms `functions` and `function_call`."""
    if body.get("tools") and body.get("functions"):
        raise invalid("Send either `tools` or the legacy `functions`, not both.", param="functions")
    legacy = bool(body.get("functions"))
    tools = _functions(body) if legacy else _tools(body.get("tools"), notes)
    names = set[str]()
    for tool in tools:
        if tool.name in names:
            raise invalid(f'The function "{tool.name}" is offered twice; names must differ.', param="tools")
        names.add(tool.name)
    # An answer in the legacy form has room for one call.
    parallel = optional_bool(body, "parallel_tool_calls") is not False and not legacy
    field = "tool_choice" if body.get("tool_choice") is not None else "function_call"
    kind, name = _choice(body.get(field), field)
    if kind in (ToolChoiceKind.REQUIRED, ToolChoiceKind.NAMED) and not tools:
        raise invalid(f"`{field}` asks for a call, but no function is offered in `tools`.", param=field)
    if name is not None and name not in names:
        raise invalid(f'`{field}` names the function "{shown(name)}", which is not offered in `tools`.', param=field)
    return tools, ToolChoice(kind, name, parallel)


def _tools(value: Json, notes: Notes) -> tuple[ClientTool, ...]:
    tools = []
    for place, tool in objects_of([] if value is None else value, "tools"):
        kind = required_string(tool, "type", f"{place}.")
        if kind == "function":
            tools.append(_function(as_object(tool.get("function"), f"{place}.function"), f"{place}.function"))
        else:
            notes.add_unknown(kind, "tools.")
    return tuple(tools)


def _functions(body: JsonObject) -> tuple[ClientTool, ...]:
    return tuple(_function(function, place) for place, function in objects_of(body.get("functions"), "functions"))


def _function(function: JsonObject, place: str) -> ClientTool:
    name = required_string(function, "name", f"{place}.")
    if len(name) > MAX_FUNCTION_NAME_CHARS:
        raise invalid(f"`{place}.name` is longer than {MAX_FUNCTION_NAME_CHARS} characters.", param=f"{place}.name")
    schema = optional_object(function, "parameters", f"{place}.")
    return ClientTool(
        name=name,
        description=optional_string(function, "description", f"{place}."),
        schema=_NO_PARAMETERS if schema is None else schema,
        strict=optional_bool(function, "strict", f"{place}."),
    )


def _choice(value: Json, field: str) -> tuple[ToolChoiceKind, str | None]:
    if value is None:
        return ToolChoiceKind.AUTO, None
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value], None
    if not isinstance(value, Mapping):
        words = ", ".join(f'"{word}"' for word in _WORDS)
        raise invalid(f"`{field}` must be {words} or an object that names a function.", param=field)
    if field == "function_call":
        return ToolChoiceKind.NAMED, required_string(value, "name", f"{field}.")
    if value.get("type") != "function":
        raise invalid(
            f'`{field}.type` must be "function". To allow some of the tools, offer only those in `tools`.',
            param=f"{field}.type",
        )
    function = as_object(value.get("function"), f"{field}.function")
    return ToolChoiceKind.NAMED, required_string(function, "name", f"{field}.function.")


def read_response_format(body: JsonObject) -> OutputSchema | None:
    """Read `response_format`; plain text is none."""
    wanted = optional_object(body, "response_format")
    if wanted is None:
        return None
    match wanted.get("type"):
        case "text":
            return None
        case "json_object":
            return OutputSchema("json_object", {"type": "object"})
        case "json_schema":
            place = "response_format.json_schema"
            described = as_object(wanted.get("json_schema"), place)
            schema = optional_object(described, "schema", f"{place}.")
            # Without a schema any JSON will do, and the schema that says so is the empty one.
            return OutputSchema(required_string(described, "name", f"{place}."), {} if schema is None else schema)
        case _:
            raise invalid(
                '`response_format.type` must be "text", "json_object" or "json_schema".', param="response_format.type"
            )
