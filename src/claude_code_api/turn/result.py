"""fold(events) → TurnResult: the one reducer, for whole answers, for storage and for tests.

Joining is all it does: the text of a part is its deltas, end to end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.events import (
    ApprovalWanted,
    Ended,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Part:
    """One finished (or, in a failed turn, cut) part of the answer."""

    kind: PartKind
    text: str
    tool_id: str = ""
    tool_name: str = ""
    signature: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What a turn came to. Exactly one of `ended` and `error` is set once it is over."""

    started: Started | None = None
    parts: tuple[Part, ...] = ()
    activity: tuple[ToolActivity | ApprovalWanted, ...] = ()
    usage: Usage | None = None
    ended: Ended | None = None
    error: TurnError | None = None

    def text_of(self, kind: PartKind) -> str:
        """All parts of one kind, joined without anything between them."""
        return "".join(part.text for part in self.parts if part.kind is kind)


class Fold:
    """Collects events one by one; `result` may be asked for at any time."""

    __slots__ = ("_activity", "_ended", "_error", "_open", "_parts", "_pieces", "_started", "_usage")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._started: Started | None = None
        self._parts: list[Part] = []
        self._open: PartStarted | None = None
        self._pieces: list[str] = []
        self._activity: list[ToolActivity | ApprovalWanted] = []
        self._usage: Usage | None = None
        self._ended: Ended | None = None
        self._error: TurnError | None = None

    def push(self, event: TurnEvent) -> None:
        """Take one event."""
        match event:
            case PartDelta():
                self._pieces.append(event.text)
            case PartStarted():
                self._open, self._pieces = event, []
            case PartEnded():
                self._close(event.signature, whole=True)
            case Started():
                self._started = event
            case ToolActivity() | ApprovalWanted():
                self._activity.append(event)
            case Usage():
                self._usage = event
            case Ended():
                self._ended = event
            case Failed():  # pragma: no branch (the union ends here; mypy proves it)
                self._close("", whole=False)
                self._error = event.error

    def _close(self, signature: str, *, whole: bool) -> None:
        opened = self._open
        if opened is None:
            return
        text = "".join(self._pieces)
        self._parts.append(Part(opened.kind, text, opened.tool_id, opened.tool_name, signature, whole))
        self._open = None

    def result(self) -> TurnResult:
        """What the events came to so far; an open part counts once it is closed."""
        return TurnResult(
            started=self._started,
            parts=tuple(self._parts),
            activity=tuple(self._activity),
            usage=self._usage,
            ended=self._ended,
            error=self._error,
        )


def fold(events: Iterable[TurnEvent]) -> TurnResult:
    """Reduce a whole turn."""
    reducer = Fold()
    for event in events:
        reducer.push(event)
    return reducer.result()
