"""Blocks ↔ the JSON in which the model's API reads them. Pure, and exact both ways: `block_of(block_json(b)) == b`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from claude_code_api.turn.request import (
    Block,
    Json,
    JsonObject,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)

_TEXT: Final = frozenset({"type", "text"})
_THINKING: Final = frozenset({"type", "thinking", "signature"})
_TOOL_USE: Final = frozenset({"type", "id", "name", "input"})
_TOOL_RESULT: Final = frozenset({"type", "tool_use_id", "content", "is_error"})


def block_json(block: Block) -> JsonObject:
    """Write a block as the model's API reads it."""
    match block:
        case TextBlock():
            return {"type": "text", "text": block.text, **block.extra}
        case ThinkingBlock():
            return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}
        case ToolUseBlock():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.arguments, **block.extra}
        case ToolResultBlock():
            return _tool_result_json(block)
        case OpaqueBlock():
            return block.body


def _tool_result_json(block: ToolResultBlock) -> JsonObject:
    content: Json = block.content if isinstance(block.content, str) else blocks_json(block.content)
    failed: JsonObject = {"is_error": True} if block.is_error else {}
    return {"type": "tool_result", "tool_use_id": block.tool_use_id, "content": content, **failed, **block.extra}


def blocks_json(blocks: Iterable[Block]) -> list[JsonObject]:
    """Write several blocks, in order."""
    return [block_json(block) for block in blocks]


def block_of(body: JsonObject) -> Block:
    """Read a block back. What is not exactly one of the known kinds stays as it is, in an `OpaqueBlock`."""
    match body:
        case {"type": "text", "text": str(text)}:
            return TextBlock(text, _beside(body, _TEXT))
        case {"type": "thinking", "thinking": str(thinking), "signature": str(signature)} if body.keys() == _THINKING:
            return ThinkingBlock(thinking, signature)
        case {"type": "tool_use", "id": str(id_), "name": str(name), "input": Mapping() as arguments}:
            return ToolUseBlock(id_, name, arguments, _beside(body, _TOOL_USE))
        case {"type": "tool_result", "tool_use_id": str(id_), "content": str() | list() as content}:
            return _tool_result_of(body, id_, content)
        case _:
            return OpaqueBlock(body)


def _tool_result_of(body: JsonObject, tool_use_id: str, content: str | list[Json]) -> Block:
    is_error = body.get("is_error", False)
    if is_error is not True and "is_error" in body:
        return OpaqueBlock(body)
    if isinstance(content, str):
        return ToolResultBlock(tool_use_id, content, bool(is_error), _beside(body, _TOOL_RESULT))
    inner = [part for part in content if isinstance(part, Mapping)]
    if len(inner) != len(content):
        return OpaqueBlock(body)
    return ToolResultBlock(tool_use_id, blocks_of(inner), bool(is_error), _beside(body, _TOOL_RESULT))


def blocks_of(bodies: Iterable[JsonObject]) -> tuple[Block, ...]:
    """Read several blocks, in order."""
    return tuple(block_of(body) for body in bodies)


def _beside(body: JsonObject, known: frozenset[str]) -> JsonObject:
    return {key: value for key, value in body.items() if key not in known}
