"""stream-json lines ↔ typed frames. Pure: bytes in, values out, and back.

Only the fields that some part of the gateway acts on are read; frames of an unknown type become `OtherFrame`, which
the owner of the process counts and skips. Turning frames into `TurnEvent`s is `translate.py`'s duty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from claude_code_api.turn.request import Json, JsonObject

# The longest line seen from the CLI is 3 MB (an echoed image); more than this is a broken process, not a long answer.
MAX_LINE_BYTES: Final = 64 * 1024 * 1024


class BrokenLineError(Exception):
    """The CLI wrote something that cannot be a frame: the stream cannot be trusted any more."""


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """One upstream server-sent event, passed on 1:1. `message_id` ties it to its `message_start`."""

    event: Mapping[str, Any]
    message_id: str
    user_uuids: tuple[str, ...]
    parent_tool_id: str | None


@dataclass(frozen=True, slots=True)
class ResultFrame:
    """A turn is over: `body` is the whole line, `user_uuids` say whose turn it was."""

    user_uuids: tuple[str, ...]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SyntheticFrame:
    """An assistant message that the CLI made up to report a failure; `error` is its own word for it."""

    error: str


@dataclass(frozen=True, slots=True)
class ToolResultFrame:
    """What the model is told of the CLI's own tools; `account` is the tool's own, structured report."""

    results: tuple[Mapping[str, Any], ...]
    account: Json
    parent_tool_id: str | None


@dataclass(frozen=True, slots=True)
class BoundaryFrame:
    """The conversation outgrew the model and was compacted: these of its entries are kept word for word, in order."""

    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SummaryFrame:
    """What the model is told, after a boundary, in place of the entries before it."""

    text: str


@dataclass(frozen=True, slots=True)
class HookStopFrame:
    """A hook stopped the message before the model was asked; `words` are the hook's own, as the CLI passes them on."""

    words: str


@dataclass(frozen=True, slots=True)
class LifecycleFrame:
    """Where a message of ours stands: queued, started, completed or cancelled."""

    uuid: str
    state: str


@dataclass(frozen=True, slots=True)
class RetryFrame:
    """The CLI is about to ask the upstream again."""

    attempt: int
    status: int | None
    delay_ms: float


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """The CLI's answer to a control request of ours."""

    request_id: str
    ok: bool
    body: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class ControlAsk:
    """A control request of the CLI's: it has to be answered exactly once."""

    request_id: str
    subtype: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ControlCancel:
    """The CLI no longer waits for the answer to its request."""

    request_id: str


@dataclass(frozen=True, slots=True)
class OtherFrame:
    """A frame that nothing acts on."""

    type: str
    subtype: str


Frame: TypeAlias = (
    StreamFrame
    | ResultFrame
    | SyntheticFrame
    | ToolResultFrame
    | BoundaryFrame
    | SummaryFrame
    | HookStopFrame
    | LifecycleFrame
    | RetryFrame
    | ControlAnswer
    | ControlAsk
    | ControlCancel
    | OtherFrame
)


class LineSplitter:
    """Cuts a byte stream into lines, however it was chunked."""

    __slots__ = ("_limit", "_partial", "_size")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        """Accept lines of at most `limit` bytes."""
        self._limit = limit
        self._partial: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that `chunk` completes, without their ends; blank lines are not lines."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            line = b"".join((*self._partial, piece)) if self._partial else piece
            self._partial, self._size = [], 0
            if line.strip():
                yield line
        if rest:
            self._partial.append(rest)
            self._size += len(rest)
            if self._size > self._limit:
                msg = f"a line of more than {self._limit} bytes"
                raise BrokenLineError(msg)


