"""Short ways to write down a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from claude_code_api.flow.records import StoredMessage
from claude_code_api.turn.request import Block, Message, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock


def you(*said: str | Block) -> Message:
    return Message("user", tuple(map(_block, said)))


def claude(*said: str | Block) -> Message:
    return Message("assistant", tuple(map(_block, said)))


def _block(said: str | Block) -> Block:
    return TextBlock(said) if isinstance(said, str) else said


def thought(text: str) -> ThinkingBlock:
    return ThinkingBlock(text, f"signature of {text}")


def call(id_: str, **arguments: str) -> ToolUseBlock:
    return ToolUseBlock(id_, "lookup", arguments)


def result(id_: str, text: str) -> ToolResultBlock:
    return ToolResultBlock(id_, text)


def held(*messages: Message, cut: bool = False) -> Sequence[StoredMessage]:
    """A session's history; `cut`: the last answer in it is not whole."""
    return [
        StoredMessage(f"m{n}", "s", n, None, message, 0.0, truncated=cut and n == len(messages))
        for n, message in enumerate(messages, 1)
    ]
