"""What the whole answer and the stream of the Anthropic dialect say in the same way: ids, blocks, reasons, usage."""

from __future__ import annotations

from collections.abc import Mapping

from claude_code_api.dialects.json_text import NotAnObjectError, load_object
from claude_code_api.turn.events import Ended, EndReason, PartKind, Started, Usage
from claude_code_api.turn.request import Json, JsonObject
from claude_code_api.turn.result import Part

STOP_REASONS: Mapping[EndReason, str] = {
    EndReason.STOP: "end_turn",
    EndReason.STOP_SEQUENCE: "stop_sequence",
    EndReason.LENGTH: "max_tokens",
    EndReason.TOOL_USE: "tool_use",
    EndReason.REFUSAL: "refusal",
}
_NOTHING_KNOWN = Usage()
# Arguments that are no JSON object, cut off by `max_tokens` or badly written, under the name that Anthropic's own
# documents propose for them.
_UNREADABLE = "INVALID_JSON"


def message_head(started: Started, model: str) -> dict[str, Json]:
    """Begin a message."""
    return {"id": f"msg_{started.turn_id}", "type": "message", "role": "assistant", "model": model}


def stop_fields(ended: Ended) -> JsonObject:
    """Say why the model stopped."""
    return {"stop_reason": STOP_REASONS[ended.reason], "stop_sequence": ended.stop_sequence}


def usage_body(usage: Usage | None) -> JsonObject:
    """Say usage. Clients need the figures; where the model reported nothing they are 0."""
    usage = usage or _NOTHING_KNOWN
    details: JsonObject = (
        {"output_tokens_details": {"thinking_tokens": usage.reasoning_tokens}} if usage.reasoning_tokens else {}
    )
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        **details,
    }


def block_of_part(part: Part) -> JsonObject:
    """Write a whole block."""
    match part.kind:
        case PartKind.TEXT:
            # Null breaks a client, and a missing key the published description; an empty list suits both.
            return {"type": "text", "text": part.text, "citations": []}
        case PartKind.THINKING:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case PartKind.REDACTED:
            return {"type": "redacted_thinking", "data": part.text}
        case PartKind.TOOL:
            call: JsonObject = {"id": part.tool_id, "name": part.tool_name, "input": _arguments(part.text)}
            return {"type": "tool_use", **call, "caller": {"type": "direct"}}


def _arguments(text: str) -> JsonObject:
    try:
        # No characters mean no arguments.
        return load_object(text or "{}")
    except NotAnObjectError:
        return {_UNREADABLE: text}
