"""A process's only way to the model: a unix socket of its own, behind which the gateway asks the model's API.

The key is added here and is in no process but the gateway's. One turn is one request: a CLI that would go on by
itself (after a cut answer, after an empty one, after an error) finds the door closed. What the upstream says beside the
answer, such as when to come back, is kept for the turn; the CLI would not pass it on.

What a turn asks of the model is laid over the CLI's own request here, on its way out (docs/decisions/0014); answers go
through unread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx2
import orjson
import structlog

from claude_code_api.engine.doorway import Asked, Doorway, Fields
from claude_code_api.engine.options import Credentials, EngineOptions
from claude_code_api.engine.overlay import NothingToLayOverError, lay_over
from claude_code_api.engine.rehearsal import REHEARSED
from claude_code_api.engine.upstream import Answer, BrokenOffError, UnreachedError, Upstream
from claude_code_api.turn.request import Json

_log = structlog.get_logger("claude_code_api.engine")

API: Final = "https://api.anthropic.com"
# What the CLI believes it speaks to, and with: both mean nothing.
PLACEHOLDER_URL: Final = "http://model.invalid"
PLACEHOLDER_KEY: Final = "sk-ant-relay"
_MESSAGES: Final = b"/v1/messages"
_PATHS: Final = frozenset({_MESSAGES, b"/v1/messages/count_tokens"})
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
        # What one hop says to the next, or would have it do.
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        # Credentials of a kind that nobody here has.
        b"cookie",
        b"set-cookie",
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
_NOT_THE_TURNS: Final = _refusal(400, "invalid_request_error", "this is not what the turn asks")
_NOT_SERVED: Final = _refusal(404, "not_found_error", "not served here")
_NOT_THIS_MODEL: Final = _refusal(403, "permission_error", "this model is not allowed here")
_UNREACHABLE: Final = _refusal(502, "api_error", "the model's API cannot be reached")
_FIRST_ERROR: Final = 400
# The model's API says with them, among other things, that a conversation is too long.
_MAY_BE_TOO_LONG: Final = frozenset({400, 413})
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
        # Whether the process may ask again after an answer that its conversation is too long.
        self._compacts = False
        # The models that may be asked; None: any.
        self._models: frozenset[str] | None = None
        # What is laid over the requests.
        self._fields: Mapping[str, Json] = {}
        self._rehearses = False
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

    def admit(
        self,
        requests: int = 1,
        *,
        fields: Mapping[str, Json] | None = None,
        compacts: bool = False,
        models: frozenset[str] | None = None,
    ) -> None:
        """Let the next request through, or the next few, and none after them; none after an error, either.

        `fields` are laid over what the CLI asks. `compacts`: a process whose conversation is too long may have it
        summed up, and ask again. `models`: the only ones that may be asked; what runs beside an agent can use its door
        as well as the agent.
        """
        self._left, self._compacts, self.told, self._closed = requests, compacts, None, _ONE_REQUEST
        self._models, self._fields, self._rehearses = models, fields or {}, False

    def rehearse(self) -> None:
        """Answer the next request here: nobody is asked, whatever it is."""
        self.admit()
        self._rehearses = True

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
        if self._models is not None and _model_of(asked.body) not in self._models:
            self.refused += 1
            _NOT_THIS_MODEL.give(doorway)
            return
        self._left -= 1
        if self._rehearses:
            doorway.begin(HTTPStatus.OK, [(b"content-type", b"text/event-stream")])
            for piece in REHEARSED:
                doorway.piece(piece)
            doorway.end()
            return
        try:
            answer = await self._relay.ask(self._laid_over(asked))
        except NothingToLayOverError as problem:
            _log.error("cli_request_unknown", reason=str(problem))
            self._left, self._closed = 0, _NOT_THE_TURNS
            _NOT_THE_TURNS.give(doorway)
            return
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

    def _laid_over(self, asked: Asked) -> Asked:
        if not self._fields or asked.target.partition(b"?")[0] != _MESSAGES:
            return asked
        return replace(asked, body=lay_over(asked.body, self._fields))

    async def _pass_on(self, answer: Answer, doorway: Doorway) -> None:
        self.told = _told(answer)
        kept = _passed_on(answer.headers)
        if answer.status >= _FIRST_ERROR:
            # Asked again, the CLI gets the same answer again, without anybody being asked.
            raw = await answer.whole()
            refusal = _Refusal(answer.status, kept, raw)
            if not (self._compacts and answer.status in _MAY_BE_TOO_LONG):
                self._left, self._closed = 0, refusal
            self.told = replace(self.told, refusal=_words(answer, raw))
            refusal.give(doorway)
            return
        doorway.pause, doorway.resume = answer.pause, answer.resume
        doorway.begin(answer.status, kept)
        await answer.pour(doorway.piece)
        doorway.end()


def _model_of(body: bytes) -> str | None:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    model = asked.get("model") if isinstance(asked, dict) else None
    return model if isinstance(model, str) else None


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
