"""Connections to the model's API: HTTP/1.1, one request at a time on each, kept for the next request.

A piece of an answer costs one call of the parser and one call of whoever reads it: no task, no queue and no copy
stands in between. That is why this is not a general client. It knows no redirects, no cookies and no proxies, and it
does not unpack what is packed.
"""

from __future__ import annotations

import asyncio
import base64
import select
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias, cast

import httptools
import httpx2
from typing_extensions import override

from claude_code_api.engine.dialling import dial

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
Take: TypeAlias = Callable[[bytes], None]

CONNECT_S: Final = 10.0
# Far below the 5 s after which common servers hang up, because both sides may be late: a request must not meet a
# connection that is just being closed.
KEPT_S: Final = 2.0
# How much of an error's body is read. They are a few hundred bytes.
ERROR_BYTES: Final = 1024 * 1024
_FINAL: Final = 200
# A header that holds one of these is two headers, or none.
_CONTROLS: Final = frozenset({*range(32), 127}) - {ord("\t")}


class UnreachedError(Exception):
    """No connection came about, so the upstream cannot have begun."""


class BrokenOffError(Exception):
    """The connection ended before the answer did."""


class Answer:
    """The answer to one request: its head is here, its body is still to come.

    Once it is complete its connection may carry the next one, and this one has no say in it any more.
    """

    def __init__(self, connection: Connection, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Keep the head; names are in lower case."""
        self.status, self.headers = status, headers
        self._connection, self._exchange = connection, connection.exchange

    def header(self, name: bytes) -> str | None:
        """The first header of this name."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)

    async def pour(self, take: Take) -> None:
        """Hand over the body, each piece as it comes, and return at its end. Raises `BrokenOffError`."""
        await self._connection.pour(take)

    async def whole(self) -> bytes:
        """Read the body of an error; what is too long is cut."""
        pieces: list[bytes] = []
        size = 0

        def take(piece: bytes) -> None:
            nonlocal size
            pieces.append(piece[: max(0, ERROR_BYTES - size)])
            size += len(piece)

        await self.pour(take)
        return b"".join(pieces)

    def pause(self) -> None:
        """Let the upstream wait: whoever takes the body cannot keep up."""
        if self._is_on():
            self._connection.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        if self._is_on():
            self._connection.resume()

    def leave(self) -> None:
        """Nobody wants the rest. Does nothing once the answer is complete."""
        if self._is_on():
            self._connection.leave()

    def _is_on(self) -> bool:
        return self._connection.exchange == self._exchange


class Connection(asyncio.Protocol):
    """One connection, with the one exchange that is on it."""

    def __init__(self, free: Callable[[Connection], None]) -> None:
        """Begin unconnected; `free` is told when an exchange is complete and the connection may have another."""
        self.open = True
        self.free_since_s = 0.0
        # Counts the requests that it has carried.
        self.exchange = 0
        self._free = free
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._begin(None)

    def _begin(self, head: asyncio.Future[Answer] | None) -> None:
        self.exchange += 1
        self._head = head
        self._end: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._delimited = self._complete = self._stays = False
        self._paused = False

    async def ask(self, request: Sequence[bytes]) -> Answer:
        """Send a request; returns with the head of its answer."""
        loop = asyncio.get_running_loop()
        head: asyncio.Future[Answer] = loop.create_future()
        self._begin(head)
        if self._transport is None or not self.open:
            raise BrokenOffError("the connection was closed before it was used")
        self._end = loop.create_future()
        self._transport.writelines(request)
        try:
            return await head
        except BaseException:
            self.leave()
            raise

    async def pour(self, take: Take) -> None:
        """See `Answer.pour`."""
        self._take = take
        self._flush()
        if self._complete:
            self._finish()
        elif self._end is not None:
            await self._end

    def pause(self) -> None:
        """Read nothing for now."""
        if self._transport is not None and not self._paused and not self._complete:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self._paused and self.open:
            self._paused = False
            self._transport.resume_reading()

    def leave(self) -> None:
        """End the connection, unless its exchange is over: the answer that is on it belongs to nobody else."""
        if not self._complete or self._take is None:
            self.close()

    def is_silent(self) -> bool:
        """Whether nothing has come since the last answer, also nothing that this loop has not looked at yet."""
        if self._transport is None:
            return False
        poller = select.poll()
        poller.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poller.poll(0)

    def close(self) -> None:
        """Hang up at once."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    # What the transport says

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self._head is None or self._complete:
            # Nothing was asked: whatever this is, the next answer must not begin with it.
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self._break_off(f"not an answer: {error!r}")
                return
            self.close()
        self._advance()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._complete or self._end is None:
            return
        if self._head is not None and self._head.done() and not self._delimited and exc is None:
            # Without a length, the end of the connection is the end of the answer.
            self._complete = True
            self._advance()
        else:
            self._break_off(f"the connection was closed: {exc!r}")

    # What the parser says

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one line of the head."""
        lower = name.lower()
        self._headers.append((lower, value))
        self._delimited = self._delimited or lower in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        """The head is complete; an interim one only says that another will come."""
        status = self._parser.get_status_code()
        if status < _FINAL:
            self._headers, self._delimited = [], False
        elif self._head is not None and not self._head.done():
            self._head.set_result(Answer(self, status, self._headers))

    def on_body(self, body: bytes) -> None:
        """Keep a piece until the parser is done with what was received."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._parser.get_status_code() >= _FINAL:
            self._complete = True
            # Only here can the parser tell.
            self._stays = self._parser.should_keep_alive()

    # The exchange

    def _advance(self) -> None:
        self._flush()
        # Before its body is taken it is not over, or the next exchange would begin on top of it.
        if self._complete and self._take is not None:
            self._finish()

    def _flush(self) -> None:
        # Until somebody takes the body it waits here, for one round of the loop.
        if self._take is not None and self._pieces:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces = []
            self._take(data)

    def _finish(self) -> None:
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        if self.open and self._stays and not self._still_sending():
            self.resume()
            self._free(self)
        else:
            self.close()

    def _still_sending(self) -> bool:
        # It answered before it had read everything, and will take the rest for the next request.
        return self._transport is None or self._transport.get_write_buffer_size() > 0

    def _break_off(self, reason: str) -> None:
        for future in (self._head, self._end):
            if future is not None and not future.done():
                future.set_exception(BrokenOffError(reason))
                # Nobody may be waiting for it any more, which is no second problem.
                future.exception()
        self.close()


class Upstream:
    """The model's API, and the connections to it."""

    def __init__(self, base_url: str, credential: tuple[bytes, bytes]) -> None:
        """Know where it is; nothing is connected yet."""
        url = httpx2.URL(base_url)
        self._host = url.raw_host.decode("ascii")
        self._tls = httpx2.create_ssl_context(trust_env=False) if url.scheme == "https" else None
        self._port = url.port or (443 if self._tls is not None else 80)
        self._path = url.raw_path.partition(b"?")[0].rstrip(b"/")
        fixed = [(b"host", url.netloc), _credential(url, credential)]
        self._fixed = b"".join(_line(name, value) for name, value in fixed)
        self._sayable = _CONTROLS.isdisjoint(credential[1])
        self._kept: list[Connection] = []
        self._all: set[Connection] = set()

    async def ask(self, target: bytes, headers: Headers, body: bytes) -> Answer:
        """Post a request. Raises `UnreachedError` or `BrokenOffError`."""
        if not self._sayable:
            raise UnreachedError("the credentials hold characters that no header can carry")
        lines = b"".join([_line(name, value) for name, value in headers])
        head = b"POST %b%b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n"
        connection = self._kept_one() or await self._connect()
        return await connection.ask((head % (self._path, target, self._fixed, lines, len(body)), body))

    def _kept_one(self) -> Connection | None:
        due_s = asyncio.get_running_loop().time() - KEPT_S
        while self._kept:
            # The one that was used last is the least likely to be closed by the other side.
            one = self._kept.pop()
            if one.open and one.free_since_s >= due_s and one.is_silent():
                return one
            one.close()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                socket = await dial(self._host, self._port)
                try:
                    _, connection = await loop.create_connection(
                        lambda: Connection(self._keep),
                        sock=socket,
                        ssl=self._tls,
                        server_hostname=self._host if self._tls is not None else None,
                    )
                except BaseException:
                    socket.close()
                    raise
        except (OSError, TimeoutError) as error:
            raise UnreachedError(repr(error)) from error
        self._all = {one for one in self._all if one.open} | {connection}
        return connection

    def _keep(self, connection: Connection) -> None:
        # Those that were used at a busier time grow old at the bottom of the pile.
        due_s = asyncio.get_running_loop().time() - KEPT_S
        while self._kept and (self._kept[0].free_since_s < due_s or not self._kept[0].open):
            self._kept.pop(0).close()
        connection.free_since_s = asyncio.get_running_loop().time()
        self._kept.append(connection)

    def close(self) -> None:
        """Hang up everywhere."""
        for connection in self._all:
            connection.close()
        self._kept, self._all = [], set()


def _line(name: bytes, value: bytes) -> bytes:
    return b"%b: %b\r\n" % (name, value)


def _credential(url: httpx2.URL, credential: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    if url.userinfo:
        # A server in between that asks for a name and a password of its own.
        return b"authorization", b"Basic " + base64.b64encode(f"{url.username}:{url.password}".encode())
    return credential
