"""What is known of one request by the time it is answered: the fields of the canonical log line, and no others.

No prompt, no answer and no key has a field here, so none can be logged by accident.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from starlette.types import Scope

from claude_code_api.turn.events import Usage

CLIENT_LEFT: Final = "client_left"
_KEY: Final = "claude_code_api.record"
# A client chooses the name of the model, and a line is no place for a megabyte.
_MAX_CHARS: Final = 1000


@dataclass(slots=True)
class RequestRecord:
    """One request. Fields that stay None are left out of the line."""

    request_id: str
    method: str
    path: str
    status: int | None = None
    key_name: str | None = None
    dialect: str | None = None
    model: str | None = None
    claude_model: str | None = None
    turn_id: str | None = None
    session_id: str | None = None
    outcome: str | None = None
    error_kind: str | None = None
    error_detail: str | None = None
    first_token_ms: float | None = None
    total_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    def add_usage(self, usage: Usage | None) -> None:
        """Add what a turn used."""
        if usage is None:
            return
        self.input_tokens = (self.input_tokens or 0) + usage.all_input_tokens
        self.output_tokens = (self.output_tokens or 0) + usage.output_tokens
        if usage.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + usage.cost_usd

    def line(self) -> dict[str, object]:
        """The fields that have a value."""
        found = ((name, getattr(self, name)) for name in _FIELDS)
        return {
            name: value[:_MAX_CHARS] if isinstance(value, str) else value for name, value in found if value is not None
        }


_FIELDS: Final = tuple(field.name for field in fields(RequestRecord))


def attach(scope: Scope, record: RequestRecord) -> None:
    """Let the record travel with the request."""
    scope[_KEY] = record


def record_of(scope: Scope) -> RequestRecord:
    """Find the request's record."""
    record = scope[_KEY]
    if not isinstance(record, RequestRecord):  # pragma: no cover - request_log.py is always outermost
        raise TypeError(_KEY)
    return record
