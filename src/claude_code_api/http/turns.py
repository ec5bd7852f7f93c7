"""One handler for every dialect in the table: read, parse, run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from claude_code_api.dialects.dialect import Dialect
from claude_code_api.flow.access import Caller
from claude_code_api.flow.detached import Detached, WatchedTurn
from claude_code_api.flow.ports import Clock
from claude_code_api.flow.records import IdempotencyKey
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.http.answers import Begin, TurnAnswer
from claude_code_api.http.errors import DIALECTS
from claude_code_api.http.guards import AskingCaller
from claude_code_api.http.json_body import decode_object
from claude_code_api.http.pulse import Pulse
from claude_code_api.http.sent_headers import headers_of
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import TurnRequest

# Bodies are read by the dialects, so that an error names the field in the dialect's own way; what `/docs` shows of
# them is written here.
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "additionalProperties": True}}},
    }
}


_IDEMPOTENCY: Final = "idempotency-key"
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,255}")


class TurnResponse(Response):
    """A `TurnAnswer`, in the class that the framework takes for a response."""

    def __init__(self, answer: TurnAnswer) -> None:
        super().__init__()
        self._answer = answer

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Turns:
    """What runs a request's turns."""

    runner: TurnRunner
    detached: Detached
    pulse: Pulse
    clock: Clock

    def begin(self, caller: Caller, dialect: str, key: IdempotencyKey | None) -> Begin:
        """Say how the turns of one request begin. Those of a request with a key run once, however often it comes."""

        @asynccontextmanager
        async def one(part: TurnRequest, number: int, beside: WatchedTurn | None) -> AsyncIterator[WatchedTurn]:
            first = beside.entry if beside is not None else None
            if key is None:
                async with self.runner.run(part, caller, dialect, beside=first) as turn:
                    yield turn
                return
            own = key if number == 1 else replace(key, key=f"{key.key}#{number}")
            async with self.detached.once(part, caller, dialect, own, first) as watched:
                yield watched

        return one


def idempotency_key(request: Request, body: bytes) -> IdempotencyKey | None:
    """Read the client's own name for a request, where it gave one."""
    key = request.headers.get(_IDEMPOTENCY)
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        message = "An Idempotency-Key has 1 to 255 visible characters."
        raise invalid(message, param=_IDEMPOTENCY)
    return IdempotencyKey(f"{request.url.path} {key}", hashlib.sha256(body).digest())


def turn_routes(turns: Turns, *, apart: Collection[str] = ()) -> APIRouter:
    """Make a route for every dialect; paths that stand `apart` have one of their own."""
    router = APIRouter(tags=["turns"])

    def add(path: str, dialect: Dialect) -> None:
        async def answer_turn(request: Request, caller: AskingCaller) -> Response:
            body = await request.body()
            turn = dialect.parse(decode_object(body), headers_of(request))
            begin = turns.begin(caller, dialect.name, idempotency_key(request, body))
            return TurnResponse(TurnAnswer(dialect, turn, begin, turns.pulse, turns.clock))

        router.post(path, name=dialect.name, openapi_extra=BODY, response_class=Response)(answer_turn)

    for path, dialect in DIALECTS.items():
        if path not in apart:
            add(path, dialect)
    return router
