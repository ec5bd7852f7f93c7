"""Events ↔ JSON texts, for the journal: `{"event": "PartDelta", "index": 0, "text": "hello"}`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from claude_code_api.turn.approvals import Decision, Settler
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Compacted,
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Phase,
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
)

_KINDS: Final = (
    Started,
    PartStarted,
    PartDelta,
    PartEnded,
    ToolActivity,
    Compacted,
    ApprovalSettled,
    ApprovalWanted,
    Usage,
    Ended,
    Failed,
)
_OPENINGS: Final = {kind: f'{{"event":"{kind.__name__}",' for kind in _KINDS}
_BY_NAME: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in _KINDS}


def event_text(event: TurnEvent) -> str:
    """Write an event."""
    return _OPENINGS[type(event)] + orjson.dumps(event).decode()[1:]


def event_of(text: str | bytes) -> TurnEvent:
    """Read an event back."""
    fields = orjson.loads(text)
    name = fields.pop("event")
    for field, read in _READ.get(name, {}).items():
        fields[field] = read(fields[field])
    made: TurnEvent = _BY_NAME[name](**fields)
    return made


def _error(fields: dict[str, Any]) -> TurnError:
    return TurnError(**{**fields, "kind": ErrorKind(fields["kind"])})


# What is more than a JSON value.
_READ: Final[dict[str, dict[str, Callable[[Any], Any]]]] = {
    "PartStarted": {"kind": PartKind},
    "ToolActivity": {"phase": Phase},
    "ApprovalSettled": {"decision": Decision, "by": Settler},
    "Ended": {"reason": EndReason},
    "Failed": {"error": _error},
}
