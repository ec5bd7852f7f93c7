"""The Messages API's stream as bytes: one function or template per kind of event.

Pure. Knows the wire format and nothing of scripts, waiting or sockets. Deltas are by far the most frequent event, so
their surroundings are encoded once and only the text in the middle is encoded per delta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def frame(name: str, data: Mapping[str, Any]) -> bytes:
    """Return one event with a JSON payload."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def raw_frame(name: str, data: str) -> bytes:
    """Return one event whose payload is this text; a text of several lines becomes several `data:` lines."""
    lines = b"".join(b"data: %b\n" % line.encode() for line in data.split("\n"))
    return (b"event: %b\n" % name.encode() if name else b"") + lines + b"\n"


def block_start(index: int, block: Mapping[str, Any]) -> bytes:
    """Return the event that opens a content block."""
    return frame("content_block_start", {"type": "content_block_start", "index": index, "content_block": block})


def block_stop(index: int) -> bytes:
    """Return the event that closes a content block."""
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index


def delta_encoder(index: int, kind: str, key: str) -> Callable[[str], bytes]:
    """Return a function that encodes the deltas of one block."""
    before = (
        f'event: content_block_delta\ndata: {{"type":"content_block_delta","index":{index},'
        f'"delta":{{"type":"{kind}","{key}":'
    ).encode()
    dumps = orjson.dumps

    def encode(text: str) -> bytes:
        return b"%b%b}}\n\n" % (before, dumps(text))

    return encode


def error_frame(error_type: str, message: str, request_id: str) -> bytes:
    """Return the event that reports a failure in the middle of a stream."""
    return frame("error", error_body(error_type, message, request_id))


def error_body(error_type: str, message: str, request_id: str) -> dict[str, Any]:
    """Return the API's error object, the same in a body and in a stream."""
    return {"type": "error", "error": {"type": error_type, "message": message}, "request_id": request_id}
