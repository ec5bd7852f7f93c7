"""The CLI's side of a door: its HTTP requests as values, and answers written as they come.

As little as an HTTP server can be. Whoever is on the other side is a process of ours, on a socket that nobody else
can reach; still nothing of what it sends is believed to be in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias, cast

import httptools
import structlog
from typing_extensions import override

_log = structlog.get_logger("claude_code_api.engine")

# More than the model's API accepts (32 MB): a process that sends more is broken, or not the CLI.
MAX_REQUEST_BYTES: Final = 40 * 1024 * 1024
# What stands above the body. The CLI's is about a thousand bytes.
MAX_HEAD_BYTES: Final = 64 * 1024
# The CLI has one or two. Whatever else runs in its jail shares them.
MAX_CONNECTIONS: Final = 8
# So much of an answer may wait for the CLI to read it; then the upstream has to wait, too.
WAITING_BYTES: Final = 256 * 1024

Fields: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the CLI's. `target` is what stands in its first line."""

    method: bytes
    target: bytes
    headers: Fields
    body: bytes


class Doorway(asyncio.Protocol):
    """One connection of the CLI's. `serve` is a task for each request, cancelled when the CLI leaves."""

    def __init__(self, serve: Callable[[Asked, Doorway], Coroutine[Any, Any, None]], all_of: set[Doorway]) -> None:
        """Join the others as soon as it is connected."""
        self._serve, self._all = serve, all_of
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._target = b""
        self._headers: Fields = []
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._in_head = True
        self._without_body = False
        self.pause: Callable[[], None] | None = None
        self.resume: Callable[[], None] | None = None

    # Answering

    def give(self, status: int, headers: Fields, body: bytes) -> None:
        """Give a whole answer."""
        length = (b"content-length", b"%d" % len(body))
        self._write(_head(status, [*headers, length]) + (b"" if self._without_body else body))

    def begin(self, status: int, headers: Fields) -> None:
        """Give the head of an answer that will come in pieces."""
        self._write(_head(status, [*headers, (b"transfer-encoding", b"chunked")]))

    def piece(self, data: bytes) -> None:
        """Give a piece of it."""
        self._write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """Nothing more comes."""
        self._write(b"0\r\n\r\n")

    def break_off(self) -> None:
        """Hang up in the middle, so that nobody takes it for an end."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def gone(self) -> None:
        """Hang up, and wait until nothing is done for this connection any more."""
        self.break_off()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # What the transport says

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._all) >= MAX_CONNECTIONS:
            # In a jail anybody may make as many as they like: that is not to fill the log.
            _log.debug("cli_connections_too_many", limit=MAX_CONNECTIONS)
            self.break_off()
            return
        self._transport.set_write_buffer_limits(high=WAITING_BYTES)
        self._all.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self._in_head:
            # The parser keeps a line until its end, however long it is.
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            _log.debug("cli_request_unreadable", reason=repr(error))
            self.break_off()
        if self._in_head and self._head_size > MAX_HEAD_BYTES:
            _log.debug("cli_head_too_large", limit_bytes=MAX_HEAD_BYTES)
            self.break_off()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)
        if self._task is not None:
            self._task.cancel()

    @override
    def pause_writing(self) -> None:
        if self.pause is not None:
            self.pause()

    @override
    def resume_writing(self) -> None:
        if self.resume is not None:
            self.resume()

    # What the parser says

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self._target, self._headers, self._body, self._size = b"", [], [], 0

    def on_headers_complete(self) -> None:
        """The body follows, if there is one."""
        self._in_head = False

    def on_url(self, url: bytes) -> None:
        """It may come in pieces."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one line of the head."""
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._size += len(body)
        if self._size > MAX_REQUEST_BYTES:
            _log.debug("cli_request_too_large", limit_bytes=MAX_REQUEST_BYTES)
            self._body = []
            self.break_off()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_head, self._head_size = True, 0
        if self._task is not None or self._size > MAX_REQUEST_BYTES:
            # It did not wait for its answer: that is no client that can be served one request at a time.
            self.break_off()
            return
        method = self._parser.get_method()
        self._without_body = method == b"HEAD"
        asked = Asked(method, self._target, self._headers, b"".join(self._body))
        self._body = []
        stays = self._parser.should_keep_alive()
        self._task = asyncio.get_running_loop().create_task(self._answer(asked, stays=stays), name="request of a cli")

    async def _answer(self, asked: Asked, *, stays: bool) -> None:
        try:
            await self._serve(asked, self)
        finally:
            self._task = self.pause = self.resume = None
        if not stays and self._transport is not None:
            self._transport.close()


def _head(status: int, headers: Fields) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % (name, value) for name, value in headers])
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, _phrase(status), lines)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""
