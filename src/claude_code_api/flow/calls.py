"""Calls and their results, over a whole history: what the model's API insists on, said before a turn begins. Pure.

A dialect has checked what one request holds; what a session holds, and where the two meet, is known only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Block, Message, Role, ToolResultBlock, ToolUseBlock

# Of an id that a client made up.
_SHOWN_CHARS: Final = 100


def check_calls(messages: Sequence[Message]) -> None:
    """Refuse results that answer nothing, and calls that nothing answers."""
    waiting: list[str] = []
    for role, blocks in _turns(messages):
        if role == "assistant":
            waiting = [block.id for block in blocks if isinstance(block, ToolUseBlock)]
            continue
        for block in blocks:
            if isinstance(block, ToolResultBlock):
                _take(block.tool_use_id, waiting)
        _refuse_unanswered(waiting)


def _take(call_id: str, waiting: list[str]) -> None:
    if call_id not in waiting:
        message = f'The result for "{call_id[:_SHOWN_CHARS]}" answers no call that is open in this session.'
        raise invalid(message, param="messages")
    waiting.remove(call_id)


def _refuse_unanswered(waiting: Sequence[str]) -> None:
    if waiting:
        ids = ", ".join(f'"{call_id[:_SHOWN_CHARS]}"' for call_id in waiting)
        message = f"The session waits for the results of these calls: {ids}. Send one for each of them."
        raise invalid(message, param="messages")


def _turns(messages: Sequence[Message]) -> Iterator[tuple[Role, Sequence[Block]]]:
    """Neighbours of one role are one turn, as the model's API reads them."""
    role: Role | None = None
    blocks: list[Block] = []
    for message in messages:
        if role is not None and message.role != role:
            yield role, blocks
            blocks = []
        role = message.role
        blocks += message.blocks
    if role is not None:
        yield role, blocks
