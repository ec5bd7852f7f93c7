"""A process's door: a unix socket of its own, behind which the relay is.

One turn is one request: a CLI that would go on by itself (after a cut answer, after an empty one, after an error) finds
the door closed. What the upstream says beside the answer, such as when to come back, is kept for the turn; the CLI
would not pass it on. What a turn asks of the model is laid over the CLI's own request here, on its way out
(docs/decisions/0014); answers go through unread.

An agent asks as often as it needs to, and what runs in its jail can use its door as well as the agent: so what it asks
is looked through, and what is answered is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

import orjson
import structlog

from claude_code_api.engine.customs import objection
from claude_code_api.engine.doorway import Asked, Doorway, Fields
from claude_code_api.engine.meter import Meter
from claude_code_api.engine.overlay import NothingToLayOverError, lay_over
from claude_code_api.engine.rehearsal import answer_to
from claude_code_api.engine.relay import Relay, Told, passed_on, told_by, words_of
from claude_code_api.engine.upstream import Answer, BrokenOffError, Take, UnreachedError
from claude_code_api.flow.purse import Purse
from claude_code_api.turn.request import Json

_log = structlog.get_logger("claude_code_api.engine")

_MESSAGES: Final = b"/v1/messages"
_PATHS: Final = frozenset({_MESSAGES, b"/v1/messages/count_tokens"})
_FIRST_ERROR: Final = 400
# The model's API says with them, among other things, that a conversation is too long.
_MAY_BE_TOO_LONG: Final = frozenset({400, 413})
_PACKING: Final = b"accept-encoding"


@dataclass(frozen=True, slots=True)
class AgentTerms:
    """What an agent, and whatever runs beside it, may ask."""

    # The only models that may be asked; None: any.
    models: frozenset[str] | None = None
    # What the API is to fetch, because the client itself has named it.
    addresses: frozenset[str] = frozenset()
    # Where all of it is counted.
    purse: Purse | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What may pass a door for one turn."""

    # How often the model may be asked: once, where the client runs the tools.
    requests: int = 1
    # What is laid over the requests.
    fields: Mapping[str, Json] = field(default_factory=dict)
    # Whether the process may sum up a conversation that has become too long, and ask again.
    compacts: bool = False
    # None: there is nothing but the CLI on the other side.
    agent: AgentTerms | None = None


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
_SPENT: Final = _refusal(403, "permission_error", "the budget is spent")
_UNREACHABLE: Final = _refusal(502, "api_error", "the model's API cannot be reached")


async def open_door(relay: Relay, path: Path) -> Door:
    """Make a door for one process."""
    door = Door(relay)
    try:
        await door.listen(path)
    except BaseException:
        await door.close()
        raise
    return door


