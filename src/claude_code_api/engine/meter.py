"""Reads from an answer of the model's API, as it passes, what it used.

The API tells it with the first and the last event of an answer. Whoever leaves in between has had the words all the
same: then they are counted by their length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from claude_code_api.engine.protocol import BrokenLineError, LineSplitter
from claude_code_api.engine.upstream import Answer, BrokenOffError
from claude_code_api.flow.purse import BYTES_PER_TOKEN
from claude_code_api.turn.events import Usage

# An event is a few hundred bytes, and an answer in one piece is a megabyte at most.
MAX_PIECE_BYTES: Final = 16 * 1024 * 1024
_DATA: Final = b"data:"
_SAID: Final = ("text", "thinking", "partial_json")


class Meter:
    """Follows one answer. `count` hears of everything that comes to be known of it, bit by bit."""

    def __init__(self, count: Callable[[Usage], None], asked_bytes: int) -> None:
        """Begin when something of `asked_bytes` is asked."""
        self._count = count
        self._asked_bytes = asked_bytes
        self._splitter = LineSplitter(MAX_PIECE_BYTES)
        self._streams = True
        self._body: list[bytes] = []
        self._size = 0
        # What is known of it so far.
        self.known = Usage()
        self._said_bytes = 0
        # Whether it is owed, and whether everything is known of it.
        self._begun, self._whole = True, False

    def free(self) -> None:
        """It was refused: nobody is paid for that."""
        self._begun = False

    def begin(self, answer: Answer) -> None:
        """It is answered. Raises `BrokenOffError` where nobody could read that."""
        if (answer.header(b"content-encoding") or "identity") != "identity":
            raise BrokenOffError("an answer that is packed, although that was not asked for")
        self._streams = "event-stream" in (answer.header(b"content-type") or "")

    def take(self, piece: bytes) -> None:
        """Read the next piece. Raises `BrokenOffError` for what is too long to be an answer."""
        if not self._streams:
            self._size += len(piece)
            self._body.append(piece)
            if self._size > MAX_PIECE_BYTES:
                raise BrokenOffError("an answer that is too long to be one")
            return
        try:
            for line in self._splitter.feed(piece):
                if line.startswith(_DATA):
                    self._event(_object(line[len(_DATA) :]))
        except BrokenLineError as error:
            raise BrokenOffError(str(error)) from error

    def end(self) -> None:
        """Nothing more comes: all of it has come, or whoever asked has left."""
        if not self._streams:
            body = _object(b"".join(self._body))
            if isinstance(body.get("usage"), dict):
                self._whole = True
                self._know(body["usage"])
        if self._begun and not self._whole:
            read = self.known.all_input_tokens or self._asked_bytes // BYTES_PER_TOKEN
            said = max(self.known.output_tokens, self._said_bytes // BYTES_PER_TOKEN)
            self._know({"input_tokens": read} if not self.known.all_input_tokens else {})
            self._know({"output_tokens": said})

    def _event(self, event: Mapping[str, Any]) -> None:
        match event:
            case {"type": "message_start", "message": {"usage": dict(usage)}}:
                self._know(usage)
            case {"type": "content_block_delta", "delta": dict(delta)}:
                self._said_bytes += sum(len(str(delta.get(name) or "").encode(errors="replace")) for name in _SAID)
            case {"type": "message_delta", "usage": dict(usage)}:
                self._whole = True
                self._know(usage)
            case _:
                pass

    def _know(self, usage: Mapping[str, Any]) -> None:
        """The later event's figures are totals: they replace the earlier ones, field by field."""
        known = self.known
        now = Usage(
            _figure(usage, "input_tokens", known.input_tokens),
            _figure(usage, "output_tokens", known.output_tokens),
            _figure(usage, "cache_read_input_tokens", known.cache_read_tokens),
            _figure(usage, "cache_creation_input_tokens", known.cache_creation_tokens),
        )
        self.known = now
        more = Usage(
            now.input_tokens - known.input_tokens,
            now.output_tokens - known.output_tokens,
            now.cache_read_tokens - known.cache_read_tokens,
            now.cache_creation_tokens - known.cache_creation_tokens,
        )
        if more != Usage():
            self._count(more)


def _figure(usage: Mapping[str, Any], name: str, known: int) -> int:
    found = usage.get(name)
    # What was counted stays counted.
    return max(found, known) if isinstance(found, int) else known


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
