"""fold(events) → TurnResult: the one reducer, for whole answers, for storage and for tests.

Joining is all it does: the text of a part is its deltas, end to end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Compacted,
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
    # Everything that was said and done, in order.
    steps: tuple[Part | ToolActivity | ApprovalWanted | ApprovalSettled, ...] = ()
    usage: Usage | None = None
    ended: Ended | None = None
    error: TurnError | None = None
    # What became of the conversation before it, if it outgrew the model meanwhile.
    compacted: Compacted | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the model said."""
        return tuple(step for step in self.steps if isinstance(step, Part))

    @property
    def activity(self) -> tuple[ToolActivity | ApprovalWanted | ApprovalSettled, ...]:
        """What the CLI's own tools did."""
        return tuple(step for step in self.steps if not isinstance(step, Part))

    def text_of(self, kind: PartKind) -> str:
        """All parts of one kind, joined without anything between them."""
        return "".join(part.text for part in self.parts if part.kind is kind)


class Fold:
    """Collects events one by one; `result` may be asked for at any time."""

    __slots__ = ("_compacted", "_ended", "_error", "_open", "_pieces", "_started", "_steps", "_usage")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._started: Started | None = None
        self._steps: list[Part | ToolActivity | ApprovalWanted | ApprovalSettled] = []
        self._open: PartStarted | None = None
        self._pieces: list[str] = []
        self._usage: Usage | None = None
        self._ended: Ended | None = None
        self._error: TurnError | None = None
        self._compacted: Compacted | None = None

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
            case ToolActivity() | ApprovalWanted() | ApprovalSettled():
                self._steps.append(event)
            case Compacted():
                self._compacted = event
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
        self._steps.append(Part(opened.kind, text, opened.tool_id, opened.tool_name, signature, whole))
        self._open = None

    def result(self) -> TurnResult:
        """What the events came to so far; an open part counts once it is closed."""
        return TurnResult(
            started=self._started,
            steps=tuple(self._steps),
            usage=self._usage,
            ended=self._ended,
            error=self._error,
            compacted=self._compacted,
        )


def fold(events: Iterable[TurnEvent]) -> TurnResult:
    """Reduce a whole turn."""
    reducer = Fold()
    for event in events:
        reducer.push(event)
    return reducer.result()
