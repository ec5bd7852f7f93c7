"""`TurnEvent`s → the bytes of a messages stream, in the order that Anthropic documents.

    message_start (content_block_start content_block_delta* content_block_stop)* message_delta message_stop

Each frame has its name twice, in the `event:` line and as `type`: clients read the one or the other. The bytes around a
delta are prepared when its block opens. A failure leaves the open block open: closed, a call whose arguments were cut
would look ready to be carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from claude_code_api.dialects.anthropic_blocks import block_of_part, message_head, stop_fields, usage_body
from claude_code_api.dialects.anthropic_errors import error_body
from claude_code_api.dialects.json_text import dump, dump_text
from claude_code_api.dialects.sse import named_frame
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Compacted,
    Ended,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
)
from claude_code_api.turn.request import JsonObject, TurnRequest
from claude_code_api.turn.result import Part

_DELTAS: Mapping[PartKind, tuple[bytes, bytes]] = {
    PartKind.TEXT: (b"text_delta", b"text"),
    PartKind.THINKING: (b"thinking_delta", b"thinking"),
    PartKind.TOOL: (b"input_json_delta", b"partial_json"),
}


def frame(body: JsonObject) -> bytes:
    """Write an event under the name that is its type."""
    return named_frame(str(body["type"]), dump(body))


PING = frame({"type": "ping"})


class MessagesEncoder:
    """One streamed answer. The order of events is `turn/order.py`'s to check; here it is relied upon."""

    __slots__ = ("_after", "_before", "_open", "_redacted", "_request", "_started", "_usage")

    def __init__(self, request: TurnRequest) -> None:
        """Wait for the first event."""
        self._request = request
        self._started: Started | None = None
        self._usage: Usage | None = None
        self._open = PartKind.TEXT
        self._redacted = ""
        self._before, self._after = b"", b"}}\n\n"

    def push(self, event: TurnEvent) -> bytes:
        """Encode one event."""
        match event:
            case PartDelta():
                return self._delta(event.text)
            case PartStarted():
                return self._begin() + self._open_block(event)
            case PartEnded():
                return self._close_block(event)
            case Started():
                # It is told with the event after it, which brings the tokens that went in.
                self._started = event
            case Usage():
                self._usage = event
                return self._begin()
            case ToolActivity() | Compacted() | ApprovalWanted() | ApprovalSettled():
                # Clients fail on an event that they do not know; the live endpoints show it.
                pass
            case Ended() | Failed():  # pragma: no branch (the union ends here; mypy proves it)
                return self._finish(event)
        return b""

    def _begin(self) -> bytes:
        started, self._started = self._started, None
        if started is None:
            return b""
        message: JsonObject = {
            **message_head(started, self._request.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            # How much of it was thinking is not known before the end.
            "usage": usage_body(replace(self._usage, reasoning_tokens=0) if self._usage is not None else None),
        }
        return frame({"type": "message_start", "message": message})

    def _open_block(self, part: PartStarted) -> bytes:
        self._open, self._redacted = part.kind, ""
        if part.kind is PartKind.REDACTED:
            # Its data stands in the block itself, so it is told when it is whole.
            return b""
        kind, key = _DELTAS[part.kind]
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
        self._before = head % (part.index, kind, key)
        return _block_start(part.index, Part(part.kind, "", part.tool_id, part.tool_name))

    def _delta(self, text: str) -> bytes:
        if self._open is PartKind.REDACTED:
            self._redacted += text
            return b""
        return self._before + dump_text(text) + self._after if text else b""

    def _close_block(self, part: PartEnded) -> bytes:
        stop = frame({"type": "content_block_stop", "index": part.index})
        if self._open is PartKind.REDACTED:
            return _block_start(part.index, Part(PartKind.REDACTED, self._redacted)) + stop
        if self._open is PartKind.THINKING and part.signature:
            signature: JsonObject = {"type": "signature_delta", "signature": part.signature}
            return frame({"type": "content_block_delta", "index": part.index, "delta": signature}) + stop
        return stop

    def _finish(self, last: Ended | Failed) -> bytes:
        if isinstance(last, Failed):
            return frame(error_body(last.error, last.error.request_id or self._request.request_id))
        delta: JsonObject = {"type": "message_delta", "delta": stop_fields(last), "usage": usage_body(self._usage)}
        return self._begin() + frame(delta) + frame({"type": "message_stop"})


def _block_start(index: int, part: Part) -> bytes:
    return frame({"type": "content_block_start", "index": index, "content_block": block_of_part(part)})
