"""Events are written down and read back as they were."""

from __future__ import annotations

import json

import pytest

from claude_code_api.flow.event_text import event_of, event_text
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

EVENTS: list[TurnEvent] = [
    Started("t", "claude", 1),
    PartStarted(0, PartKind.TOOL, "toolu_1", "f"),
    PartDelta(0, 'a "quoted" \x00 \u2028 \U0001f642'),
    PartEnded(0, "signature"),
    ToolActivity("toolu_1", "Bash", Phase.STARTED, {"command": "ls"}),
    ApprovalWanted("a", "toolu_1", "Bash", {"command": "ls"}, {"kind": "command", "command": "ls"}, "Bash(ls)", 3.5),
    ApprovalSettled("a", "toolu_1", Decision.DENY, Settler.TIME, "too late"),
    Compacted("in short", 3),
    Usage(1, 2, 3, 4, 5, 0.25),
    Ended(EndReason.STOP_SEQUENCE, "END"),
    Failed(TurnError(ErrorKind.UPSTREAM_OVERLOADED, "busy", "529", source="upstream", retry_after_s=2.5)),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_there_and_back(event: TurnEvent) -> None:
    assert event_of(event_text(event)) == event


def test_every_kind_is_among_them() -> None:
    assert {type(event) for event in EVENTS} == set(TurnEvent.__args__)


def test_the_text_is_json_that_names_the_event() -> None:
    assert json.loads(event_text(PartDelta(3, "x"))) == {"event": "PartDelta", "index": 3, "text": "x"}
