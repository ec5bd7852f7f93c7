"""How a process comes to hold a conversation.

There is one way so far, which always works: a fresh process that resumes from a transcript of ours and gets the last
message on its standard input. Cheaper ways lead to the same upstream request.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from claude_code_api.engine.launch import Home, Resume
from claude_code_api.engine.transcript import transcript_lines
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Block, Message, ToolResultBlock


@dataclass(frozen=True, slots=True)
class Seating:
    """A conversation, split into what the process is resumed from and what it is told."""

    history: tuple[Message, ...]
    last: tuple[Block, ...]
    entry_uuids: tuple[str, ...]

    @property
    def answers_tools(self) -> bool:
        """Whether the last message holds the results of calls in the history."""
        return any(isinstance(block, ToolResultBlock) for block in self.last)

    def write_transcript(self, home: Home) -> Resume | None:
        """Put the history where the process can resume from it."""
        if not self.history:
            return None
        lines = transcript_lines(self.history, self.entry_uuids, str(uuid.uuid4()))
        home.transcript.write_bytes(lines)
        # Only with the entry named does the CLI go on from open tool calls, instead of closing them by itself.
        return Resume(home.transcript, self.entry_uuids[-1] if self.answers_tools else None)


def arrange(messages: Sequence[Message]) -> Seating:
    """Split a conversation at its last answer. User messages after it go in as one: the model's API joins them too."""
    cut = len(messages)
    while cut and messages[cut - 1].role == "user":
        cut -= 1
    if cut == len(messages):
        msg = "The last message must be the user's: a begun answer cannot be continued."
        raise invalid(msg, param="messages")
    last = tuple(block for message in messages[cut:] for block in message.blocks)
    return Seating(tuple(messages[:cut]), last, tuple(str(uuid.uuid4()) for _ in range(cut)))
