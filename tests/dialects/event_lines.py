"""Golden events: one JSON text a line, as the journal writes them."""

from __future__ import annotations

from pathlib import Path

from claude_code_api.flow.event_text import event_of
from claude_code_api.turn.events import TurnEvent


def load_events(path: Path) -> list[TurnEvent]:
    return [event_of(line) for line in path.read_bytes().split(b"\n") if line]
