"""A process's only way to the model: a unix socket of its own, behind which the gateway asks the model's API.

The key is added here and is in no process but the gateway's. One turn is one request: a CLI that would go on by
itself (after a cut answer, after an empty one, after an error) finds the door closed. What the upstream says beside the
answer, such as when to come back, is kept for the turn; the CLI would not pass it on.

Bytes go through unread, both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2
import orjson
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from claude_code_api.engine.options import Credentials, EngineOptions

_log = structlog.get_logger("claude_code_api.engine")

API: Final = "https://api.anthropic.com"
# What the CLI believes it speaks to, and with: both mean nothing.
PLACEHOLDER_URL: Final = "http://model.invalid"
PLACEHOLDER_KEY: Final = "sk-ant-relay"
CONNECT_S: Final = 10.0
# The CLI keeps its connection for as long as it lives.
KEEP_ALIVE_S: Final = 86_400
_PATHS: Final = frozenset({"/v1/messages", "/v1/messages/count_tokens"})
# These belong to one connection, or are ours to set.
_NOT_PASSED_ON: Final = frozenset(
    {
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"x-api-key",
        b"authorization",
        b"date",
        b"server",
    }
)

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Told:
    """What the upstream told about a turn, beside its answer. No status: it could not be reached.

    `refusal` is what it said of a request that it did not answer, in its own words.
    """

    status: int | None
    retry_after_s: float | None = None
    request_id: str | None = None
    refusal: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error as an answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def give(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def _refusal(status: int, kind: str, message: str) -> _Refusal:
    body = orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})
    return _Refusal(status, [(b"content-type", b"application/json")], body)


_ONE_REQUEST: Final = _refusal(400, "invalid_request_error", "one turn is one request")
_NOT_SERVED: Final = _refusal(404, "not_found_error", "not served here")
_UNREACHABLE: Final = _refusal(502, "api_error", "the model's API cannot be reached")
_FIRST_ERROR: Final = 400
# The upstream's own trouble, or ours with its limits: these pass by themselves.
_WORTH_ASKING_AGAIN: Final = frozenset({429, 500, 502, 503, 504, 529})
# The pause before the second request; it doubles from one to the next.
FIRST_PAUSE_S: Final = 0.5
# A client that is told to come back later is better served than one that waits in silence.
LONGEST_PAUSE_S: Final = 5.0
_CONNECTION: Final = "connection"


class Relay:
    """Speaks to the model's API for all processes of a gateway."""

    def __init__(self, options: EngineOptions, credentials: Credentials) -> None:
        """Keep the credentials, and connections to the API."""
        self._base_url = (options.anthropic_base_url or API).rstrip("/")
        self._credential = _credential_header(credentials)
        self.pauses_s = tuple(FIRST_PAUSE_S * 2**number for number in range(options.upstream_retries))
        # Silence is judged by the turn's own watchdog, which knows what it is silence of.
        timeout = httpx2.Timeout(None, connect=CONNECT_S)
        self._client = httpx2.AsyncClient(timeout=timeout, trust_env=False, limits=httpx2.Limits(max_connections=None))
        # What the CLI did not say is not said for it: it might get an answer in a form that it never asked for.
        for name in list(self._client.headers):
            del self._client.headers[name]

    async def open(self, path: Path) -> Door:
        """Make a door for one process."""
        door = Door(self)
        try:
            await door.listen(path)
        except BaseException:
            await door.close()
            raise
        return door

    def request(self, target: str, headers: Headers, body: bytes) -> httpx2.Request:
        """Address a request to the real API, with the real key."""
        passed = [(name, value) for name, value in headers if name not in _NOT_PASSED_ON]
        return self._client.build_request(
            "POST", self._base_url + target, headers=[*passed, self._credential], content=body
        )

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """Ask; the answer is not read yet."""
        return await self._client.send(request, stream=True)

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._client.aclose()


def _credential_header(credentials: Credentials) -> tuple[bytes, bytes]:
    if credentials.api_key:
        return b"x-api-key", credentials.api_key.encode()
    return b"authorization", f"Bearer {credentials.auth_token}".encode()


