"""How a process comes to hold a conversation.

There is one way so far, which always works: a fresh process that resumes from a transcript of ours and gets the last
message on its standard input. Cheaper ways lead to the same upstream request.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from claude_code_api.engine.launch import Home, Resume
from claude_code_api.engine.transcript import is_blank, transcript_lines
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Block, Message, TextBlock, ToolResultBlock, is_thought

_FILLER: Final = "(no content)"


@dataclass(frozen=True, slots=True)
class Seating:
    """A conversation, split into what the process is resumed from and what it is told."""

    history: tuple[Message, ...]
    last: tuple[Block, ...]
    entry_uuids: tuple[str, ...]
    # Where in the conversation each entry begins, and the last message.
    begins: tuple[int, ...] = ()

    @property
    def places(self) -> Mapping[str, int]:
        """Which entry begins with which message; the last message has none, and stands under no name."""
        return dict(zip((*self.entry_uuids, ""), self.begins, strict=True))

    @property
    def answers_tools(self) -> bool:
        """Whether the last message holds the results of calls in the history."""
        return any(isinstance(block, ToolResultBlock) for block in self.last)

    def write_transcript(self, home: Home, model: str = "") -> Resume | None:
        """Put the history where the process can resume from it."""
        if not self.history:
            return None
        lines = transcript_lines(self.history, self.entry_uuids, str(uuid.uuid4()), model)
        home.transcript.write_bytes(lines)
        # Only with the entry named does the CLI go on from open tool calls, instead of closing them by itself.
        return Resume(home.transcript, self.entry_uuids[-1] if self.answers_tools else None)


def arrange(messages: Sequence[Message]) -> Seating:
    """Split a conversation into its history and the last message, which has to be the user's and to say something."""
    if not messages or messages[-1].role != "user":
        msg = "The last message must be the user's: a begun answer cannot be continued."
        raise invalid(msg, param="messages")
    begins, spoken = _spoken(messages)
    if not spoken or spoken[-1].role != "user":
        msg = "The last message is blank: say something."
        raise invalid(msg, param="messages")
    *history, last = spoken
    uuids = tuple(str(uuid.uuid4()) for _ in history)
    return Seating(tuple(map(_unmistakable, history)), last.blocks, uuids, tuple(begins))


def _spoken(messages: Sequence[Message]) -> tuple[list[int], list[Message]]:
    """What of a conversation can reach the model, in alternating turns; and with which message each of them begins.

    A blank text cannot: the model's API refuses it, and the CLI puts words of its own in its place ("(no content)", "No
    response requested."). So it is left out, and with it a message of nothing else but thoughts. Messages of one role
    that follow each other become one, as the model's API has it; the CLI would join them too, and add a line end.
    """
    begins: list[int] = []
    spoken: list[Message] = []
    for number, message in enumerate(messages):
        blocks = tuple(b for b in message.blocks if not (isinstance(b, TextBlock) and is_blank(b.text)))
        if all(is_thought(b) for b in blocks):
            continue
        if spoken and spoken[-1].role == message.role:
            blocks = spoken.pop().blocks + blocks
        else:
            begins.append(number)
        spoken.append(Message(message.role, blocks))
    return begins, spoken


def _unmistakable(message: Message) -> Message:
    """An answer of exactly the words that the CLI takes for its own filler and drops: in two blocks they pass."""
    match message:
        case Message("assistant", (TextBlock(text, extra),)) if text == _FILLER:
            return Message("assistant", (TextBlock(text[:3]), TextBlock(text[3:], extra)))
    return message
