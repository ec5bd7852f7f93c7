"""fold: joining is all it does."""

from __future__ import annotations

from hypothesis import given

from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import (
    ApprovalWanted,
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
from claude_code_api.turn.result import Fold, Part, TurnResult, fold
from tests.turn.legal_events import legal_turns

STARTED = Started("t1", "model", 1)


def test_nothing_folds_to_nothing() -> None:
    assert fold([]) == TurnResult()


def test_a_whole_turn() -> None:
    activity = ToolActivity("i", "Bash", Phase.STARTED)
    approval = ApprovalWanted("a", "i", "Bash", {"command": "ls"})
    result = fold(
        [
            STARTED,
            PartStarted(0, PartKind.THINKING),
            PartDelta(0, "hm"),
            PartEnded(0, signature="sig"),
            activity,
            approval,
            Usage(1, 1),
            PartStarted(1, PartKind.TEXT),
            PartDelta(1, "a "),
            PartDelta(1, " b"),
            PartEnded(1),
            PartStarted(2, PartKind.TOOL, "call_1", "add"),
            PartDelta(2, "{}"),
            PartEnded(2),
            Usage(2, 3, 4, 5, 1, 0.25),
            Ended(EndReason.TOOL_USE),
        ]
    )
    assert result == TurnResult(
        started=STARTED,
        steps=(
            Part(PartKind.THINKING, "hm", signature="sig"),
            activity,
            approval,
            Part(PartKind.TEXT, "a  b"),
            Part(PartKind.TOOL, "{}", "call_1", "add"),
        ),
        usage=Usage(2, 3, 4, 5, 1, 0.25),
        ended=Ended(EndReason.TOOL_USE),
    )
    assert result.activity == (activity, approval)
    assert [part.kind for part in result.parts] == [PartKind.THINKING, PartKind.TEXT, PartKind.TOOL]
    assert result.usage is not None
    assert result.usage.all_input_tokens == 11


def test_a_failure_keeps_what_was_said_and_marks_it_as_cut() -> None:
    error = TurnError(ErrorKind.ENGINE_DIED, "gone")
    result = fold([STARTED, PartStarted(0, PartKind.TEXT), PartDelta(0, "half"), Failed(error)])
    assert result.parts == (Part(PartKind.TEXT, "half", whole=False),)
    assert result.error is error
    assert result.ended is None


def test_a_failure_between_parts_cuts_nothing() -> None:
    result = fold(
        [
            STARTED,
            PartStarted(0, PartKind.TEXT),
            PartEnded(0),
            Failed(TurnError(ErrorKind.INTERRUPTED, "stopped")),
        ]
    )
    assert result.parts == (Part(PartKind.TEXT, ""),)


def test_an_open_part_counts_once_it_is_closed() -> None:
    reducer = Fold()
    for event in (STARTED, PartStarted(0, PartKind.TEXT), PartDelta(0, "x")):
        reducer.push(event)
    assert reducer.result().parts == ()
    reducer.push(PartEnded(0))
    assert reducer.result().text_of(PartKind.TEXT) == "x"


@given(legal_turns())
def test_text_is_the_deltas_end_to_end(events: list[TurnEvent]) -> None:
    result = fold(events)
    said = "".join(event.text for event in events if isinstance(event, PartDelta))
    assert "".join(part.text for part in result.parts) == said
    assert (result.ended is None) != (result.error is None)
