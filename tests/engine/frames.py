"""The lines that a CLI writes, as small as the driver lets them be. UUID stands for the uuid of the turn at hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from claude_code_api.engine.protocol import (
    BoundaryFrame,
    HookStopFrame,
    ResultFrame,
    StreamFrame,
    SummaryFrame,
    SyntheticFrame,
    ToolResultFrame,
    parse_line,
)
from claude_code_api.engine.translate import Translator
from claude_code_api.turn.events import TurnEvent

UUID = "$uuid"
Line = dict[str, Any]


def stream(event: Line, *, message_id: str = "msg_1", uuids: tuple[str, ...] = ()) -> Line:
    line: Line = {"type": "stream_event", "event": event, "parent_tool_use_id": None, "api_message_id": message_id}
    return {**line, "user_message_uuids": list(uuids)} if uuids else line


def start(*uuids: str, message_id: str = "msg_1", model: str = "claude-x", **usage: int) -> Line:
    message = {"id": message_id, "model": model, "usage": usage or {"input_tokens": 3, "output_tokens": 1}}
    return stream({"type": "message_start", "message": message}, message_id=message_id, uuids=uuids or (UUID,))


def opened(kind: str = "text", **fields: Any) -> Line:
    return stream({"type": "content_block_start", "index": 0, "content_block": {"type": kind, **fields}})


def delta(kind: str, **fields: Any) -> Line:
    return stream({"type": "content_block_delta", "index": 0, "delta": {"type": kind, **fields}})


def text(words: str, message_id: str = "msg_1") -> Line:
    piece = {"type": "text_delta", "text": words}
    return stream({"type": "content_block_delta", "index": 0, "delta": piece}, message_id=message_id)


def closed() -> Line:
    return stream({"type": "content_block_stop", "index": 0})


def stopped(reason: str | None = "end_turn", sequence: str | None = None, **usage: Any) -> Line:
    change = {"stop_reason": reason, "stop_sequence": sequence}
    return stream({"type": "message_delta", "delta": change, "usage": usage or {"output_tokens": 2}})


def over() -> Line:
    return stream({"type": "message_stop"})


def result(uuid: str = UUID, **fields: Any) -> Line:
    body = {"type": "result", "subtype": "success", "is_error": False, "result": "", "terminal_reason": "completed"}
    return {**body, "user_message_uuids": [uuid], **fields}


def aborted(uuid: str = UUID) -> Line:
    return result(uuid, subtype="error_during_execution", is_error=True, terminal_reason="aborted_streaming")


def stepped(uuid: str = UUID) -> Line:
    """The result of a turn that ends in calls: the CLI may take one step only."""
    return result(uuid, subtype="error_max_turns", is_error=True, terminal_reason="max_turns")


def heard(call: str, content: Any, *, failed: bool = False, account: Any = None) -> Line:
    """What the model is told of one of the CLI's own tools."""
    block = {"type": "tool_result", "tool_use_id": call, "content": content, "is_error": failed}
    message = {"role": "user", "content": [block]}
    return {"type": "user", "message": message, "parent_tool_use_id": None, "tool_use_result": account}


def synthetic(error: str) -> Line:
    return {"type": "assistant", "message": {"model": "<synthetic>"}, "error": error}


def hooked(kind: str, reason: str | None) -> Line:
    """A hook has stopped the message."""
    outcome = {"kind": kind, "prompt_kept": False, "reason": reason}
    return {"type": "system", "subtype": "informational", "content": "...", "prompt_submit_outcome": outcome}


def says(*words: str) -> list[Line]:
    """A whole turn of one text block."""
    return [start(), opened(), *map(text, words), closed(), stopped(), over(), result()]


def translated(lines: Iterable[Line], translator: Translator | None = None) -> list[TurnEvent]:
    """What a translator makes of these lines."""
    return list(_events(translator or Translator("turn-1", 7), lines))


def _events(translator: Translator, lines: Iterable[Line]) -> Iterator[TurnEvent]:
    for line in lines:
        match parse_line(json.dumps(line).encode()):
            case StreamFrame() as frame:
                yield from translator.stream(frame)
            case ResultFrame() as frame:
                yield from translator.result(frame)
            case SyntheticFrame() | HookStopFrame() as frame:
                translator.foretold(frame)
            case ToolResultFrame() as frame:
                yield from translator.tool_results(frame)
            case BoundaryFrame() | SummaryFrame() as frame:
                yield from translator.compaction(frame)
            case other:
                raise AssertionError(other)
