"""A turn's result ↔ the message that the conversation goes on from. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from claude_code_api.turn.events import PartDelta, PartEnded, PartKind, PartStarted, TurnEvent
from claude_code_api.turn.request import Block, Message, OpaqueBlock, TextBlock, ThinkingBlock, ToolUseBlock
from claude_code_api.turn.result import Part, TurnResult


def answer_of(result: TurnResult) -> Message | None:
    """Write down what the model said; None if that is nothing.

    Of a turn that was cut, the text is kept as far as it came; half a call or half a thought is of no use to anybody.
    """
    blocks = tuple(block for part in result.parts if (block := _block(part)) is not None)
    return Message("assistant", blocks) if blocks else None


def can_be_gone_on_from(answer: Message, *, truncated: bool) -> bool:
    """Whether a model can be shown this answer: a cut one must not have calls, which nobody will ever answer."""
    said = any(isinstance(block, TextBlock) for block in answer.blocks)
    return not truncated or (said and not any(isinstance(block, ToolUseBlock) for block in answer.blocks))


def _block(part: Part) -> Block | None:
    match part.kind:
        case PartKind.TEXT:
            return TextBlock(part.text) if part.text else None
        case PartKind.THINKING:
            return ThinkingBlock(part.text, part.signature) if part.whole else None
        case PartKind.REDACTED:
            return OpaqueBlock({"type": "redacted_thinking", "data": part.text}) if part.whole else None
        case PartKind.REDACTED:
            return OpaqueBlock({"type": "redacted_thinking", "data": part.text}) if part.whole else None
        case PartKind.TOOL:
            return _call(part) if part.whole else None


def _call(part: Part) -> Block:
    try:
        arguments = json.loads(part.text or "{}")
    except ValueError:
        arguments = part.text
    if isinstance(arguments, dict):
        return ToolUseBlock(part.tool_id, part.tool_name, arguments)
    # The model can be wrong. It is kept as it said it.
    return OpaqueBlock({"type": "tool_use", "id": part.tool_id, "name": part.tool_name, "input": arguments})


def events_of(answer: Message) -> Iterator[TurnEvent]:
    """Say an answer once more, each block in one piece."""
    index = 0
    for block in answer.blocks:
        told = _told(block)
        if told is None:
            continue
        opened, text, signature = told
        yield replace(opened, index=index)
        if text:
            yield PartDelta(index, text)
        yield PartEnded(index, signature)
        index += 1


def _told(block: Block) -> tuple[PartStarted, str, str] | None:
    match block:
        case TextBlock():
            return PartStarted(0, PartKind.TEXT), block.text, ""
        case ThinkingBlock():
            return PartStarted(0, PartKind.THINKING), block.thinking, block.signature
        case ToolUseBlock():
            return PartStarted(0, PartKind.TOOL, block.id, block.name), json.dumps(block.arguments), ""
        case OpaqueBlock({"type": "redacted_thinking", "data": str(data)}):
            return PartStarted(0, PartKind.REDACTED), data, ""
        case OpaqueBlock({"type": "tool_use", "id": str(id_), "name": str(name)}):
            given = block.body.get("input")
            return PartStarted(0, PartKind.TOOL, id_, name), given if isinstance(given, str) else json.dumps(given), ""
        case _:
            return None
