"""One connection of a client's, and how many there may be: what a request costs before anybody knows whose it is.

The server itself waits for ever for a head that does not come, reads one of any size, and takes connections until there
are no descriptors left. All of that is bounded here, before a route, a key or a body is looked at.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Sized
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.types import Scope
from typing_extensions import override
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from claude_code_api.http.gate import is_loopback_address

# For the first byte, and from then on for the whole head: no honest client needs a second.
HEAD_S: Final = 10.0
# The longest heads are those with a question in the address (`/claude/stream`), of up to 50,000 characters.
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
# Somebody who was answered before his body was whole may bring it to its end, so that he comes to read the answer.
LINGER_S: Final = 5.0
RETRY_AFTER_S: Final = 5
# Requests that wait on one connection for the answer to the one before them. Hardly any client lets one wait.
MAX_WAITING: Final = 100
# One message over a WebSocket, from somebody who has not shown a key yet. It can only bring the key; but a client that
# does not wait for the answer may send its prompt right behind it.
MAX_UNKNOWN_MESSAGE_BYTES: Final = 1024 * 1024
# Descriptors that are not for clients: the database, the CLIs' pipes and sockets, connections to the model's API.
KEPT_DESCRIPTORS: Final = 256
# More than the largest crowd that anybody has asked for; systems often begin with 1,024.
DESCRIPTORS: Final = 65_536
# In the scope's state: what tells the connection that its client is known.
_KNOWN: Final = "client_is_known"


class HeadTooLargeError(Exception):
    """Raised within the parser, to stop it."""


def take_descriptors() -> int:
    """Take as many descriptors as may be of use; says how many there are now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        # Some systems name an end that they do not keep.
        return soft
    return wanted


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many connections there may be: of everybody, and of one address that has not shown a key."""

    most: int
    most_unknown: int
    # Connections without a key so far, by address.
    unknown: Counter[str]

    @classmethod
    def of(cls, most: int, most_unknown: int, descriptors: int) -> Crowd:
        """Bound a crowd also by the descriptors that there are."""
        return cls(max(1, min(most, descriptors - KEPT_DESCRIPTORS)), most_unknown, Counter())

    def refusal(self, connections: int, peer: str) -> HTTPStatus | None:
        """Say whether there is room for one more, which counts already."""
        if connections > self.most:
            return HTTPStatus.SERVICE_UNAVAILABLE
        # Whoever is on this machine may be a proxy, with all the world behind it.
        if self.unknown[peer] > self.most_unknown and not is_loopback_address(peer):
            return HTTPStatus.TOO_MANY_REQUESTS
        return None

    def come(self, peer: str) -> None:
        """Count one of whom nothing is known."""
        self.unknown[peer] += 1

    def gone(self, peer: str) -> None:
        """Forget one: it has left, or is known now."""
        self.unknown[peer] -= 1
        if not self.unknown[peer]:
            del self.unknown[peer]


def know(scope: Scope) -> None:
    """Note that the client of this request has shown a key, or that none is asked for."""
    tell = scope.get("state", {}).get(_KNOWN)
    if tell is not None:
        tell()


class TooManyWaitingError(Exception):
    """Raised within the parser, to stop it."""


class _OneByOne(FlowControl):
    """Reads no further while a request waits for the answer to the one before it.

    By itself the server reads on with every answer that it has given: who asks faster than he reads would have it hold
    more and more requests.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    @override
    def resume_reading(self) -> None:
        if not self._waiting and not self._transport.is_closing():
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """The server's own, whose patience has an end."""

    def __init__(
        self,
        crowd: Crowd,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Begin, as one of a crowd."""
        super().__init__(config, server_state, app_state, _loop)
        self._crowd = crowd
        self._peer: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = True
        # Of the head that is being read: which one it is, and how much of it has come.
        self._head = object()
        self._head_bytes = 0
        self._refused = False
        # The one that is being answered; those behind it wait.
        self._answered: RequestResponseCycle | None = None

    # Coming and going

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _OneByOne(transport, self.pipeline)
        self._peer = self.client[0] if self.client else ""
        self._crowd.come(self._peer)
        refusal = self._crowd.refusal(len(self.connections), self._peer)
        if refusal is None:
            self._within(HEAD_S)
        else:
            self._refuse(refusal, "There are too many connections; try again later.")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        self._know()
        super().connection_lost(exc)
        if self._answered is not None and not self._answered.response_complete:
            # By itself the server tells only the last request that came.
            self._answered.disconnected = True
            self._answered.message_event.set()

    @override
    def handle_websocket_upgrade(self) -> None:
        # From here on it is a socket's, which has a deadline of its own for the key, and is a stranger's until then.
        self._in_time()
        self.app_state = {**self.app_state, _KNOWN: self._know}
        super().handle_websocket_upgrade()

    def _know(self) -> None:
        if self._peer is not None:
            self._crowd.gone(self._peer)
            self._peer = None

    # Time

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _within(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._too_late)

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self._head_bytes and self._in_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The request's head was not there within {HEAD_S:g} seconds.")
        elif not self.transport.is_closing():
            self.transport.close()

    # Heads

    @override
    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        head = self._head
        super().data_received(data)
        if self._in_head and self._head is head:
            # All of it belongs to a head that is still not whole.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()
            elif self._idle:
                self._within(HEAD_S)

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        # It has begun, however little of it there is.
        self._head_bytes += 1
        self.scope["state"][_KNOWN] = self._know

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            self._refuse_head()
            raise HeadTooLargeError

    @override
    def on_headers_complete(self) -> None:
        self._in_time()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse_head()
            raise HeadTooLargeError
        if len(self.pipeline) >= MAX_WAITING:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, f"More than {MAX_WAITING} requests wait on this connection.")
            raise TooManyWaitingError
        self._in_head = False
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._in_time()
        self._in_head, self._head_bytes, self._head = True, 0, object()
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._idle and not self._in_head:
            self._within(LINGER_S)
        elif self._idle and self._head_bytes:
            # The next request began while this one was being answered.
            self._within(HEAD_S)

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    # Refusals

    def _refuse_head(self) -> None:
        text = f"The request's head is larger than {MAX_HEAD_BYTES // 1024} KiB, or has more than {MAX_HEADERS} fields."
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "This is not HTTP/1.1 as it is written.")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer without a route: in the shape that the clients of both vendors find the message in."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._in_time()
        kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        body = orjson.dumps({"type": "error", "error": {"type": kind, "message": message, "code": None, "param": None}})
        busy = status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
        retry = b"retry-after: %d\r\n" % RETRY_AFTER_S if busy else b""
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (
            status,
            status.phrase.encode(),
            len(body),
        )
        if not self.pipeline and (self._idle or not self.cycle.response_started):
            self.transport.write(head + retry + b"connection: close\r\n\r\n" + body)
        # An answer that is under way must not have another one in the middle of it.
        self.transport.close()


class Socket(WebSocketsSansIOProtocol):
    """The server's own, which counts as a stranger's until its client has shown a key."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Begin where a `Connection` ends."""
        self._counted_no_more: Callable[[], None] = app_state[_KNOWN]
        super().__init__(config, server_state, {**app_state, _KNOWN: self._know}, _loop)
        self.conn.max_message_size = MAX_UNKNOWN_MESSAGE_BYTES

    def _know(self) -> None:
        self.conn.max_message_size = self.config.ws_max_size
        self._counted_no_more()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._counted_no_more()