class Door:
    """One process's way out. `admit` opens it for one request; `told` is what came of it."""

    def __init__(self, relay: Relay) -> None:
        """Begin closed."""
        self._relay = relay
        self._open = False
        self._server: asyncio.AbstractServer | None = None
        self._path: Path | None = None
        self._state = ServerState()
        self._closed = _ONE_REQUEST
        self.refused = 0
        self.told: Told | None = None

    async def listen(self, path: Path) -> None:
        """Listen on a socket that only the owner of its directory can reach."""
        config = Config(
            self,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        config.load()
        loop = asyncio.get_running_loop()
        self._path = path
        # In two steps, so that being cancelled in between leaves nothing that nobody holds.
        self._server = await loop.create_unix_server(
            lambda: _protocol(config, self._state, loop), str(path), start_serving=False
        )
        await self._server.start_serving()

    def admit(self) -> None:
        """Let the next request through, and none after it."""
        self._open, self.told, self._closed = True, None, _ONE_REQUEST

    async def close(self) -> None:
        """Stop listening; the process is gone."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the CLI's."""
        if scope["method"] != "POST" or scope["path"] not in _PATHS:
            # It says hello when it starts, and wants no more than an answer.
            await _NOT_SERVED.give(send)
            return
        if not self._open:
            self.refused += 1
            await self._closed.give(send)
            return
        self._open = False
        body = await _body(receive)
        if body is None:
            return
        forwarding = asyncio.ensure_future(self._forward(scope, body, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((forwarding, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            forwarding.cancel()
        try:
            await forwarding
        except asyncio.CancelledError:
            pass
        except httpx2.TransportError as error:
            # Broken in the middle: the CLI's connection has to break as well, or it would take this for an end.
            _log.warning("upstream_broke", reason=repr(error))
            scope["state"][_CONNECTION].transport.abort()
            # The server hears of it in the next round of the loop, and has nothing to complain about then.
            await asyncio.sleep(0)  # noqa: TID251 - a round of the loop, not a time

    async def _forward(self, scope: Scope, body: bytes, send: Send) -> None:
        query = scope["query_string"].decode("ascii")
        target = scope["path"] + (f"?{query}" if query else "")
        try:
            response = await self._ask(lambda: self._relay.request(target, scope["headers"], body))
        except httpx2.TransportError as error:
            _log.warning("upstream_unreachable", reason=repr(error))
            self.told, self._closed = Told(None), _UNREACHABLE
            await _UNREACHABLE.give(send)
            return
        try:
            self.told = _told(response)
            headers = [(name.lower(), value) for name, value in response.headers.raw]
            kept = [(name, value) for name, value in headers if name not in _NOT_PASSED_ON]
            if response.status_code >= _FIRST_ERROR:
                # Asked again, the CLI gets the same answer again, without anybody being asked.
                raw = b"".join([chunk async for chunk in response.aiter_raw()])
                self._closed = _Refusal(response.status_code, kept, raw)
                self.told = replace(self.told, refusal=_words(response, raw))
                await self._closed.give(send)
                return
            await send({"type": "http.response.start", "status": response.status_code, "headers": kept})
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await response.aclose()

    async def _ask(self, request: Callable[[], httpx2.Request]) -> httpx2.Response:
        """Ask, and ask again where the upstream says that it might help. Nothing has gone to the CLI by then."""
        for pause_s in self._relay.pauses_s:
            try:
                response = await self._relay.send(request())
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                # It was never reached, so it cannot have begun.
                _log.warning("upstream_unreachable", reason=repr(error), again_in_s=pause_s)
            else:
                if response.status_code not in _WORTH_ASKING_AGAIN:
                    return response
                wish_s = _told(response).retry_after_s
                if wish_s is not None and wish_s > LONGEST_PAUSE_S:
                    return response
                await response.aclose()
                pause_s = max(pause_s, wish_s or 0.0)  # noqa: PLW2901 - the upstream knows better
                _log.warning("upstream_refused", status=response.status_code, again_in_s=pause_s)
            await asyncio.sleep(pause_s)  # noqa: TID251 - what the upstream asked for, bounded by LONGEST_PAUSE_S
        return await self._relay.send(request())


def _protocol(config: Config, state: ServerState, loop: asyncio.AbstractEventLoop) -> HttpToolsProtocol:
    shown_to_app: dict[str, Any] = {}
    protocol = HttpToolsProtocol(config, state, shown_to_app, _loop=loop)
    protocol.access_log = False
    shown_to_app[_CONNECTION] = protocol
    return protocol


def _told(response: httpx2.Response) -> Told:
    wait = response.headers.get("retry-after", "")
    retry_after_s = float(wait) if wait.replace(".", "", 1).isdecimal() else None
    return Told(response.status_code, retry_after_s, response.headers.get("request-id"))


def _words(response: httpx2.Response, raw: bytes) -> str | None:
    """The `error.message` of an error's body, which may be compressed; it may also be no such body at all."""
    try:
        body = httpx2.Response(response.status_code, headers=response.headers, content=raw).json()
    except (ValueError, httpx2.DecodingError):
        return None
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) and message else None


async def _body(receive: Receive) -> bytes | None:
    """The whole body, however large; None when the process is gone before it has said everything."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
