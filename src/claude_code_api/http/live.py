"""The live endpoints: a stream for whoever can only GET, and a WebSocket for conversations.

A turn that is asked for here belongs to its session, not to the connection: it goes on when the connection breaks, and
can be read from any event on when the client is back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from claude_code_api.dialects.lowering import sent_profile
from claude_code_api.dialects.native import Live, Teller, place_of, plain_prompt
from claude_code_api.flow.access import Caller
from claude_code_api.flow.detached import Detached, WatchedTurn
from claude_code_api.flow.sessions import Sessions
from claude_code_api.http.answers import TurnAnswer
from claude_code_api.http.guards import TurnCaller, count_request
from claude_code_api.http.live_socket import LiveSocket, Talk
from claude_code_api.http.sent_headers import headers_of
from claude_code_api.http.turns import TurnResponse, Turns
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.request import TurnRequest

MAX_QUERY_CHARS: Final = 50_000
# More is no number that a store could have given out: its integers have 64 bits.
MAX_EVENT_ID: Final = 2**63 - 1


def live_routes(turns: Turns, sessions: Sessions) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/claude", tags=["live"])

    @router.get("/stream/{session_id}", response_class=Response)
    async def stream(
        http: Request,
        session_id: str,
        caller: TurnCaller,
        query: Annotated[str, Query(description="What is said.", max_length=MAX_QUERY_CHARS)] = "",
        profile: Annotated[str | None, Query(description="The most that an agent may do in this turn.")] = None,
        last_event_id: Annotated[int | None, Header(ge=0, le=MAX_EVENT_ID)] = None,
    ) -> Response:
        """Say something in a session, and read the answer as it comes: `delta`, then `complete` or `error`.

        With `Last-Event-ID`, as browsers send it when they come back: go on after that event, and ask nothing.
        """
        live = Live()
        if last_event_id is not None:
            return await _again(turns, live, session_id, caller, last_event_id)
        await count_request(http, caller)
        most = sent_profile(headers_of(http), profile)
        model = await sessions.model_of(session_id, caller)
        request = plain_prompt(query, model=model, session_id=session_id, profile=most)

        @asynccontextmanager
        async def anew() -> AsyncIterator[WatchedTurn]:
            turn = await turns.detached.begin(request, caller, live.name)
            live.stream.teller = teller_of(turn)
            yield turn

        return TurnResponse(TurnAnswer(live, request, lambda *_: anew(), turns.pulse, turns.clock))

    @router.websocket("/ws/{session_id}")
    async def talk(socket: WebSocket, session_id: str) -> None:
        await LiveSocket(socket, session_id, Talk(turns.detached, turns.runner, sessions)).talk()

    return router


async def _again(turns: Turns, live: Live, session_id: str, caller: Caller, last_event_id: int) -> Response:
    turn_number, known = place_of(last_event_id)
    turn = await _turn_with(turns.detached, session_id, caller, turn_number)
    if turn.over_after(known):
        # What browsers take for the end of their trying.
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @asynccontextmanager
    async def again() -> AsyncIterator[WatchedTurn]:
        live.stream.teller, live.stream.known = teller_of(turn), known
        yield turn

    request = TurnRequest("", (), stream=True)
    return TurnResponse(TurnAnswer(live, request, lambda *_: again(), turns.pulse, turns.clock))


async def _turn_with(detached: Detached, session_id: str, caller: Caller, turn_number: int) -> WatchedTurn:
    for turn in await detached.turns_from(session_id, caller, turn_number):
        if turn.turn_number == turn_number:
            return turn
    message = "There is no turn with this event in the session."
    raise TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param="last-event-id"))


def teller_of(turn: WatchedTurn) -> Teller:
    """Begin to tell a turn."""
    return Teller(session_id=turn.session_id, turn_id=turn.turn_id, turn_number=turn.turn_number)
