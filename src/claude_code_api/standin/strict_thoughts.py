"""Rules about thoughts in the conversation: where in a message they stand, and whether the model thinks at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from claude_code_api.standin.strict_request import Request, blocks_of
from claude_code_api.standin.strict_rows import Check, Found

THOUGHTS: Final = ("thinking", "redacted_thinking")


def _thinks(request: Request) -> bool:
    kind = request.part("thinking").get("type")
    unasked = request.model is not None and request.model.thinks_unless_told
    return kind in ("enabled", "adaptive") or (kind is None and unasked)


def _begun(request: Request) -> list[Mapping[str, object]]:
    """The blocks of the answer that the assistant has begun."""
    last = request.messages[-1] if request.messages else {}
    return blocks_of(last) if last.get("role") == "assistant" else []


def _thought_last(request: Request) -> Found | None:
    kind = next((block.get("type") for block in reversed(_begun(request))), None)
    return {"index": len(request.messages) - 1, "kind": kind} if kind in THOUGHTS else None


def _thought_in_prefill(request: Request) -> Found | None:
    if _thinks(request):
        return None
    for index, block in enumerate(_begun(request)):
        if block.get("type") in THOUGHTS:
            return {"index": len(request.messages) - 1, "block": index, "kind": block["type"]}
    return None


def _thoughts_first(request: Request) -> Found | None:
    if request.part("thinking").get("type") != "enabled":
        return None
    for number, message in enumerate(request.messages):
        kinds = [block.get("type") for block in blocks_of(message)] if message.get("role") == "assistant" else []
        if any(kind in THOUGHTS for kind in kinds) and kinds[0] not in THOUGHTS:
            return {"index": number, "found": kinds[0]}
    return None


def _clear_thinking(request: Request) -> Found | None:
    edits = request.part("context_management").get("edits")
    for edit in edits if isinstance(edits, list) and not _thinks(request) else ():
        kind = str(edit.get("type")) if isinstance(edit, dict) else ""
        if kind.startswith("clear_thinking_"):
            return {"found": kind}
    return None


CHECKS: Final[Mapping[str, Check]] = {
    "thought_last": _thought_last,
    "thought_in_prefill": _thought_in_prefill,
    "thoughts_first": _thoughts_first,
    "clear_thinking": _clear_thinking,
}
