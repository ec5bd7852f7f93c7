"""Server-sent events as bytes. The payloads are JSON on one line, so no line of a frame needs splitting."""

from __future__ import annotations

COMMENT = b": \n\n"
DONE = b"data: [DONE]\n\n"


def data_frame(payload: bytes) -> bytes:
    """Frame a payload without an event name: OpenAI's chat streams know no other."""
    return b"data: " + payload + b"\n\n"


def named_frame(event: str, payload: bytes) -> bytes:
    """Frame a payload under an event name."""
    return b"event: " + event.encode() + b"\ndata: " + payload + b"\n\n"
