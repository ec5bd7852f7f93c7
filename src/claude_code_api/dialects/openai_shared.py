"""What all OpenAI dialects say in the same way: errors and usage.

One table gives every `ErrorKind` its status, type and code; mypy cannot see a missing row, a test walks the enum.
"""

from __future__ import annotations

from collections.abc import Mapping

from claude_code_api.dialects.dialect import ErrorAnswer
from claude_code_api.dialects.retry_advice import retry_headers
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Usage
from claude_code_api.turn.request import JsonObject

_INVALID = "invalid_request_error"
_LIMIT = "rate_limit_error"
_SERVER = "server_error"

# (status, type, code). The status decides the class of exception in every client library, and whether it tries again.
ERRORS: Mapping[ErrorKind, tuple[int, str, str]] = {
    ErrorKind.INVALID_REQUEST: (400, _INVALID, "invalid_request"),
    ErrorKind.INVALID_JSON: (400, _INVALID, "invalid_json"),
    ErrorKind.UNAUTHENTICATED: (401, "authentication_error", "invalid_api_key"),
    ErrorKind.FORBIDDEN: (403, "permission_error", "forbidden"),
    ErrorKind.NOT_FOUND: (404, _INVALID, "not_found"),
    ErrorKind.METHOD_NOT_ALLOWED: (405, _INVALID, "method_not_allowed"),
    ErrorKind.MODEL_NOT_FOUND: (404, _INVALID, "model_not_found"),
    ErrorKind.CONFLICT: (409, _INVALID, "conflict"),
    ErrorKind.BODY_TOO_LARGE: (413, _INVALID, "body_too_large"),
    ErrorKind.WRONG_MEDIA_TYPE: (415, _INVALID, "wrong_media_type"),
    ErrorKind.REQUEST_TIMEOUT: (408, _INVALID, "request_timeout"),
    ErrorKind.MISDIRECTED: (421, _INVALID, "misdirected"),
    ErrorKind.NOT_SERVED: (501, _SERVER, "not_served"),
    ErrorKind.CONTEXT_TOO_LONG: (400, _INVALID, "context_length_exceeded"),
    ErrorKind.RATE_LIMITED: (429, _LIMIT, "rate_limit_exceeded"),
    # The type and code that people's tools know as "no use in trying again".
    ErrorKind.BUDGET_SPENT: (429, "insufficient_quota", "insufficient_quota"),
    ErrorKind.AT_CAPACITY: (429, _LIMIT, "at_capacity"),
    ErrorKind.SHUTTING_DOWN: (503, _SERVER, "shutting_down"),
    ErrorKind.NO_CREDENTIALS: (503, _SERVER, "no_credentials"),
    ErrorKind.ENGINE_UNAVAILABLE: (503, _SERVER, "engine_unavailable"),
    ErrorKind.STORE_UNAVAILABLE: (503, _SERVER, "store_unavailable"),
    ErrorKind.STORE_FULL: (507, _SERVER, "store_full"),
    ErrorKind.UPSTREAM_INVALID: (400, _INVALID, "upstream_invalid"),
    # Not 401: the client's own key was right, and a client that is told otherwise asks its user for another one.
    ErrorKind.UPSTREAM_AUTH: (502, _SERVER, "upstream_auth"),
    ErrorKind.UPSTREAM_RATE_LIMITED: (429, _LIMIT, "upstream_rate_limited"),
    ErrorKind.UPSTREAM_OVERLOADED: (503, _SERVER, "upstream_overloaded"),
    ErrorKind.UPSTREAM_ERROR: (502, _SERVER, "upstream_error"),
    ErrorKind.UPSTREAM_TIMEOUT: (504, _SERVER, "upstream_timeout"),
    ErrorKind.ENGINE_DIED: (502, _SERVER, "engine_died"),
    # Not nginx's 499: clients that turn a status into an enum fail on it.
    ErrorKind.INTERRUPTED: (503, _SERVER, "interrupted"),
    ErrorKind.INTERNAL: (500, _SERVER, "internal_error"),
}


def error_body(error: TurnError) -> JsonObject:
    """Say an error in OpenAI's shape. All four keys are strings but `param`: typed clients drop the message else."""
    _, kind, code = ERRORS[error.kind]
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}


def error_answer(error: TurnError) -> ErrorAnswer:
    """Say an error as a whole answer."""
    return ErrorAnswer(ERRORS[error.kind][0], error_body(error), retry_headers(error))


def usage_body(usage: Usage) -> JsonObject:
    """Say usage; a client in Swift drops all of it when `audio_tokens` or `cached_tokens` is missing."""
    return {
        "prompt_tokens": usage.all_input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.all_input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_creation_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
