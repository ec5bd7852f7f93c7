"""A process's only way to the model: a unix socket of its own, behind which the gateway asks the model's API.

The key is added here and is in no process but the gateway's. One turn is one request: a CLI that would go on by
itself (after a cut answer, after an empty one, after an error) finds the door closed. What the upstream says beside the
answer, such as when to come back, is kept for the turn; the CLI would not pass it on.

Bytes go through unread, both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx2
import orjson
import structlog

from claude_code_api.engine.doorway import Asked, Doorway, Fields
from claude_code_api.engine.options import Credentials, EngineOptions
from claude_code_api.engine.upstream import Answer, BrokenOffError, UnreachedError, Upstream

_log = structlog.get_logger("claude_code_api.engine")

API: Final = "https://api.anthropic.com"
# What the CLI believes it speaks to, and with: both mean nothing.
PLACEHOLDER_URL: Final = "http://model.invalid"
PLACEHOLDER_KEY: Final = "sk-ant-relay"
_PATHS: Final = frozenset({b"/v1/messages", b"/v1/messages/count_tokens"})
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
    headers: Fields
    body: bytes

    def give(self, doorway: Doorway) -> None:
        doorway.give(self.status, self.headers, self.body)


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


class Relay:
    """Speaks to the model's API for all processes of a gateway."""

    def __init__(self, options: EngineOptions, credentials: Credentials) -> None:
        """Keep the credentials, and connections to the API."""
        self._upstream = Upstream(options.anthropic_base_url or API, _credential_header(credentials))
        self.pauses_s = tuple(FIRST_PAUSE_S * 2**number for number in range(options.upstream_retries))

    async def open(self, path: Path) -> Door:
        """Make a door for one process."""
        door = Door(self)
        try:
            await door.listen(path)
        except BaseException:
            await door.close()
            raise
        return door

    async def ask(self, asked: Asked) -> Answer:
        """Ask the real API, with the real key. The answer's body is not read yet.

        It is asked again where the upstream says that it might help. Nothing has gone to the CLI by then. Silence is
        judged by the turn's own watchdog, which knows what it is silence of.
        """
        passed = _passed_on(asked.headers)
        for pause_s in self.pauses_s:
            try:
                answer = await self._upstream.ask(asked.target, passed, asked.body)
            except UnreachedError as error:
                # It was never reached, so it cannot have begun.
                _log.warning("upstream_unreachable", reason=str(error), again_in_s=pause_s)
            else:
                if answer.status not in _WORTH_ASKING_AGAIN:
                    return answer
                wish_s = _told(answer).retry_after_s
                if wish_s is not None and wish_s > LONGEST_PAUSE_S:
                    return answer
                answer.leave()
                pause_s = max(pause_s, wish_s or 0.0)  # noqa: PLW2901 - the upstream knows better
                _log.warning("upstream_refused", status=answer.status, again_in_s=pause_s)
            await asyncio.sleep(pause_s)  # noqa: TID251 - what the upstream asked for, bounded by LONGEST_PAUSE_S
        return await self._upstream.ask(asked.target, passed, asked.body)

    async def close(self) -> None:
        """Close the connections to the API."""
        self._upstream.close()


def _passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    return [(name, value) for name, value in headers if name not in _NOT_PASSED_ON]


def _credential_header(credentials: Credentials) -> tuple[bytes, bytes]:
    if credentials.api_key:
        return b"x-api-key", credentials.api_key.encode()
    return b"authorization", f"Bearer {credentials.auth_token}".encode()


class Door:
    """One process's way out. `admit` opens it for one request; `told` is what came of it."""

    def __init__(self, relay: Relay) -> None:
        """Begin closed."""
        self._relay = relay
        # Requests that may still pass.
        self._left = 0
        self._server: asyncio.AbstractServer | None = None
        self._path: Path | None = None
        self._doorways: set[Doorway] = set()
        self._closed = _ONE_REQUEST
        self.refused = 0
        self.told: Told | None = None

    async def listen(self, path: Path) -> None:
        """Listen on a socket that only the owner of its directory can reach."""
        loop = asyncio.get_running_loop()
        self._path = path
        # In two steps, so that being cancelled in between leaves nothing that nobody holds.
        self._server = await loop.create_unix_server(
            lambda: Doorway(self._serve, self._doorways), str(path), start_serving=False
        )
        await self._server.start_serving()

    def admit(self, requests: int = 1) -> None:
        """Let the next request through, or the next few, and none after them."""
        self._left, self.told, self._closed = requests, None, _ONE_REQUEST

    async def close(self) -> None:
        """Stop listening; the process is gone."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        await asyncio.gather(*(doorway.gone() for doorway in tuple(self._doorways)))

    async def _serve(self, asked: Asked, doorway: Doorway) -> None:
        """Serve one request of the CLI's."""
        if asked.method != b"POST" or asked.target.partition(b"?")[0] not in _PATHS:
            # It says hello when it starts, and wants no more than an answer.
            _NOT_SERVED.give(doorway)
            return
        if not self._left:
            self.refused += 1
            self._closed.give(doorway)
            return
        self._left -= 1
        try:
            answer = await self._relay.ask(asked)
        except (UnreachedError, BrokenOffError) as error:
            _log.warning("upstream_unreachable", reason=str(error))
            self._left, self.told, self._closed = 0, Told(None), _UNREACHABLE
            _UNREACHABLE.give(doorway)
            return
        try:
            await self._pass_on(answer, doorway)
        except BrokenOffError as error:
            # Broken in the middle: the CLI's connection has to break as well, or it would take this for an end.
            _log.warning("upstream_broke", reason=str(error))
            doorway.break_off()
        finally:
            answer.leave()

    async def _pass_on(self, answer: Answer, doorway: Doorway) -> None:
        self.told = _told(answer)
        kept = _passed_on(answer.headers)
        if answer.status >= _FIRST_ERROR:
            # Asked again, the CLI gets the same answer again, without anybody being asked.
            raw = await answer.whole()
            self._left, self._closed = 0, _Refusal(answer.status, kept, raw)
            self.told = replace(self.told, refusal=_words(answer, raw))
            self._closed.give(doorway)
            return
        doorway.pause, doorway.resume = answer.pause, answer.resume
        doorway.begin(answer.status, kept)
        await answer.pour(doorway.piece)
        doorway.end()


def _told(answer: Answer) -> Told:
    wait = answer.header(b"retry-after") or ""
    retry_after_s = float(wait) if wait.replace(".", "", 1).isdecimal() else None
    return Told(answer.status, retry_after_s, answer.header(b"request-id"))


def _words(answer: Answer, raw: bytes) -> str | None:
    """The `error.message` of an error's body, which may be compressed; it may also be no such body at all."""
    try:
        body = httpx2.Response(answer.status, headers=answer.headers, content=raw).json()
    except (ValueError, httpx2.DecodingError):
        return None
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) and message else None
