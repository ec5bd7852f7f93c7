"""The legal order of a turn's events, in one table.

    Started (Part | ToolActivity | Compacted | Approval | Usage)* (Ended | Failed)
    Part: PartStarted (PartDelta | Approval)* PartEnded
    Approval: ApprovalWanted | ApprovalSettled

At most one part is open; exactly one terminal event comes, and nothing after it. `Failed` may come at any point, also
before `Started` and inside a part. `Ended` never comes inside a part. A tool may run while the model still speaks, so
questions about it, and their answers, come when they come. The table is checked on every event, in tests
and in production: an engine that breaks it is a bug, and a client must not be the one to find it.
"""

from __future__ import annotations

from enum import Enum

from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Compacted,
    Ended,
    Failed,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
)


class State(Enum):
    """Where a turn stands."""

    WAITING = "waiting"
    BETWEEN = "between parts"
    IN_PART = "in a part"
    OVER = "over"


# A pair that is not here is illegal.
NEXT: dict[State, dict[type[TurnEvent], State]] = {
    State.WAITING: {Started: State.BETWEEN, Failed: State.OVER},
    State.BETWEEN: {
        PartStarted: State.IN_PART,
        ToolActivity: State.BETWEEN,
        Compacted: State.BETWEEN,
        ApprovalWanted: State.BETWEEN,
        ApprovalSettled: State.BETWEEN,
        Usage: State.BETWEEN,
        Ended: State.OVER,
        Failed: State.OVER,
    },
    State.IN_PART: {
        PartDelta: State.IN_PART,
        ApprovalWanted: State.IN_PART,
        ApprovalSettled: State.IN_PART,
        PartEnded: State.BETWEEN,
        Failed: State.OVER,
    },
    State.OVER: {},
}


class OrderError(Exception):
    """An event came where the table has no place for it."""


class Order:
    """Follows one turn through the table."""

    __slots__ = ("_open_index", "_parts", "state")

    def __init__(self) -> None:
        """Wait for the first event."""
        self.state = State.WAITING
        self._open_index = -1
        self._parts = 0

    def check(self, event: TurnEvent) -> None:
        """Take the step that `event` stands for, or raise `OrderError`."""
        kind = type(event)
        following = NEXT[self.state].get(kind)
        if following is None:
            msg = f"{kind.__name__} is not legal {self.state.value}"
            raise OrderError(msg)
        if isinstance(event, (PartStarted, PartDelta, PartEnded)):
            self._check_index(event)
        self.state = following

    def _check_index(self, event: PartStarted | PartDelta | PartEnded) -> None:
        if isinstance(event, PartStarted):
            self._open_index, self._parts = self._parts, self._parts + 1
        if event.index != self._open_index:
            msg = f"{type(event).__name__} has index {event.index}, the open part has {self._open_index}"
            raise OrderError(msg)

    @property
    def over(self) -> bool:
        """Whether the terminal event has come."""
        return self.state is State.OVER
