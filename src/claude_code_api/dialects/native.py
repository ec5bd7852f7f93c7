"""The gateway's own way of telling a turn: every event, as a JSON object with a number that only grows.

It is spoken by the live endpoints. A client that wants no more than the text needs three types: `delta`, `error` and
`complete`; the others may be passed by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from typing_extensions import override

from claude_code_api.dialects.anthropic_content import read_messages, read_system
from claude_code_api.dialects.dialect import Encoder, ErrorAnswer
from claude_code_api.dialects.fields import Notes, optional_string
from claude_code_api.dialects.lowering import sent_profile
from claude_code_api.dialects.openai_shared import error_answer
from claude_code_api.dialects.sse import COMMENT, data_frame
from claude_code_api.turn.errors import TurnError, invalid
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
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Json, JsonObject, Message, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult

# An event's id is the number of its turn in the session times this, and its own number in the turn. So ids grow through
# a whole session, and are exact in every language's numbers for the first nine million turns.
EVENTS_OF_A_TURN: Final = 1_000_000_000
# What a delta is called, by the part that it belongs to.
_DELTAS: Final = {
    PartKind.TEXT: "delta",
    PartKind.THINKING: "thinking",
    PartKind.REDACTED: "redacted_thinking",
    PartKind.TOOL: "arguments",
}
_PLAIN: Final = frozenset({"delta", "error", "complete"})


def event_id(turn_number: int, number: int) -> int:
    """Name an event: the `number`th of the `turn_number`th turn of its session."""
    return turn_number * EVENTS_OF_A_TURN + number


def place_of(id_: int) -> tuple[int, int]:
    """Say which event of which turn has an id."""
    return divmod(id_, EVENTS_OF_A_TURN)


class Teller:
    """Tells the events of one turn, from any of them on."""

    def __init__(self, *, session_id: str, turn_id: str, turn_number: int) -> None:
        """Begin before the first event."""
        self._place: JsonObject = {"session_id": session_id, "turn_id": turn_id}
        self._turn_number = turn_number
        self._number = 0
        self._kind = PartKind.TEXT

    @property
    def told(self) -> int:
        """How many events have been told."""
        return self._number

    def tell(self, event: TurnEvent) -> JsonObject:
        """Say the next event."""
        self._number += 1
        return {**self._said(event), "id": event_id(self._turn_number, self._number), **self._place}

    def _said(self, event: TurnEvent) -> JsonObject:
        match event:
            case PartDelta():
                return {"type": _DELTAS[self._kind], "content": event.text}
            case Started():
                return {"type": "started", "model": event.model, "created_at": event.created_s}
            case PartStarted():
                self._kind = event.kind
                return _opened(event)
            case PartEnded():
                return {"type": "part_ended", "index": event.index}
            case Ended():
                return {"type": "complete", "reason": event.reason.value, "stop_sequence": event.stop_sequence}
            case _:
                return _beside(event)


def _opened(event: PartStarted) -> JsonObject:
    tool: JsonObject = {"tool_id": event.tool_id, "tool_name": event.tool_name} if event.tool_id else {}
    return {"type": "part_started", "part": event.kind.value, "index": event.index, **tool}


def _beside(event: ToolActivity | Compacted | ApprovalWanted | ApprovalSettled | Usage | Failed) -> JsonObject:
    match event:
        case Failed():
            return error_json(event.error)
        case ToolActivity():
            tool: JsonObject = {"tool_id": event.tool_id, "tool_name": event.tool_name}
            return {"type": "activity", "phase": event.phase.value, "body": event.body, **tool}
        case Compacted():
            return {"type": "compacted", "summary": event.summary}
        case ApprovalWanted():
            return {"type": "approval_wanted", **approval_json(event)}
        case ApprovalSettled():
            return {
                "type": "approval_settled",
                "approval_id": event.approval_id,
                "tool_id": event.tool_id,
                "decision": event.decision.value,
                "by": event.by.value,
                "message": event.message,
                "edited": event.edited,
            }
        case Usage():
            return {
                "type": "usage",
                "input_tokens": event.input_tokens,
                "cached_tokens": event.cache_read_tokens,
                "cache_creation_tokens": event.cache_creation_tokens,
                "output_tokens": event.output_tokens,
                "reasoning_tokens": event.reasoning_tokens,
                "cost": event.cost_usd,
            }


def approval_json(wanted: ApprovalWanted) -> JsonObject:
    """Say what waits for a person."""
    return {
        "approval_id": wanted.approval_id,
        "tool_id": wanted.tool_id,
        "tool_name": wanted.tool_name,
        "arguments": wanted.arguments,
        "shown": wanted.shown,
        "always": wanted.always or None,
        "expires_at": int(wanted.expires_s),
    }


def error_json(error: TurnError) -> JsonObject:
    """Say a failure."""
    retry: JsonObject = {} if error.retry_after_s is None else {"retry_after": error.retry_after_s}
    return {"type": "error", "error": error.message, "code": error.kind.value, "param": error.param, **retry}


def read_prompt(body: JsonObject, *, model: str, session_id: str | None, headers: Mapping[str, str]) -> TurnRequest:
    """Read what somebody says: `text`, or `content` in Anthropic's blocks; `model` and more may be given too."""
    text, content = body.get("text"), body.get("content")
    if (text is None) == (content is None):
        raise invalid("A prompt has either `text` or `content`.", param="text")
    notes = Notes()
    said: Json = [{"role": "user", "content": text if content is None else content}]
    messages = read_messages(said, notes, goes_on=True)
    return TurnRequest(
        model=optional_string(body, "model") or model,
        messages=messages,
        system=read_system(body.get("system")),
        session_id=session_id,
        project_id=optional_string(body, "project_id"),
        profile=sent_profile(headers, optional_string(body, "profile")),
        stream=True,
        stream_usage=True,
        remote_parts=tuple(notes.remote),
        ignored=notes.names(),
    )


