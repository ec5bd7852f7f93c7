"""/v1/responses: the turn itself, in the foreground or in the background, and what can be asked of it afterwards."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from claude_code_api.dialects.openai_responses import OPENAI_RESPONSES, OpenAIResponses
from claude_code_api.dialects.responses_items import items_of_message
from claude_code_api.dialects.responses_output import head_of, items_of, response_body
from claude_code_api.dialects.responses_request import ENCRYPTED, no_such_response, turn_id_of
from claude_code_api.flow.access import Caller
from claude_code_api.flow.detached import WatchedTurn
from claude_code_api.flow.kept import Kept, KeptTurn
from claude_code_api.http.answers import Begin, TurnAnswer
from claude_code_api.http.guards import AskingCaller, TurnCaller
from claude_code_api.http.json_body import decode_object
from claude_code_api.http.record import record_of
from claude_code_api.http.sent_headers import headers_of
from claude_code_api.http.turns import BODY, TurnResponse, Turns, idempotency_key
from claude_code_api.http.wanted import DEFAULT_PAGE, MAX_PAGE
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid
from claude_code_api.turn.events import Started
from claude_code_api.turn.request import JsonObject, TurnRequest

RESPONSES: Final = "/v1/responses"
# Responses whose items one request refers to; each is looked up.
MAX_REFERRED: Final = 100
_ITEM_ID: Final = re.compile(r"(?:msg|rs|fc)_([0-9A-Za-z_-]{1,64})_[0-9]+")


def response_routes(turns: Turns, kept: Kept) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=RESPONSES, tags=["turns"])

    @router.post("", name=OPENAI_RESPONSES.name, openapi_extra=BODY, response_class=Response)
    async def make_response(request: Request, caller: AskingCaller) -> Response:
        """Answer, or begin to: with `background` the answer is asked for later."""
        body = await request.body()
        asked = await _with_referred_items(decode_object(body), kept, caller)
        turn = OPENAI_RESPONSES.parse(asked, headers_of(request))
        key = idempotency_key(request, body)
        begin = turns.begin(caller, OPENAI_RESPONSES.name, key)
        if turn.background and key is None:
            begin = _in_the_background(turns, caller)
        if turn.background and not turn.stream:
            return await _begun(request, turn, begin)
        return TurnResponse(TurnAnswer(OPENAI_RESPONSES, turn, begin, turns.pulse, turns.clock))

    @router.post("/compact")
    async def compact(caller: TurnCaller) -> Response:  # noqa: ARG001 - who has no key is told nothing
        """Refuse: a conversation is compacted by its client, or by the CLI where an agent is at work."""
        message = "Compaction is not served: send the conversation as you want it to be known."
        raise TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client"))

    _add_one(router, turns, kept)
    _add_input(router, kept)
    return router


def _in_the_background(turns: Turns, caller: Caller) -> Begin:
    @asynccontextmanager
    async def begin(part: TurnRequest, _number: int, _beside: WatchedTurn | None) -> AsyncIterator[WatchedTurn]:
        yield await turns.detached.begin(part, caller, OPENAI_RESPONSES.name)

    return begin


async def _begun(request: Request, asked: TurnRequest, begin: Begin) -> Response:
    """Say that a turn has begun, and how far it is."""
    record = record_of(request.scope)
    record.dialect, record.model = OPENAI_RESPONSES.name, asked.model
    async with begin(asked, 1, None) as turn:
        record.turn_id, record.session_id = turn.turn_id, turn.session_id
        result, entry = turn.result, turn.entry
        taken_s = int(entry.created_s) if entry is not None else 0
        started = result.started or Started(turn.turn_id, "", taken_s, turn.session_id)
        headers = {"x-session-id": turn.session_id}
        if turn.project_id is not None:
            headers["x-project-id"] = turn.project_id
        ignored = dict.fromkeys((*asked.ignored, *turn.ignored))
        if ignored:
            headers["x-ignored-params"] = ", ".join(ignored)
        return JSONResponse(response_body(head_of(started, asked), result), headers=headers)


# What can be asked of it afterwards


def _add_one(router: APIRouter, turns: Turns, kept: Kept) -> None:
    @router.get("/{response_id}", response_class=Response)
    async def get_response(
        request: Request,
        response_id: str,
        caller: TurnCaller,
        stream: Annotated[bool, Query(description="Its events, as they come or came.")] = False,  # noqa: FBT002 - a query parameter has no position
        starting_after: Annotated[int, Query(ge=-1, description="The number of the last event known.")] = -1,
    ) -> Response:
        """Return a response as far as it has come, or its events."""
        found = await _found(kept, response_id, caller)
        asked = _request_of(found, stream=stream, encrypted=_wants_thoughts(request))
        if not stream:
            return JSONResponse(_body_of(found, asked), headers={"x-session-id": found.turn.session_id})

        @asynccontextmanager
        async def again(*_: object) -> AsyncIterator[WatchedTurn]:
            yield await kept.follow(found.turn.id, caller)

        dialect = OpenAIResponses(after=starting_after)
        return TurnResponse(TurnAnswer(dialect, asked, again, turns.pulse, turns.clock))

    @router.delete("/{response_id}")
    async def delete_response(response_id: str, caller: TurnCaller) -> dict[str, Any]:
        """Forget a response; one that runs in the background ends. What was said stays in its session."""
        if not await kept.forget(turn_id_of(response_id), caller):
            raise no_such_response()
        return {"id": response_id, "object": "response", "deleted": True}

    @router.post("/{response_id}/cancel")
    async def cancel_response(response_id: str, caller: TurnCaller) -> Response:
        """End a response that runs in the background; what it said so far is kept."""
        found = await _found(kept, response_id, caller)
        if not _echo_of(found).get("background"):
            raise invalid("Only a response that was asked for with `background` can be cancelled.", param="response_id")
        await kept.cancel(found.turn.id, caller)
        found = await _found(kept, response_id, caller)
        return JSONResponse(_body_of(found, _request_of(found, stream=False, encrypted=False)))


async def _found(kept: Kept, response_id: str, caller: Caller) -> KeptTurn:
    found = await kept.get(turn_id_of(response_id), caller)
    if found is None:
        raise no_such_response()
    return found


def _note_of(found: KeptTurn) -> dict[str, Any]:
    note: dict[str, Any] = orjson.loads(found.note)
    return note


def _echo_of(found: KeptTurn) -> Mapping[str, Any]:
    echo: Mapping[str, Any] = _note_of(found).get("echo") or {}
    return echo


def _request_of(found: KeptTurn, *, stream: bool, encrypted: bool) -> TurnRequest:
    """Make the request anew, as far as the telling needs it."""
    note = _note_of(found)
    note["encrypted"] = encrypted or note.get("encrypted")
    return TurnRequest(model=found.turn.requested_model, messages=(), note=note, stream=stream)


def _body_of(found: KeptTurn, asked: TurnRequest) -> JsonObject:
    started = found.result.started or Started(found.turn.id, found.turn.model, int(found.turn.created_s))
    completed_s = found.turn.ended_s if found.result.ended is not None else None
    return response_body(head_of(started, asked), found.result, completed_s=completed_s)


def _wants_thoughts(request: Request) -> bool:
    query = request.query_params
    return ENCRYPTED in (*query.getlist("include"), *query.getlist("include[]"))


# What it was given


def _add_input(router: APIRouter, kept: Kept) -> None:
    @router.get("/{response_id}/input_items")
    async def list_input_items(
        request: Request,
        response_id: str,
        caller: TurnCaller,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Items at most.")] = DEFAULT_PAGE,
        after: Annotated[str | None, Query(description="The item after which the page begins.")] = None,
        order: Annotated[Literal["asc", "desc"], Query(description="asc: the oldest first.")] = "desc",
    ) -> Response:
        """List what a response was given: the conversation before it, and what was new."""
        found = await _found(kept, response_id, caller)
        encrypted = _wants_thoughts(request)
        items = [
            item
            for entry in await kept.asked(found.turn)
            for item in items_of_message(entry.message, entry.id.replace("-", ""), encrypted=encrypted)
        ]
        return JSONResponse(_page(items if order == "asc" else items[::-1], limit, after))


def _page(items: Sequence[JsonObject], limit: int, after: str | None) -> dict[str, Any]:
    first = 0
    if after is not None:
        first = next((n for n, item in enumerate(items, 1) if item["id"] == after), -1)
        if first < 0:
            raise invalid("`after` names no item of this response's input.", param="after")
    page = items[first : first + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": first + limit < len(items),
    }


# Items that were said before


async def _with_referred_items(body: Mapping[str, Any], kept: Kept, caller: Caller) -> Mapping[str, Any]:
    """Put items in the place of references to them; what is not known is left for the dialect to refuse."""
    sent = body.get("input")
    if not isinstance(sent, list) or not any(_referred(item) for item in sent):
        return body
    turn_ids = {match[1] for item in sent if (match := _ITEM_ID.fullmatch(_referred(item)))}
    if len(turn_ids) > MAX_REFERRED:
        raise invalid(f"`input` refers to the items of more than {MAX_REFERRED} responses.", param="input")
    known: dict[str, JsonObject] = {}
    for turn_id in turn_ids:
        known.update(await _items_by_id(turn_id, kept, caller))
    return {**body, "input": [known.get(_referred(item), item) for item in sent]}


def _referred(item: object) -> str:
    """Name the item that is referred to; an empty name for an item that stands for itself."""
    if not isinstance(item, Mapping):
        return ""
    # The type may be left out.
    refers = item.get("type") == "item_reference" or set(item) == {"id"}
    return str(item.get("id")) if refers else ""


async def _items_by_id(turn_id: str, kept: Kept, caller: Caller) -> dict[str, JsonObject]:
    found = await kept.get(turn_id, caller)
    if found is None:
        return {}
    asked = _request_of(found, stream=False, encrypted=True)
    started = found.result.started or Started(turn_id, "", 0)
    return {str(item["id"]): item for item in items_of(head_of(started, asked), found.result)}
