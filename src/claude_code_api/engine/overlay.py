"""A request → the fields that are laid over the CLI's own request to the model. Pure.

They are put in the place of what the CLI would have sent: at the door, on the request's way out (`lay_over`), or, with
a login, which has no door, by the CLI itself (`CLAUDE_CODE_EXTRA_BODY`). So the parameters, the client's functions and,
in the clean lane, the whole conversation reach the model as they are, from a process that knows nothing: see
docs/decisions/0006 and 0014.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from claude_code_api.models.cache_marks import count_marks
from claude_code_api.turn.block_json import blocks_json
from claude_code_api.turn.request import (
    Json,
    JsonObject,
    Message,
    ToolChoice,
    ToolChoiceKind,
    TurnRequest,
)

_CACHED: Final[JsonObject] = {"type": "ephemeral"}
_CACHE_MARK: Final = "cache_control"
# What of a request counts as its input.
_COUNTED: Final = frozenset(
    {"cache_control", "messages", "output_config", "system", "thinking", "tool_choice", "tools"}
)
# What the CLI is told in place of a conversation that is laid over it. It reaches nobody.
PLACEHOLDER: Final = "."
# What a bare CLI says before the system prompt. Where the system blocks are laid over, it has to be said for it.
IDENTITY: Final[JsonObject] = {
    "type": "text",
    "text": "You are a Claude agent, built on Anthropic's Claude Agent SDK.",
}


def parameter_fields(request: TurnRequest) -> dict[str, Json]:
    """Everything but the conversation, of a request that has been fitted to its model (`models.fit`).

    None, which only the model's own words can hold, takes away what the CLI says by itself.
    """
    fields: dict[str, Json] = {
        "max_tokens": request.limits.max_output_tokens,
        "stop_sequences": list(request.limits.stop) or None,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "top_k": request.sampling.top_k,
        "metadata": {"user_id": request.end_user} if request.end_user else None,
        **_tool_fields(request),
    }
    return {**{name: value for name, value in fields.items() if value is not None}, **_not_said(request, fields)}


def _not_said(request: TurnRequest, fields: Mapping[str, Json]) -> JsonObject:
    """The model's own words; what is said in ours is not taken away by them."""
    return {name: value for name, value in request.as_is.items() if value is not None or fields.get(name) is None}


def system_fields(request: TurnRequest) -> dict[str, Json]:
    """Write the system prompt block by block. Only a bare CLI, whose own is one line, leaves room for that.

    Set on a process it would become one block; and the CLI marks its own for the cache, while marks are few and counted
    by the model's API: a client that sets its own gets none of others.
    """
    own_marks = _sets_marks(request)
    blocks = blocks_json([block for block in request.system if block.text.strip()])
    if not blocks:
        # The CLI's own line, without the CLI's mark.
        return {"system": [IDENTITY]} if own_marks else {}
    if not own_marks:
        blocks[-1] = {**blocks[-1], _CACHE_MARK: _CACHED}
    return {"system": [IDENTITY, *blocks]}


def system_prompt(request: TurnRequest) -> str:
    """Return the system prompt as one text, as it is set on a process."""
    return "\n\n".join(block.text for block in request.system)


def whole_request(request: TurnRequest) -> dict[str, Json]:
    """Write everything, for a bare process that knows nothing."""
    conversation = conversation_fields(request.messages, mark_end=not _sets_marks(request))
    return {**parameter_fields(request), **system_fields(request), **conversation}


class NothingToLayOverError(Exception):
    """The CLI asks for something else than what it was given."""


def lay_over(body: bytes, fields: Mapping[str, Json], model: str | None = None) -> bytes:
    """Put fields in the place of those of the CLI's own request.

    A conversation takes the place of the placeholder alone: a request of another kind, which some other version of the
    CLI may make by itself, is not the turn's. Neither is one to another model than the CLI was told to ask.
    """
    try:
        own = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NothingToLayOverError("a body that is not JSON") from error
    if not isinstance(own, dict) or ("messages" in fields and not _is_placeholder(own.get("messages"))):
        raise NothingToLayOverError("a request that is not the turn's")
    if model is not None and own.get("model") != model:
        raise NothingToLayOverError("a request to another model")
    laid = {**own, **fields}
    return orjson.dumps({name: value for name, value in laid.items() if value is not None or name not in fields})


def _is_placeholder(messages: object) -> bool:
    match messages:
        case [{"role": "user", "content": str(text)}]:
            return text == PLACEHOLDER
        case [{"role": "user", "content": [{"type": "text", "text": str(text)}]}]:
            return text == PLACEHOLDER
        case _:
            return False


def counted_fields(request: TurnRequest) -> dict[str, Json]:
    """Write what the model would read, for the model's API to count: the CLI's own line included."""
    fields = whole_request(request)
    counted = {name: value for name, value in fields.items() if name in _COUNTED and value is not None}
    return {"system": [IDENTITY], **counted}


def _sets_marks(request: TurnRequest) -> bool:
    return count_marks(request) > 0


def conversation_fields(messages: Sequence[Message], *, mark_end: bool = True) -> dict[str, Json]:
    """Write the conversation; its end is marked for the cache, as the CLI would mark it."""
    written: list[dict[str, Json]] = [
        {"role": message.role, "content": blocks_json(message.blocks)} for message in messages if message.blocks
    ]
    if written and mark_end:
        written[-1] = {**written[-1], "content": _marked(written[-1]["content"])}
    return {"messages": written}


def _marked(content: Json) -> Json:
    if not isinstance(content, list) or content[-1]["type"] in {"thinking", "redacted_thinking"}:
        return content
    return [*content[:-1], {**content[-1], _CACHE_MARK: _CACHED}]


# Tools


def _tool_fields(request: TurnRequest) -> dict[str, Json]:
    if not request.tools:
        return {}
    tools: list[Json] = []
    for tool in request.tools:
        described: JsonObject = {"description": tool.description} if tool.description is not None else {}
        schema: JsonObject = {"input_schema": tool.schema} if tool.schema is not None else {}
        strict: JsonObject = {"strict": tool.strict} if tool.strict is not None else {}
        tools.append({"name": tool.name, **described, **schema, **strict, **tool.extra})
    return {"tools": tools, "tool_choice": _tool_choice(request.tool_choice)}


def _tool_choice(choice: ToolChoice) -> Json:
    one_at_a_time: JsonObject = {} if choice.parallel else {"disable_parallel_tool_use": True}
    match choice.kind:
        case ToolChoiceKind.NONE:
            return {"type": "none"}
        case ToolChoiceKind.REQUIRED:
            return {"type": "any", **one_at_a_time}
        case ToolChoiceKind.NAMED:
            return {"type": "tool", "name": choice.name, **one_at_a_time}
        case ToolChoiceKind.AUTO:
            return {"type": "auto", **one_at_a_time} if one_at_a_time else None
