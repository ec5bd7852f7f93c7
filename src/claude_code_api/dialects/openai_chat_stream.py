"""`TurnEvent`s → the bytes of a chat completions stream.

The bytes around a text are prepared when its part opens; a delta costs one JSON string and one concatenation. Role and
name go out once: clients concatenate what comes twice. The first chunk waits for the first part, because its kind
decides what `content` begins as (null before calls, text otherwise), and so the joined stream equals the whole answer.

Where several answers are wanted the encoder gets several turns, one after another: each is a choice with its own index.
"""

from __future__ import annotations

from collections.abc import Mapping

from claude_code_api.dialects.json_text import dump, dump_text
from claude_code_api.dialects.openai_shared import error_body, usage_body
from claude_code_api.dialects.sse import DONE, data_frame
from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Compacted,
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
    total_usage,
)
from claude_code_api.turn.request import JsonObject, TurnRequest

# Clients know these words alone; some stop on any other.
FINISH_REASONS: Mapping[EndReason, str] = {
    EndReason.STOP: "stop",
    EndReason.STOP_SEQUENCE: "stop",
    EndReason.LENGTH: "length",
    EndReason.TOOL_USE: "tool_calls",
    EndReason.REFUSAL: "content_filter",
}
_TEXT_KEYS = {PartKind.TEXT: b'{"content":', PartKind.THINKING: b'{"reasoning_content":'}


def finish_reason(ended: Ended, request: TurnRequest) -> str:
    """Say why the model stopped, in the dialect's words."""
    if request.legacy_calls and ended.reason is EndReason.TOOL_USE:
        return "function_call"
    return FINISH_REASONS[ended.reason]


def completion_id(started: Started) -> str:
    """Give the id of the answer."""
    return f"chatcmpl-{started.turn_id}"


class ChatEncoder:
    """One streamed answer. The order of events is `turn/order.py`'s to check; here it is relied upon."""

    __slots__ = (
        "_after",
        "_arguments_empty",
        "_before",
        "_calls",
        "_content_open",
        "_muted",
        "_number",
        "_open",
        "_prefix",
        "_request",
        "_role_sent",
        "_spent",
        "_suffix",
        "_usage",
        "_with_usage",
    )

    def __init__(self, request: TurnRequest) -> None:
        """Prepare what is known before the first event."""
        self._request = request
        self._with_usage = request.stream_usage
        # A chunk is prefix + choices + suffix; a delta of the open part is before + text + after.
        self._prefix = self._suffix = self._before = self._after = b""
        self._open = PartKind.TEXT
        self._role_sent = self._content_open = self._arguments_empty = self._muted = False
        self._calls = 0
        self._number = -1
        # Of this turn so far, and of the turns before it.
        self._usage: Usage | None = None
        self._spent: Usage | None = None

    def push(self, event: TurnEvent) -> bytes:
        """Encode one event."""
        match event:
            case PartDelta():
                return self._delta(event.text)
            case PartStarted():
                return self._open_part(event)
            case PartEnded():
                # Arguments of no characters mean no arguments; clients parse them as JSON.
                empty_call = self._open is PartKind.TOOL and self._arguments_empty
                return self._delta("{}") if empty_call else b""
            case Started():
                self._start(event)
            case Usage():
                self._usage = event
            case Ended():
                return self._end(event)
            case Failed():
                return self._fail(event.error)
            case (
                ToolActivity() | Compacted() | ApprovalWanted() | ApprovalSettled()
            ):  # pragma: no branch (the union ends here; mypy proves it)
                # Chat clients know no such thing; the live endpoints show it.
                pass
        return b""

    def _start(self, started: Started) -> None:
        self._number += 1
        if self._number:
            self._role_sent = self._content_open = False
            self._calls = 0
            return
        head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,'
        self._prefix = (
            head % (dump_text(completion_id(started)), started.created_s, dump_text(self._request.model))
            + b'"choices":['
        )
        self._suffix = b'],"usage":null}\n\n' if self._with_usage else b"]}\n\n"

    def _choice(self, delta: bytes, finish_reason: bytes = b"null") -> bytes:
        choice = b'{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}' % (self._number, delta, finish_reason)
        return self._prefix + choice + self._suffix

    def _surround(self, opening: bytes, closing: bytes) -> None:
        """Prepare the bytes around the deltas of the open part; JSON escapes NUL, so it marks the place of the text."""
        self._before, _, self._after = self._choice(opening + b"\0" + closing).partition(b"\0")

    def _delta(self, text: str) -> bytes:
        if not text or self._muted:
            return b""
        self._arguments_empty = False
        return self._before + dump_text(text) + self._after

    def _open_part(self, part: PartStarted) -> bytes:
        # Chat clients have no place for thoughts that nobody can read.
        self._open, self._muted = part.kind, part.kind is PartKind.REDACTED
        if self._muted:
            return b""
        if part.kind is PartKind.TOOL:
            return self._open_call(part)
        self._surround(_TEXT_KEYS[part.kind], b"}")
        if part.kind is PartKind.THINKING:
            return b"" if self._role_sent else self._first({"content": None})
        if self._content_open:
            return b""
        self._content_open = True
        return self._first({"content": ""})

    def _open_call(self, part: PartStarted) -> bytes:
        index, self._calls, self._arguments_empty = self._calls, self._calls + 1, True
        function = {"name": part.tool_name, "arguments": ""}
        # A key that is already on its way is not said again: null would not be joined to anything.
        content: JsonObject = {} if self._role_sent else {"content": None}
        if self._request.legacy_calls:
            # Room for one: the model was told to make no more, and clients would join a second one to the first.
            self._muted = index > 0
            self._surround(b'{"function_call":{"arguments":', b"}}")
            return b"" if self._muted else self._first({**content, "function_call": function})
        self._surround(b'{"tool_calls":[{"index":%d,"function":{"arguments":' % index, b"}}]}")
        call: JsonObject = {"index": index, "id": part.tool_id, "type": "function", "function": function}
        return self._first({**content, "tool_calls": [call]})

    def _first(self, delta: JsonObject) -> bytes:
        """Send a delta that opens something, with the role if nothing went before it."""
        return self._choice(dump(self._with_role(delta)))

    def _with_role(self, delta: JsonObject) -> JsonObject:
        if self._role_sent:
            return delta
        self._role_sent = True
        return {"role": "assistant", **delta}

    def _end(self, ended: Ended) -> bytes:
        nothing_said = not self._content_open and not self._calls
        delta = self._with_role({"content": ""} if nothing_said else {})
        last = self._choice(dump(delta), dump_text(finish_reason(ended, self._request)))
        self._spent, self._usage = total_usage((self._spent, self._usage)), None
        if self._number + 1 < self._request.answers:
            return last
        return last + self._usage_chunk() + DONE

    def _usage_chunk(self) -> bytes:
        if self._spent is None or not self._with_usage:
            return b""
        return self._prefix + b'],"usage":%b}\n\n' % dump(usage_body(self._spent))

    def _fail(self, error: TurnError) -> bytes:
        # No finish_reason: a failure is never a stop. [DONE] says only that no more comes; some clients wait for it.
        return data_frame(dump(error_body(error))) + DONE
