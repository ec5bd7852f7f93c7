"""How the Anthropic dialect says errors: one table gives every `ErrorKind` its status and type.

mypy cannot see a missing row, a test walks the enum.
"""

from __future__ import annotations

from collections.abc import Mapping

from claude_code_api.dialects.dialect import ErrorAnswer
from claude_code_api.dialects.retry_advice import retry_headers
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.request import JsonObject

_INVALID = "invalid_request_error"
_NOT_FOUND = "not_found_error"
_LIMIT = "rate_limit_error"
_OVERLOADED = "overloaded_error"
_API = "api_error"
_TIMEOUT = "timeout_error"

# (status, type). The status decides the class of exception in every client library, and whether it tries again.
ERRORS: Mapping[ErrorKind, tuple[int, str]] = {
    ErrorKind.INVALID_REQUEST: (400, _INVALID),
    ErrorKind.INVALID_JSON: (400, _INVALID),
    ErrorKind.UNAUTHENTICATED: (401, "authentication_error"),
    ErrorKind.FORBIDDEN: (403, "permission_error"),
    ErrorKind.NOT_FOUND: (404, _NOT_FOUND),
    ErrorKind.METHOD_NOT_ALLOWED: (405, _INVALID),
    ErrorKind.MODEL_NOT_FOUND: (404, _NOT_FOUND),
    ErrorKind.CONFLICT: (409, "conflict_error"),
    ErrorKind.BODY_TOO_LARGE: (413, "request_too_large"),
    ErrorKind.WRONG_MEDIA_TYPE: (415, _INVALID),
    ErrorKind.REQUEST_TIMEOUT: (408, _TIMEOUT),
    ErrorKind.MISDIRECTED: (421, _INVALID),
    ErrorKind.NOT_SERVED: (501, _API),
    ErrorKind.CONTEXT_TOO_LONG: (400, _INVALID),
    ErrorKind.RATE_LIMITED: (429, _LIMIT),
    ErrorKind.BUDGET_SPENT: (429, "billing_error"),
    ErrorKind.AT_CAPACITY: (429, _LIMIT),
    ErrorKind.SHUTTING_DOWN: (503, _OVERLOADED),
    ErrorKind.NO_CREDENTIALS: (503, _API),
    ErrorKind.ENGINE_UNAVAILABLE: (503, _API),
    ErrorKind.STORE_UNAVAILABLE: (503, _API),
    ErrorKind.STORE_FULL: (507, _API),
    ErrorKind.STORE_UNAVAILABLE: (503, _API),
    ErrorKind.STORE_FULL: (507, _API),
    ErrorKind.UPSTREAM_INVALID: (400, _INVALID),
    # Not 401: the client's own key was right, and a client that is told otherwise asks its user for another one.
    ErrorKind.UPSTREAM_AUTH: (502, _API),
    ErrorKind.UPSTREAM_RATE_LIMITED: (429, _LIMIT),
    ErrorKind.UPSTREAM_OVERLOADED: (529, _OVERLOADED),
    ErrorKind.UPSTREAM_ERROR: (502, _API),
    ErrorKind.UPSTREAM_TIMEOUT: (504, _TIMEOUT),
    ErrorKind.ENGINE_DIED: (502, _API),
    ErrorKind.INTERRUPTED: (503, _API),
    ErrorKind.INTERNAL: (500, _API),
}

# Clients of this dialect know a full context by these words, and shorten the conversation then.
_TOO_LONG = "prompt is too long: "

# What the official clients are told beside the words, by the field that cannot be served: they then go on without it.
_DETAILS: Mapping[str, JsonObject] = {
    "thread": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
}


def error_body(error: TurnError, request_id: str | None) -> JsonObject:
    """Say an error in Anthropic's shape."""
    message = (_TOO_LONG if error.kind is ErrorKind.CONTEXT_TOO_LONG else "") + error.message
    told = _DETAILS.get(error.param or "") if error.kind is ErrorKind.INVALID_REQUEST else None
    details: JsonObject = {} if told is None else {"details": told}
    return {
        "type": "error",
        "error": {"type": ERRORS[error.kind][1], "message": message, **details},
        "request_id": request_id,
    }


def error_answer(error: TurnError) -> ErrorAnswer:
    """Say an error as a whole answer."""
    return ErrorAnswer(ERRORS[error.kind][0], error_body(error, error.request_id), retry_headers(error))
