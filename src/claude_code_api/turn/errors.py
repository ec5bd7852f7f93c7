"""What can go wrong with a turn: a kind, two messages and a source.

`message` is for the client, `detail` for the log: they are two fields so that nobody can print the wrong one. A
dialect's one table maps each kind to its status, type and code. Adding a kind means extending those tables; a test
walks the enum.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

Source: TypeAlias = Literal["client", "gateway", "engine", "upstream"]


class ErrorKind(Enum):
    """Every way in which a request or a turn can fail."""

    # The request was wrong.
    INVALID_REQUEST = "invalid_request"
    INVALID_JSON = "invalid_json"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    CONFLICT = "conflict"
    BODY_TOO_LARGE = "body_too_large"
    WRONG_MEDIA_TYPE = "wrong_media_type"
    REQUEST_TIMEOUT = "request_timeout"
    MISDIRECTED = "misdirected"
    NOT_SERVED = "not_served"
    CONTEXT_TOO_LONG = "context_too_long"
    # The gateway cannot take it, now.
    RATE_LIMITED = "rate_limited"
    BUDGET_SPENT = "budget_spent"
    AT_CAPACITY = "at_capacity"
    SHUTTING_DOWN = "shutting_down"
    NO_CREDENTIALS = "no_credentials"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_FULL = "store_full"
    # The model's side refused or broke.
    UPSTREAM_INVALID = "upstream_invalid"
    UPSTREAM_AUTH = "upstream_auth"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    UPSTREAM_OVERLOADED = "upstream_overloaded"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    # The turn ended without an answer.
    ENGINE_DIED = "engine_died"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class TurnError:
    """One failure. `param` names the field of the request that is to blame, where one is."""

    kind: ErrorKind
    message: str
    detail: str = ""
    source: Source = "gateway"
    retry_after_s: float | None = None
    param: str | None = None
    # Of the request that failed, once it has come to the border where it is told.
    request_id: str | None = None


class TurnRefusedError(Exception):
    """Carries a `TurnError` up to the border where it becomes an answer."""

    def __init__(self, error: TurnError) -> None:
        """Keep the error; the exception's own text is the private one, for logs."""
        super().__init__(f"{error.kind.value}: {error.message} [{error.detail}]")
        self.error = error


def invalid(message: str, *, param: str | None = None) -> TurnRefusedError:
    """Refuse what the client sent; `message` says what to change."""
    return TurnRefusedError(TurnError(ErrorKind.INVALID_REQUEST, message, source="client", param=param))
