"""The one border where an error becomes an HTTP answer, in the shape of the path's dialect."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Final

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from claude_code_api.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from claude_code_api.dialects.dialect import Dialect
from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.dialects.openai_completions import OPENAI_COMPLETIONS
from claude_code_api.dialects.openai_responses import OPENAI_RESPONSES
from claude_code_api.flow.ledger import store_refusal
from claude_code_api.flow.ports import StoreError
from claude_code_api.http.methods import allowed_methods
from claude_code_api.http.record import CLIENT_LEFT, record_of
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

# Which dialect answers on which path. A new dialect is one line here.
DIALECTS: Final[dict[str, Dialect]] = {
    "/v1/chat/completions": OPENAI_CHAT,
    "/v1/completions": OPENAI_COMPLETIONS,
    "/v1/messages": ANTHROPIC_MESSAGES,
    "/v1/responses": OPENAI_RESPONSES,
}

_BY_STATUS: Final = {
    404: (ErrorKind.NOT_FOUND, "There is nothing at this path; `GET /` lists what there is."),
    405: (ErrorKind.METHOD_NOT_ALLOWED, "This path does not take this method; `GET /` lists what there is."),
}
_INTERNAL: Final = "The gateway failed; the log line with this answer's x-request-id says why."


def dialect_of(scope: Scope) -> Dialect:
    """Choose the dialect in which a path, and whatever is below it, speaks, also of its errors.

    On paths that belong to none, Anthropic's clients are known by the header that they always send.
    """
    return owner_of(scope) or (ANTHROPIC_MESSAGES if from_anthropics_client(scope) else OPENAI_CHAT)


def owner_of(scope: Scope) -> Dialect | None:
    """The dialect that a path belongs to."""
    path = scope["path"]
    return next((dialect for own, dialect in DIALECTS.items() if path == own or path.startswith(own + "/")), None)


def from_anthropics_client(scope: Scope) -> bool:
    """Whether the request was sent by a client of Anthropic's API."""
    return "anthropic-version" in Headers(scope=scope)


def error_answer(scope: Scope, error: TurnError) -> Response:
    """Answer with an error, and note it in the request's record."""
    record = record_of(scope)
    record.error_kind, record.error_detail = error.kind.value, error.detail or None
    answer = dialect_of(scope).render_error(replace(error, request_id=record.request_id))
    headers = dict(answer.headers)
    if error.kind is ErrorKind.REQUEST_TIMEOUT:
        # What still comes of the body would be read without a limit of time.
        headers["connection"] = "close"
    return Response(
        orjson.dumps(answer.body), status_code=answer.status, headers=headers, media_type="application/json"
    )


async def on_refusal(request: Request, refusal: Exception) -> Response:
    """Answer a `TurnRefusedError` that came up to the border."""
    if not isinstance(refusal, TurnRefusedError):  # pragma: no cover - registered for this class alone
        raise refusal
    return error_answer(request.scope, refusal.error)


async def on_store_error(request: Request, problem: Exception) -> Response:
    """Answer for a database that does not."""
    if not isinstance(problem, StoreError):  # pragma: no cover - registered for this class alone
        raise problem
    return error_answer(request.scope, store_refusal(problem).error)


async def on_status(request: Request, problem: Exception) -> Response:
    """Answer what the router itself refuses."""
    status = getattr(problem, "status_code", 500)
    kind, message = _BY_STATUS.get(status, (ErrorKind.INVALID_REQUEST, "The request cannot be served."))
    answer = error_answer(request.scope, TurnError(kind, message, source="client"))
    answer.headers.update(getattr(problem, "headers", None) or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        # The router knows of the first route alone that has the path.
        answer.headers["allow"] = ", ".join(allowed_methods(request.app, request.scope))
    return answer


async def on_departure(request: Request, _: Exception) -> Response:
    """Note that the client left in the middle of its own request. Nobody is there to read the answer."""
    record_of(request.scope).outcome = CLIENT_LEFT
    return error_answer(
        request.scope, TurnError(ErrorKind.INVALID_REQUEST, "The request is not whole.", source="client")
    )


async def on_bug(request: Request, bug: Exception) -> Response:
    """Answer an exception that nobody foresaw: the client gets a reference, the log gets the reason."""
    return error_answer(request.scope, TurnError(ErrorKind.INTERNAL, _INTERNAL, repr(bug)))
