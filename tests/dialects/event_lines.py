"""Turn events as JSON lines, under the names of the classes: {"event": "PartDelta", "index": 0, "text": "hello"}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from claude_code_api.turn import events as vocabulary
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import EndReason, PartKind, TurnEvent


def load_events(path: Path) -> list[TurnEvent]:
    return [_event(orjson.loads(line)) for line in path.read_bytes().split(b"\n") if line]


def _event(fields: dict[str, Any]) -> TurnEvent:
    name = fields.pop("event")
    match name:
        case "PartStarted":
            fields["kind"] = PartKind(fields["kind"])
        case "Ended":
            fields["reason"] = EndReason(fields["reason"])
        case "Failed":
            error = fields["error"]
            fields["error"] = TurnError(**{**error, "kind": ErrorKind(error["kind"])})
        case _:
            pass
    made: TurnEvent = getattr(vocabulary, name)(**fields)
    return made