def plain_prompt(text: str, *, model: str, session_id: str | None, profile: Profile | None) -> TurnRequest:
    """Take a text as it is for what somebody says."""
    if not text.strip():
        raise invalid("Say something: the prompt is blank.", param="query")
    return TurnRequest(
        model=model,
        messages=(Message("user", (TextBlock(text),)),),
        session_id=session_id,
        profile=profile,
        stream=True,
        stream_usage=True,
    )


class LiveStream(Encoder):
    """Encodes one turn as server-sent events: the text, and how it ended."""

    def __init__(self) -> None:
        """Wait to be told which turn it is, and how many of its events are known already."""
        self.teller: Teller | None = None
        self.known = 0

    @override
    def push(self, event: TurnEvent) -> bytes:
        """Encode one event."""
        if self.teller is None:  # pragma: no cover - a turn is begun before it says anything
            return b""
        told = self.teller.tell(event)
        if told["type"] not in _PLAIN or self.teller.told <= self.known:
            return b""
        return f"id: {told['id']}\n".encode() + data_frame(orjson.dumps(told))


class Live:
    """What the live stream is, as a dialect: one object for one request."""

    name = "native"
    heartbeat = COMMENT

    def __init__(self) -> None:
        """Make the stream; the turn is told to it when it has begun."""
        self.stream = LiveStream()

    def parse(self, body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
        """Read a prompt."""
        return read_prompt(body, model="", session_id=headers.get("x-session-id"), headers=headers)

    def encoder(self, request: TurnRequest) -> Encoder:  # noqa: ARG002 - the protocol's
        """Return the stream."""
        return self.stream

    def render(
        self,
        result: TurnResult,
        request: TurnRequest,  # noqa: ARG002 - the protocol's
        further: Sequence[TurnResult] = (),
    ) -> JsonObject:
        """Say a whole answer: what it would have said piece by piece, in one."""
        return {"type": "complete", "content": "".join(one.text_of(PartKind.TEXT) for one in (result, *further))}

    def render_error(self, error: TurnError) -> ErrorAnswer:
        """Say a failure before anything was streamed."""
        return error_answer(error)
