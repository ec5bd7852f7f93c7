"""An answer as a sequence of moves: bytes to send and moments to wait.

Pure: says what is sent in which order; `delivery` does the sending and the waiting. The same answer can be had as the
JSON message that a request without `stream` gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

import orjson

from claude_code_api.standin import sse
from claude_code_api.standin.script import (
    Answer,
    Block,
    Break,
    Echo,
    Gate,
    Interlude,
    Pause,
    Ping,
    RawEvent,
    RedactedThinking,
    Text,
    Thinking,
    ToolUse,
    Usage,
    deltas,
    joined,
)
from claude_code_api.standin.word_count import count_words

Wait: TypeAlias = Pause | Gate | Break
# In a stream, a break of kind `error` has become bytes; only `waits` yields one.
Move: TypeAlias = bytes | Wait


@dataclass(frozen=True, slots=True)
class Occasion:
    """What the answer takes from the request it answers."""

    message_id: str
    request_id: str
    model: str
    raw_body: bytes
    input_tokens: int


def stream(answer: Answer, occasion: Occasion) -> Iterator[Move]:
    """Yield the events of a streamed answer, in the real API's order."""
    usage = _usage(answer, occasion)
    yield sse.frame("message_start", {"type": "message_start", "message": _opening(answer, occasion, usage)})
    index = 0
    for step in answer.steps:
        if isinstance(step, Pause | Gate | Ping | Break | RawEvent):
            yield from _interlude(step, occasion)
            if isinstance(step, Break):
                return
        else:
            yield from _block(index, step, occasion)
            if _broken(step):
                return
            index += 1
    delta = {"stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence}
    yield sse.frame("message_delta", {"type": "message_delta", "delta": delta, "usage": usage})
    yield sse.MESSAGE_STOP


def _interlude(step: Interlude, occasion: Occasion) -> Iterator[Move]:
    match step:
        case Ping():
            yield sse.PING
        case RawEvent(name, data):
            yield sse.raw_frame(name, data)
        case Break(kind="error", error_type=error_type, message=message):
            # The real API ends the body properly after this event, so no wait follows: callers stop at a break.
            yield sse.error_frame(error_type, message, occasion.request_id)
        case Pause() | Gate() | Break():
            yield step
        case _:
            assert_never(step)


def _broken(block: Block) -> bool:
    pieces = getattr(block, "pieces", 0)
    return not isinstance(pieces, int) and any(isinstance(piece, Break) for piece in pieces)


def _block(index: int, block: Block, occasion: Occasion) -> Iterator[Move]:
    """Yield the events of one content block, up to a break if it contains one."""
    if isinstance(block, RedactedThinking):
        yield sse.block_start(index, {"type": "redacted_thinking", "data": block.data})
        yield sse.block_stop(index)
        return
    start, pieces, encode = _wire_form(index, block, occasion)
    yield sse.block_start(index, start)
    beat = Pause(block.every_ms) if block.every_ms else None
    first = True
    for piece in pieces:
        if not isinstance(piece, str):
            yield from _interlude(piece, occasion)
            if isinstance(piece, Break):
                return
            continue
        if beat is not None and not first:
            yield beat
        first = False
        yield encode(piece)
    if isinstance(block, Thinking) and block.signature:
        yield sse.delta_encoder(index, "signature_delta", "signature")(block.signature)
    yield sse.block_stop(index)


def _wire_form(
    index: int, block: Text | Thinking | ToolUse | Echo, occasion: Occasion
) -> tuple[Mapping[str, Any], tuple[str | Interlude, ...], Callable[[str], bytes]]:
    """Return how a block opens, its pieces and the encoder of its deltas."""
    match block:
        case Text():
            encode = sse.delta_encoder(index, "text_delta", "text")
            return {"type": "text", "text": ""}, deltas(block.whole, block.pieces), encode
        case Echo():
            encode = sse.delta_encoder(index, "text_delta", "text")
            return {"type": "text", "text": ""}, deltas(_echoed(occasion), block.pieces), encode
        case Thinking():
            encode = sse.delta_encoder(index, "thinking_delta", "thinking")
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas(block.whole, block.pieces), encode
        case ToolUse():
            encode = sse.delta_encoder(index, "input_json_delta", "partial_json")
            start = {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
            return start, deltas(_tool_input(block), block.pieces), encode
        case _:
            assert_never(block)


def _echoed(occasion: Occasion) -> str:
    return occasion.raw_body.decode("utf-8", "replace")


def _tool_input(block: ToolUse) -> str:
    if not isinstance(block.pieces, int):
        return joined(block.pieces)
    return block.input if isinstance(block.input, str) else orjson.dumps(block.input).decode()


def _opening(answer: Answer, occasion: Occasion, usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": occasion.message_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model or occasion.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        # The real API has counted one token or so at this point.
        "usage": {**_figures(usage), "output_tokens": min(1, usage["output_tokens"]), "service_tier": "standard"},
    }


def _figures(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: usage[key] for key in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")}


def _usage(answer: Answer, occasion: Occasion) -> dict[str, Any]:
    given = answer.usage or Usage(
        input_tokens=occasion.input_tokens,
        output_tokens=sum(_words(step, occasion) for step in answer.steps),
    )
    return {
        "input_tokens": given.input_tokens,
        "cache_creation_input_tokens": given.cache_creation_input_tokens,
        "cache_read_input_tokens": given.cache_read_input_tokens,
        "output_tokens": given.output_tokens,
        **given.extra,
    }


def _words(step: Block | Interlude, occasion: Occasion) -> int:
    match step:
        case Text() | Thinking():
            return count_words(step.whole)
        case ToolUse():
            return count_words(_tool_input(step))
        case Echo():
            return count_words(_echoed(occasion))
        case RedactedThinking():
            return count_words(step.data)
        case Pause() | Gate() | Ping() | Break() | RawEvent():
            return 0
        case _:
            assert_never(step)


def waits(answer: Answer) -> Iterator[Wait]:
    """Yield the moments of waiting that stand before the JSON message of a request without `stream`."""
    for step in answer.steps:
        if isinstance(step, Pause | Gate | Break):
            yield step
        pieces = getattr(step, "pieces", 0)
        if not isinstance(pieces, int):
            yield from (piece for piece in pieces if isinstance(piece, Pause | Gate | Break))


def message(answer: Answer, occasion: Occasion) -> dict[str, Any]:
    """Return the JSON message of a request without `stream`."""
    usage = _usage(answer, occasion)
    content = [
        _content(step, occasion)
        for step in answer.steps
        if isinstance(step, Text | Thinking | RedactedThinking | ToolUse | Echo)
    ]
    return {
        **_opening(answer, occasion, usage),
        "content": content,
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "usage": {**usage, "service_tier": "standard"},
    }


def _content(block: Block, occasion: Occasion) -> dict[str, Any]:
    match block:
        case Text():
            return {"type": "text", "text": block.whole}
        case Echo():
            return {"type": "text", "text": _echoed(occasion)}
        case Thinking():
            return {"type": "thinking", "thinking": block.whole, "signature": block.signature}
        case RedactedThinking():
            return {"type": "redacted_thinking", "data": block.data}
        case ToolUse():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": _parsed_input(block)}
        case _:
            assert_never(block)


def _parsed_input(block: ToolUse) -> object:
    try:
        return orjson.loads(_tool_input(block) or "{}")
    except orjson.JSONDecodeError:
        # A JSON message cannot carry broken JSON; only a stream can show it.
        return {}