def parse_line(line: bytes) -> Frame:
    """Read one line of the CLI's standard output."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = _parse_leniently(line)
    if not isinstance(value, dict):
        msg = "a line that is JSON, but not an object"
        raise BrokenLineError(msg)
    kind = value.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return reader(value) if reader else OtherFrame(str(kind), str(value.get("subtype", "")))


def _parse_leniently(line: bytes) -> object:
    # The standard library reads what orjson refuses (a lone surrogate in a tool's output, for one).
    try:
        return json.loads(line)
    except ValueError as error:
        msg = f"a line of {len(line)} bytes that is not JSON"
        raise BrokenLineError(msg) from error


def _stream(value: dict[str, Any]) -> Frame:
    event = value.get("event")
    if not isinstance(event, dict):
        return OtherFrame("stream_event", "without event")
    return StreamFrame(
        event=event,
        message_id=str(value.get("api_message_id") or ""),
        user_uuids=_uuids(value),
        parent_tool_id=value.get("parent_tool_use_id"),
    )


def _uuids(value: dict[str, Any]) -> tuple[str, ...]:
    found = value.get("user_message_uuids")
    return tuple(str(item) for item in found) if isinstance(found, list) else ()


def _result(value: dict[str, Any]) -> Frame:
    return ResultFrame(user_uuids=_uuids(value), body=value)


def _assistant(value: dict[str, Any]) -> Frame:
    message = value.get("message")
    if isinstance(message, dict) and message.get("model") == "<synthetic>":
        return SyntheticFrame(error=str(value.get("error") or "unknown"))
    return OtherFrame("assistant", "")


def _user(value: dict[str, Any]) -> Frame:
    message = value.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    results = tuple(block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_result")
    if not results:
        if value.get("isSynthetic") and (text := _text_of(content)).strip():
            return SummaryFrame(text)
        return OtherFrame("user", "")
    return ToolResultFrame(results, value.get("tool_use_result"), value.get("parent_tool_use_id"))


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "".join(str(block.get("text") or "") for block in blocks if isinstance(block, dict))


def _lifecycle(value: dict[str, Any]) -> Frame:
    return LifecycleFrame(uuid=str(value.get("command_uuid", "")), state=str(value.get("state", "")))


# A hook refused the message, or wanted nothing done any more.
_HOOK_STOPS: Final = frozenset({"blocked_by_hook", "stopped_by_hook"})


def _system(value: dict[str, Any]) -> Frame:
    subtype = str(value.get("subtype", ""))
    if subtype == "compact_boundary":
        return BoundaryFrame(_kept_in(value.get("compact_metadata")))
    outcome = _object(value.get("prompt_submit_outcome"))
    if str(outcome.get("kind")) in _HOOK_STOPS:
        return HookStopFrame(str(outcome.get("reason") or ""))
    if subtype != "api_retry":
        return OtherFrame("system", subtype)
    status = value.get("error_status")
    return RetryFrame(
        attempt=int(value.get("attempt") or 0),
        status=status if isinstance(status, int) else None,
        delay_ms=float(value.get("retry_delay_ms") or 0),
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _kept_in(compaction: object) -> tuple[str, ...]:
    uuids = _object(_object(compaction).get("preserved_messages")).get("uuids")
    return tuple(map(str, uuids)) if isinstance(uuids, list) else ()


def _control_answer(value: dict[str, Any]) -> Frame:
    response = _object(value.get("response"))
    return ControlAnswer(
        request_id=str(response.get("request_id", "")),
        ok=response.get("subtype") == "success",
        body=_object(response.get("response")),
        error=str(response.get("error") or ""),
    )


def _control_ask(value: dict[str, Any]) -> Frame:
    request = _object(value.get("request"))
    return ControlAsk(str(value.get("request_id", "")), str(request.get("subtype", "")), request)


def _control_cancel(value: dict[str, Any]) -> Frame:
    return ControlCancel(str(value.get("request_id", "")))


_READERS: Final = {
    "stream_event": _stream,
    "result": _result,
    "assistant": _assistant,
    "user": _user,
    "command_lifecycle": _lifecycle,
    "system": _system,
    "control_response": _control_answer,
    "control_request": _control_ask,
    "control_cancel_request": _control_cancel,
}


def write_line(value: Json) -> bytes:
    """Make one line for the CLI's standard input: a malformed one would end the process."""
    return orjson.dumps(value) + b"\n"


def control_line(request_id: str, body: JsonObject) -> bytes:
    """Ask the CLI for something."""
    return write_line({"type": "control_request", "request_id": request_id, "request": body})


def control_answer_line(request_id: str, body: JsonObject) -> bytes:
    """Answer a control request of the CLI's."""
    answer: JsonObject = {"subtype": "success", "request_id": request_id, "response": body}
    return write_line({"type": "control_response", "response": answer})


def control_refusal_line(request_id: str, reason: str) -> bytes:
    """Refuse a control request of the CLI's."""
    refusal: JsonObject = {"subtype": "error", "request_id": request_id, "error": reason}
    return write_line({"type": "control_response", "response": refusal})


def user_line(uuid: str, blocks: Json) -> bytes:
    """Hand over the client's message, literally.

    Two independent measures keep the CLI from reading commands and paths in it: `client_composed`, and the blank block
    at the end, which the CLI drops before it asks the model.
    """
    literal: list[Json] = [*blocks, {"type": "text", "text": " "}] if isinstance(blocks, list) else []
    return write_line(
        {
            "type": "user",
            "uuid": uuid,
            "client_composed": True,
            "parent_tool_use_id": None,
            "session_id": "",
            "message": {"role": "user", "content": literal},
        }
    )
