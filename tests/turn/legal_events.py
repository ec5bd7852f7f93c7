"""Hypothesis strategies for lists of events that keep the order of `turn/order.py`."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

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
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
)

# Any text that UTF-8 can carry, with the troublemakers made frequent.
TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('"\\\n\r\x0b\x85\u2028\u2029😀\u0301'))
)
NAME = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
COUNT = st.integers(0, 10**9)

STARTED = st.builds(Started, NAME, NAME, st.integers(0, 2**31))
USAGE = st.builds(Usage, COUNT, COUNT, COUNT, COUNT, COUNT)
ENDED = st.builds(Ended, st.sampled_from(EndReason))
SOURCE = st.sampled_from(["client", "gateway", "engine", "upstream"])
ERROR = st.builds(TurnError, st.sampled_from(ErrorKind), TEXT.filter(bool), source=SOURCE)
FAILED = st.builds(Failed, ERROR)
APPROVAL = st.one_of(
    st.builds(ApprovalWanted, NAME, NAME, NAME, st.just({})),
    st.builds(ApprovalSettled, NAME, NAME, st.sampled_from(Decision), st.sampled_from(Settler), TEXT),
)
BETWEEN = st.one_of(
    USAGE,
    st.builds(Compacted, TEXT, st.integers(1, 9)),
    st.builds(ToolActivity, NAME, NAME, st.sampled_from(["started", "ended"])),
    APPROVAL,
)


@st.composite
def _part(draw: st.DrawFn) -> Callable[[int], list[TurnEvent]]:
    kind, inside = draw(st.sampled_from(PartKind)), draw(st.lists(st.one_of(TEXT, TEXT, APPROVAL), max_size=4))
    tool_id, tool_name = (draw(NAME), draw(NAME)) if kind is PartKind.TOOL else ("", "")
    return lambda index: [
        PartStarted(index, kind, tool_id, tool_name),
        *(PartDelta(index, one) if isinstance(one, str) else one for one in inside),
        PartEnded(index),
    ]


@st.composite
def _body(draw: st.DrawFn) -> list[TurnEvent]:
    events: list[TurnEvent] = [draw(STARTED)]
    parts = 0
    for step in draw(st.lists(st.one_of(_part(), BETWEEN), max_size=6)):
        if callable(step):
            events += step(parts)
            parts += 1
        else:
            events.append(step)
    return events


@st.composite
def ended_turns(draw: st.DrawFn) -> list[TurnEvent]:
    """Make a turn that ends well."""
    return [*draw(_body()), draw(ENDED)]


@st.composite
def failed_turns(draw: st.DrawFn) -> list[TurnEvent]:
    """Make a turn that fails at any point: before the first event, between parts, inside one."""
    body = draw(_body())
    return [*body[: draw(st.integers(0, len(body)))], draw(FAILED)]


def legal_turns() -> st.SearchStrategy[list[TurnEvent]]:
    """Make any whole turn."""
    return st.one_of(ended_turns(), failed_turns())
