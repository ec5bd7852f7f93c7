"""A body or a query that is not what an endpoint takes → an error that names the field, and never what was in it."""

from __future__ import annotations

from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from claude_code_api.http.errors import error_answer, owner_of
from claude_code_api.turn.errors import ErrorKind, TurnError


async def on_invalid(request: Request, problem: Exception) -> Response:
    """Answer the framework's validation error."""
    if not isinstance(problem, RequestValidationError):  # pragma: no cover - registered for this class alone
        raise problem
    first, *others = problem.errors()
    place, *path = first["loc"]
    field = ".".join(map(str, path)) or str(place)
    also = f" ({len(others)} more)" if others else ""
    error = TurnError(ErrorKind.INVALID_REQUEST, f"`{field}`: {first['msg']}{also}", source="client", param=field)
    answer = error_answer(request.scope, error)
    if owner_of(request.scope) is None:
        # The vendors' own APIs say 400, and so do their dialects.
        answer.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return answer
