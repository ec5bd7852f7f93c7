"""Marks for the cache: the model's API takes four in a request, and the CLI may use some of them itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from claude_code_api.models.draft import Draft
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
    TurnRequest,
)

MARK: Final = "cache_control"


def settle_marks(draft: Draft) -> None:
    """Keep as many marks as there is room for: the last ones, which hold all that comes before them."""
    spare = count_marks(draft.request) - draft.control.marks
    if spare <= 0:
        return
    draft.name(MARK)
    remover = _Remover(spare)
    request = draft.request
    tools = tuple(replace(tool, extra=remover.bare(tool.extra)) for tool in request.tools)
    system = tuple(replace(block, extra=remover.bare(block.extra)) for block in request.system)
    messages = tuple(replace(message, blocks=tuple(map(remover.block, message.blocks))) for message in request.messages)
    as_is = remover.bare(request.as_is)
    draft.change(tools=tools, system=system, messages=messages, as_is=as_is)


def count_marks(request: TurnRequest) -> int:
    """Count the marks that a client has set."""
    extras = [tool.extra for tool in request.tools] + [block.extra for block in request.system] + [request.as_is]
    return sum(MARK in extra for extra in extras) + sum(map(_marks_in, request.messages))


def _marks_in(message: Message) -> int:
    return sum(MARK in extra for block in message.blocks for extra in _extras(block))


def _extras(block: Block) -> Iterator[Mapping[str, Json]]:
    match block:
        case TextBlock() | ToolUseBlock():
            yield block.extra
        case ToolResultBlock(content=content):
            if not isinstance(content, str):
                for inner in content:
                    yield from _extras(inner)
            yield block.extra
        case OpaqueBlock():
            yield block.body
        case ThinkingBlock():
            pass


class _Remover:
    """Takes the first marks away that it meets."""

    def __init__(self, spare: int) -> None:
        self._spare = spare

    def bare(self, extra: JsonObject) -> JsonObject:
        if not self._spare or MARK not in extra:
            return extra
        self._spare -= 1
        return {name: value for name, value in extra.items() if name != MARK}

    def block(self, block: Block) -> Block:
        match block:
            case TextBlock() | ToolUseBlock():
                return replace(block, extra=self.bare(block.extra))
            case ToolResultBlock(content=content):
                inner = content if isinstance(content, str) else tuple(map(self.block, content))
                return replace(block, content=inner, extra=self.bare(block.extra))
            case OpaqueBlock():
                return OpaqueBlock(self.bare(block.body))
            case ThinkingBlock():
                return block
