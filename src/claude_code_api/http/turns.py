"""One handler for every dialect in the table: read, parse, run."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from claude_code_api.dialects.dialect import Dialect
from claude_code_api.flow.ports import Clock
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.http.answers import TurnAnswer
from claude_code_api.http.errors import DIALECTS
from claude_code_api.http.guards import GuardedCaller
from claude_code_api.http.json_body import decode_object
from claude_code_api.http.pulse import Pulse

# Bodies are read by the dialects, so that an error names the field in the dialect's own way; what `/docs` shows of
# them is written here.
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "additionalProperties": True}}},
    }
}


class _TurnResponse(Response):
    """A `TurnAnswer`, in the class that the framework takes for a response."""

    def __init__(self, answer: TurnAnswer) -> None:
        super().__init__()
        self._answer = answer

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)


def turn_routes(runner: TurnRunner, pulse: Pulse, clock: Clock) -> APIRouter:
    """Make a route for every dialect."""
    router = APIRouter(tags=["turns"])

    def add(path: str, dialect: Dialect) -> None:
        async def answer_turn(request: Request, caller: GuardedCaller) -> Response:
            body = decode_object(await request.body())
            turn = dialect.parse(body, dict(request.headers))
            return _TurnResponse(TurnAnswer(dialect, turn, lambda: runner.run(turn, caller), pulse, clock))

        router.post(path, name=dialect.name, openapi_extra=_BODY, response_class=Response)(answer_turn)

    for path, dialect in DIALECTS.items():
        add(path, dialect)
    return router