class Door:
    """One process's way out. `admit` opens it for one request; `told` is what came of it."""

    def __init__(self, relay: Relay) -> None:
        """Begin closed."""
        self._relay = relay
        self._terms = Terms(requests=0)
        # Requests that may still pass.
        self._left = 0
        self._rehearses = False
        # Not set as long as it is not known yet what may pass.
        self._known = asyncio.Event()
        self._known.set()
        # Held by the request that is counted, if what it comes to decides about the next one.
        self._counting = asyncio.Lock()
        self._server: asyncio.AbstractServer | None = None
        self._path: Path | None = None
        self._doorways: set[Doorway] = set()
        self._closed = _ONE_REQUEST
        self.refused = 0
        self.told: Told | None = None
        # The only model that the process may ask; None: the one that it was started for, or any.
        self.model: str | None = None

    async def listen(self, path: Path) -> None:
        """Listen on a socket that only the owner of its directory can reach."""
        loop = asyncio.get_running_loop()
        self._path = path
        # In two steps, so that being cancelled in between leaves nothing that nobody holds.
        self._server = await loop.create_unix_server(
            lambda: Doorway(self._serve, self._doorways), str(path), start_serving=False
        )
        await self._server.start_serving()

    def admit(self, terms: Terms) -> None:
        """Let the next requests through, on these terms, and none after them; none after an error, either."""
        self._terms, self._left = terms, terms.requests
        self.told, self._closed, self._rehearses = None, _ONE_REQUEST, False
        self._known.set()

    def expect(self) -> None:
        """Let the next request wait until it is admitted, or until it is known that nothing is."""
        self.admit(Terms(requests=0))
        self._known.clear()

    def rehearse(self) -> None:
        """Answer the next request here: nobody is asked, whatever it is."""
        self.admit(Terms())
        self._rehearses = True

    def shut(self) -> None:
        """Let nothing through before the next turn."""
        self._left = 0

    async def close(self) -> None:
        """Stop listening; the process is gone."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        await asyncio.gather(*(doorway.gone() for doorway in tuple(self._doorways)))

    async def _serve(self, asked: Asked, doorway: Doorway) -> None:
        """Serve one request of the CLI's."""
        if asked.method != b"POST" or _path(asked) not in _PATHS:
            # It says hello when it starts, and wants no more than an answer.
            _NOT_SERVED.give(doorway)
            return
        await self._known.wait()
        agent = self._terms.agent
        reason = None if agent is None else objection(asked.body, agent.models, agent.addresses)
        if reason is not None:
            self._refuse(_refusal(HTTPStatus.FORBIDDEN, "permission_error", reason), doorway)
        elif not self._left:
            self._refuse(self._closed, doorway)
        elif self._rehearses:
            self._left -= 1
            _rehearse(asked, doorway)
        elif agent is None or agent.purse is None or _path(asked) != _MESSAGES:
            self._left -= 1
            await self._ask(asked, doorway, None)
        else:
            await self._counted(asked, doorway, agent.purse)

    def _refuse(self, refusal: _Refusal, doorway: Doorway) -> None:
        self.refused += 1
        refusal.give(doorway)

    async def _counted(self, asked: Asked, doorway: Doorway, purse: Purse) -> None:
        """Serve an agent's request as long as there is something left to pay it with."""
        async with self._counting if purse.limited else nullcontext():
            if purse.empty or not self._left:
                self._refuse(_SPENT if purse.empty else self._closed, doorway)
                return
            self._left -= 1
            readable = [*(line for line in asked.headers if line[0] != _PACKING), (_PACKING, b"identity")]
            meter = Meter(purse.count, len(asked.body))
            try:
                await self._ask(replace(asked, headers=readable), doorway, meter)
            finally:
                meter.end()
                # No word of what was said: how much, and what came of it.
                status = self.told.status if self.told is not None else None
                _log.debug("agent_asked", sent_bytes=len(asked.body), status=status, used=meter.known)

    async def _ask(self, asked: Asked, doorway: Doorway, meter: Meter | None) -> None:
        try:
            answer = await self._relay.ask(self._laid_over(asked))
        except NothingToLayOverError as problem:
            _log.error("cli_request_unknown", reason=str(problem))
            self._not_answered(_NOT_THE_TURNS, doorway, meter)
            return
        except (UnreachedError, BrokenOffError) as error:
            _log.warning("upstream_unreachable", reason=str(error))
            self.told = Told(None)
            self._not_answered(_UNREACHABLE, doorway, meter)
            return
        try:
            await self._pass_on(answer, doorway, meter)
        except BrokenOffError as error:
            # Broken in the middle: the CLI's connection has to break as well, or it would take this for an end.
            _log.warning("upstream_broke", reason=str(error))
            doorway.break_off()
        finally:
            answer.leave()

    def _not_answered(self, refusal: _Refusal, doorway: Doorway, meter: Meter | None) -> None:
        if meter is not None:
            meter.free()
        self._left, self._closed = 0, refusal
        refusal.give(doorway)

    def _laid_over(self, asked: Asked) -> Asked:
        fields = self._terms.fields if _path(asked) == _MESSAGES else {}
        if not fields and self._terms.agent is None:
            return asked
        # An agent's is written anew in any case: what was looked through is what is sent.
        return replace(asked, body=lay_over(asked.body, fields, self.model))

    async def _pass_on(self, answer: Answer, doorway: Doorway, meter: Meter | None) -> None:
        self.told = told_by(answer)
        kept = passed_on(answer.headers)
        if answer.status >= _FIRST_ERROR:
            if meter is not None:
                meter.free()
            # Asked again, the CLI gets the same answer again, without anybody being asked.
            raw = await answer.whole()
            refusal = _Refusal(answer.status, kept, raw)
            if not (self._terms.compacts and answer.status in _MAY_BE_TOO_LONG):
                self._left, self._closed = 0, refusal
            self.told = replace(self.told, refusal=words_of(answer, raw))
            refusal.give(doorway)
            return
        if meter is not None:
            meter.begin(answer)
        doorway.pause, doorway.resume = answer.pause, answer.resume
        doorway.begin(answer.status, kept)
        await answer.pour(doorway.piece if meter is None else _both(meter.take, doorway.piece))
        doorway.end()


def _path(asked: Asked) -> bytes:
    return asked.target.partition(b"?")[0]


def _both(first: Take, second: Take) -> Take:
    def take(piece: bytes) -> None:
        first(piece)
        second(piece)

    return take


def _rehearse(asked: Asked, doorway: Doorway) -> None:
    kind, pieces = answer_to(asked.body)
    doorway.begin(HTTPStatus.OK, [(b"content-type", kind)])
    for piece in pieces:
        doorway.piece(piece)
    doorway.end()
