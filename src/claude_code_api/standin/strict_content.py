"""Rules about single content blocks: texts, thoughts, and which block may stand in whose message."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from claude_code_api.standin.strict_request import Block, Request
from claude_code_api.standin.strict_rows import Check, Found

_REFERENCE: Final = "tool_reference"
# Blocks of the assistant's messages alone, and of the user's alone.
_ASSISTANTS: Final = ("tool_use", "thinking", "redacted_thinking")
_USERS: Final = ("tool_result", "image", "document", "search_result")


def _texts(request: Request) -> Iterator[Block]:
    """All text blocks but those of the answer that the assistant has begun."""
    last = len(request.messages) - 1
    return (block for block in request.blocks("text") if block.message != last or block.role != "assistant")


def _text_empty(request: Request) -> Found | None:
    # A content that is an empty string is an empty message.
    contents = [message.get("content") for message in request.messages]
    empty = (block for block in _texts(request) if block.value.get("text") == "" and contents[block.message] != "")
    return next(({"place": block.at} for block in empty), None)


def _text_blank(request: Request) -> Found | None:
    return next(({"place": block.at} for block in _texts(request) if _is_blank(block.value)), None)


def _is_blank(text: Mapping[str, Any]) -> bool:
    said = text.get("text")
    return isinstance(said, str) and said != "" and not said.strip()


def _system_texts(request: Request) -> list[Mapping[str, Any]]:
    system = request.get("system")
    return [one for one in system if isinstance(one, dict)] if isinstance(system, list) else []


def _system_empty(request: Request) -> Found | None:
    return {} if any(one.get("text") == "" for one in _system_texts(request)) else None


def _system_blank(request: Request) -> Found | None:
    return {} if any(_is_blank(one) for one in _system_texts(request)) else None


def _assistants_block(request: Request) -> Found | None:
    for block in request.blocks(*_ASSISTANTS):
        if block.role != "assistant":
            return {"index": block.message, "kind": block.kind}
    return None


def _users_block(request: Request) -> Found | None:
    for block in request.blocks(*_USERS):
        if block.role == "assistant":
            return {"index": block.message, "kind": block.kind}
    return None


def _thinking_signature(request: Request) -> Found | None:
    """Only what cannot be a signature of any key is refused: the stand-in has no key."""
    return _not_base64(request, "thinking", "signature")


def _redacted_data(request: Request) -> Found | None:
    return _not_base64(request, "redacted_thinking", "data")


def _not_base64(request: Request, kind: str, key: str) -> Found | None:
    for block in request.blocks(kind):
        value = block.value.get(key)
        if isinstance(value, str) and not _like_base64(value):
            return {"index": block.message, "block": block.index}
    return None


def _like_base64(value: str) -> bool:
    if not value or not value.isascii() or any(sign.isspace() for sign in value):
        return False
    try:
        base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_" if set(value) & {"-", "_"} else None)
    except (binascii.Error, ValueError):
        return False
    return True


def _result_error_text(request: Request) -> Found | None:
    for block in request.blocks("tool_result"):
        if block.value.get("is_error") is True and set(_kinds_in(block.value)) - {"text"}:
            return {"index": block.message, "block": block.index}
    return None


def _reference_mixed(request: Request) -> Found | None:
    kinds = (set(_kinds_in(block.value)) for block in request.blocks("tool_result"))
    return {} if any(_REFERENCE in found and len(found) > 1 for found in kinds) else None


def _kinds_in(result: Mapping[str, Any]) -> list[str]:
    content = result.get("content")
    return [str(one.get("type")) for one in content if isinstance(one, dict)] if isinstance(content, list) else []


CHECKS: Final[Mapping[str, Check]] = {
    "text_empty": _text_empty,
    "text_blank": _text_blank,
    "system_empty": _system_empty,
    "system_blank": _system_blank,
    "assistants_block": _assistants_block,
    "users_block": _users_block,
    "thinking_signature": _thinking_signature,
    "redacted_data": _redacted_data,
    "result_error_text": _result_error_text,
    "reference_mixed": _reference_mixed,
}
