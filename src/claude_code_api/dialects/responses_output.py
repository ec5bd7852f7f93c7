"""What the response object says: its items, its state, its usage, and what it repeats of the request.

Ids are made of the turn's id and the item's place, so that an answer that is told again has the same ones. A part of no
text makes no item: it is not kept either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from claude_code_api.dialects.responses_request import CONVERSATION, RESPONSE
from claude_code_api.dialects.responses_thoughts import packed
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import EndReason, PartKind, Started, Usage
from claude_code_api.turn.request import Json, JsonObject, TurnRequest
from claude_code_api.turn.result import Part, TurnResult

Status: TypeAlias = Literal["completed", "failed", "in_progress", "cancelled", "incomplete"]
_PREFIXES: Final = {
    PartKind.TEXT: "msg",
    PartKind.THINKING: "rs",
    PartKind.REDACTED: "rs",
    PartKind.TOOL: "fc",
}
_CUT_BY: Final = {EndReason.LENGTH: "max_output_tokens", EndReason.REFUSAL: "content_filter"}
# The published schema knows few codes; the `error` event beside it has the exact one.
_CODES: Final = {
    ErrorKind.INVALID_REQUEST: "invalid_prompt",
    ErrorKind.CONTEXT_TOO_LONG: "invalid_prompt",
    ErrorKind.UPSTREAM_INVALID: "invalid_prompt",
    ErrorKind.RATE_LIMITED: "rate_limit_exceeded",
    ErrorKind.AT_CAPACITY: "rate_limit_exceeded",
    ErrorKind.UPSTREAM_RATE_LIMITED: "rate_limit_exceeded",
}
# What a request asks for by saying nothing.
UNSAID: Final[JsonObject] = {
    "background": False,
    # Of no effect here, and demanded by the published schema.
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "user": None,
}


@dataclass(frozen=True, slots=True)
class Head:
    """Which response it is, and what it repeats of its request."""

    started: Started
    model: str
    echo: JsonObject
    # Thoughts go along in a form that can be sent back.
    encrypted: bool

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self.started.turn_id


def head_of(started: Started, request: TurnRequest) -> Head:
    """Say which response it is."""
    note = request.note or {}
    echo = note.get("echo")
    return Head(started, request.model, echo if isinstance(echo, Mapping) else {}, note.get("encrypted") is True)


# Items


def item_id(head: Head, kind: PartKind, index: int) -> str:
    """Name an item."""
    return f"{_PREFIXES[kind]}_{head.turn_id}_{index}"


def item_of(head: Head, part: Part, index: int, status: Status) -> JsonObject:
    """Say one item."""
    id_ = item_id(head, part.kind, index)
    match part.kind:
        case PartKind.TEXT:
            content = [text_part(part.text)] if part.text else []
            return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}
        case PartKind.TOOL:
            # Arguments of no characters mean no arguments; clients parse them as JSON.
            said = part.text if status == "in_progress" else part.text or "{}"
            call: JsonObject = {"call_id": part.tool_id, "name": part.tool_name, "arguments": said}
            return {"id": id_, "type": "function_call", "status": status, **call}
        case PartKind.THINKING | PartKind.REDACTED:
            shown = part.text if part.kind is PartKind.THINKING else ""
            sealed: JsonObject = {"encrypted_content": packed(part)} if head.encrypted else {}
            return {"id": id_, "type": "reasoning", "summary": [summary_part(shown)] if shown else [], **sealed}


def text_part(text: str) -> JsonObject:
    """Say text as a content part."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def summary_part(text: str) -> JsonObject:
    """Say a thought as a part of a summary."""
    return {"type": "summary_text", "text": text}


def makes_an_item(part: Part) -> bool:
    """Whether there is anything to say of it."""
    return part.kind is not PartKind.TEXT or bool(part.text)


def items_of(head: Head, result: TurnResult) -> list[JsonObject]:
    """Say all items of an answer, as far as it has come."""
    parts = [part for part in result.parts if makes_an_item(part)]
    last = len(parts) - 1
    cut = result.ended is not None and result.ended.reason in _CUT_BY
    return [
        item_of(head, part, index, "incomplete" if not part.whole or (cut and index == last) else "completed")
        for index, part in enumerate(parts)
    ]


# The whole


def status_of(result: TurnResult) -> Status:
    """Say what has become of it."""
    if result.ended is not None:
        return "incomplete" if result.ended.reason in _CUT_BY else "completed"
    if result.error is None:
        return "in_progress"
    return "cancelled" if _was_cancelled(result.error) else "failed"


def _was_cancelled(error: TurnError) -> bool:
    return error.kind is ErrorKind.INTERRUPTED and error.source == "client"


def response_body(head: Head, result: TurnResult, *, completed_s: float | None = None) -> JsonObject:
    """Say the response object."""
    started, ended = head.started, result.ended
    reason = None if ended is None else _CUT_BY.get(ended.reason)
    return {
        "id": RESPONSE + started.turn_id,
        "object": "response",
        "created_at": started.created_s,
        "status": status_of(result),
        "completed_at": None if completed_s is None else int(completed_s),
        "error": None if result.error is None else _error(result.error),
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": head.model,
        "output": items_of(head, result),
        "usage": None if result.usage is None else usage_body(result.usage),
        "conversation": {"id": CONVERSATION + started.session_id} if started.session_id else None,
        "service_tier": "default",
        "truncation": "disabled",
        **_repeated(head.echo),
    }


def _repeated(echo: JsonObject) -> dict[str, Json]:
    said = {**UNSAID, **echo}
    for name in ("reasoning", "text"):
        unsaid, given = UNSAID[name], said[name]
        if isinstance(unsaid, Mapping) and isinstance(given, Mapping):
            said[name] = {**unsaid, **given}
    return said


def _error(error: TurnError) -> JsonObject:
    return {"code": _CODES.get(error.kind, "server_error"), "message": error.message}


def usage_body(usage: Usage) -> JsonObject:
    """Say usage."""
    return {
        "input_tokens": usage.all_input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_creation_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.all_input_tokens + usage.output_tokens,
    }
