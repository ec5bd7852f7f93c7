"""A conversation's messages → the items in which the responses API lists what a response was given."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from claude_code_api.dialects.responses_output import summary_part, text_part
from claude_code_api.dialects.responses_thoughts import packed
from claude_code_api.turn.events import PartKind
from claude_code_api.turn.request import (
    Block,
    Json,
    JsonObject,
    Message,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from claude_code_api.turn.result import Part

_DONE: Final[JsonObject] = {"status": "completed"}


def items_of_message(message: Message, name: str, *, encrypted: bool) -> list[JsonObject]:
    """Say a message as items, whose ids are made of its own `name`."""
    if message.role == "user":
        return _heard(message, name)
    return [
        {"id": f"{prefix}_{name}_{index}", **fields}
        for index, block in enumerate(message.blocks)
        for prefix, fields in _said(block, encrypted=encrypted)
    ]


def _heard(message: Message, name: str) -> list[JsonObject]:
    results = [block for block in message.blocks if isinstance(block, ToolResultBlock)]
    items: list[JsonObject] = [
        {
            "id": f"fco_{name}_{index}",
            "type": "function_call_output",
            "call_id": block.tool_use_id,
            "output": block.content if isinstance(block.content, str) else list(_parts(block.content)),
            **_DONE,
        }
        for index, block in enumerate(results)
    ]
    parts = list(_parts(block for block in message.blocks if not isinstance(block, ToolResultBlock)))
    if parts:
        items.append({"id": f"msg_{name}_{len(items)}", "type": "message", "role": "user", "content": parts, **_DONE})
    return items


def _parts(blocks: Iterator[Block] | tuple[Block, ...]) -> Iterator[JsonObject]:
    for block in blocks:
        match block:
            case TextBlock():
                yield {"type": "input_text", "text": block.text}
            case OpaqueBlock({"type": "image", "source": Mapping() as source}):
                yield {"type": "input_image", "image_url": _url(source), "file_id": None, "detail": "auto"}
            case OpaqueBlock({"type": "document", "source": Mapping() as source}):
                yield {"type": "input_file", "file_data": _url(source), "filename": block.body.get("title")}
            case OpaqueBlock():
                # Another dialect's; said as it is, because nothing is passed over.
                yield {"type": "input_text", "text": orjson.dumps(block.body).decode()}
            case _:
                pass


def _url(source: Mapping[str, Json]) -> str:
    if source.get("type") == "url":
        return str(source.get("url"))
    data = str(source.get("data"))
    if source.get("type") == "text":
        data = base64.b64encode(data.encode()).decode()
    return f"data:{source.get('media_type')};base64,{data}"


def _said(block: Block, *, encrypted: bool) -> Iterator[tuple[str, JsonObject]]:
    match block:
        case TextBlock():
            yield "msg", {"type": "message", "role": "assistant", "content": [text_part(block.text)], **_DONE}
        case ThinkingBlock():
            thought = Part(PartKind.THINKING, block.thinking, signature=block.signature)
            shown = [summary_part(block.thinking)] if block.thinking else []
            yield "rs", {"type": "reasoning", "summary": shown, **_sealed(thought, encrypted=encrypted)}
        case OpaqueBlock({"type": "redacted_thinking", "data": str(data)}):
            thought = Part(PartKind.REDACTED, data)
            yield "rs", {"type": "reasoning", "summary": [], **_sealed(thought, encrypted=encrypted)}
        case ToolUseBlock():
            yield "fc", _call(block.id, block.name, orjson.dumps(block.arguments).decode())
        case OpaqueBlock({"type": "tool_use", "id": str(id_), "name": str(name)}):
            given = block.body.get("input")
            yield "fc", _call(id_, name, given if isinstance(given, str) else orjson.dumps(given).decode())
        case _:
            pass


def _sealed(thought: Part, *, encrypted: bool) -> JsonObject:
    return {"encrypted_content": packed(thought)} if encrypted else {}


def _call(call_id: str, name: str, arguments: str) -> JsonObject:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **_DONE}
