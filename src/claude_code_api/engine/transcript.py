"""Messages → the transcript entries that the CLI reads. Pure; ids are given, never made.

A transcript needs no more than these fields: what the CLI reads from it reaches the model unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from claude_code_api.turn.block_json import blocks_json
from claude_code_api.turn.request import Message

# The CLI wants a time in every entry and shows it to nobody.
_TIMESTAMP = "2026-01-01T00:00:00.000Z"

# What the CLI, a JavaScript program, takes for white space. Python's own idea of it is another.
_BLANK: Final = (
    "\t\n\x0b\x0c\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)


def is_blank(text: str) -> bool:
    """Whether there is nothing in it that the CLI would pass on."""
    return not text.strip(_BLANK)


def transcript_lines(messages: Sequence[Message], uuids: Sequence[str], session_id: str, model: str = "") -> bytes:
    """Write a conversation as a transcript that the CLI can resume from; `uuids` name its entries, in order.

    `model` is the one that is to go on: thoughts of which it is not said that they are its own are left out.
    """
    lines = []
    parent: str | None = None
    for message, uuid in zip(messages, uuids, strict=True):
        entry = {
            "type": message.role,
            "uuid": uuid,
            "parentUuid": parent,
            "sessionId": session_id,
            "timestamp": _TIMESTAMP,
            "message": {"role": message.role, "content": blocks_json(message.blocks), **_signed(message, model)},
        }
        lines.append(orjson.dumps(entry) + b"\n")
        parent = uuid
    return b"".join(lines)


def _signed(message: Message, model: str) -> dict[str, str]:
    return {"model": model} if model and message.role == "assistant" else {}
