"""A turn's result ↔ the message that the conversation goes on from. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from claude_code_api.turn.block_json import blocks_of
from claude_code_api.turn.events import (
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Phase,
    ToolActivity,
    TurnEvent,
)
from claude_code_api.turn.request import (
    Block,
    Message,
    OpaqueBlock,
    Role,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from claude_code_api.turn.result import Part, TurnResult


def answer_of(result: TurnResult) -> Message | None:
    """Write down what the model said; None if that is nothing.

    Of a turn that was cut, the text is kept as far as it came; half a call or half a thought is of no use to anybody.
    """
    blocks = tuple(block for part in result.parts if (block := _block(part)) is not None)
    return Message("assistant", blocks) if blocks else None


@dataclass(frozen=True, slots=True)
class Said:
    """What a turn adds to a conversation: the steps of the agent's own work, and the answer after them."""

    steps: tuple[Message, ...]
    answer: Message | None


# What stands for the result of a call that was cut: whether it took effect, nobody knows.
_CUT_CALL: Final = "The turn ended before this call did."


def said_in(result: TurnResult) -> Said:
    """Write down what the model said and what its own tools did, as the model's API has it."""
    spoken = _Spoken()
    running: dict[str, None] = {}
    for step in result.steps:
        match step:
            case Part():
                spoken.say(_block(step))
            case ToolActivity(phase=Phase.STARTED):
                running[step.tool_id] = None
                spoken.say(ToolUseBlock(step.tool_id, step.tool_name, step.body))
            case ToolActivity(phase=Phase.ENDED):
                running.pop(step.tool_id, None)
                spoken.hear(_result_block(step))
            case _:
                pass
    for tool_id in running:
        spoken.hear(ToolResultBlock(tool_id, _CUT_CALL, is_error=True))
    return spoken.whole()


class _Spoken:
    """Messages in the making: what the model says, and what it hears of its tools, by turns."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._role: Role = "assistant"
        self._blocks: list[Block] = []

    def say(self, block: Block | None) -> None:
        if block is not None:
            self._turn_to("assistant")
            self._blocks.append(block)

    def hear(self, block: ToolResultBlock) -> None:
        self._turn_to("user")
        self._blocks.append(block)

    def _turn_to(self, role: Role) -> None:
        if role != self._role:
            self._end_message()
            self._role = role

    def _end_message(self) -> None:
        if self._blocks:
            self._messages.append(Message(self._role, tuple(self._blocks)))
            self._blocks = []

    def whole(self) -> Said:
        self._end_message()
        if not self._messages or self._messages[-1].role == "user":
            return Said(tuple(self._messages), None)
        return Said(tuple(self._messages[:-1]), self._messages[-1])


def _result_block(step: ToolActivity) -> ToolResultBlock:
    content = step.body.get("content")
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else None
    said = blocks_of(parts) if parts is not None else str(content or "")
    return ToolResultBlock(step.tool_id, said, is_error=bool(step.body.get("is_error")))


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
