"""The model's thoughts as `encrypted_content`: what a client that keeps everything itself gives back unread.

They are packed, not encrypted: the text stands beside them anyway, and a signature that was tampered with is refused by
the model's API.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import orjson

from claude_code_api.turn.events import PartKind
from claude_code_api.turn.request import Block, JsonObject, OpaqueBlock, ThinkingBlock
from claude_code_api.turn.result import Part

# Names who packed it, and how: others' thoughts are of no use to this model.
_MARK: Final = "claude1."


def packed(part: Part) -> str | None:
    """Pack a thought; None for one that cannot be sent back, because it is cut or has no signature."""
    if not part.whole:
        return None
    if part.kind is PartKind.REDACTED:
        return _pack({"redacted": part.text})
    return _pack({"thinking": part.text, "signature": part.signature}) if part.signature else None


def _pack(thought: JsonObject) -> str:
    return _MARK + base64.urlsafe_b64encode(orjson.dumps(thought)).decode()


def unpacked(text: str) -> Block | None:
    """Take a thought out again; None if it was not packed here."""
    if not text.startswith(_MARK):
        return None
    try:
        thought = orjson.loads(base64.b64decode(text[len(_MARK) :], altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    match thought:
        case {"thinking": str(thinking), "signature": str(signature)}:
            return ThinkingBlock(thinking, signature)
        case {"redacted": str(data)}:
            return OpaqueBlock({"type": "redacted_thinking", "data": data})
        case _:
            return None
