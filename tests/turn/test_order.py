"""The order table against the grammar in its own docstring, written a second time as a regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.turn.approvals import Decision, Settler
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import (
    ApprovalSettled,
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
from claude_code_api.turn.order import Order, OrderError, State
from tests.turn.legal_events import ended_turns, legal_turns

EXAMPLES: dict[str, TurnEvent] = {
    "S": Started("t", "m", 1),
    "P": PartStarted(0, PartKind.TEXT),
    "D": PartDelta(0, "x"),
    "E": PartEnded(0),
    "T": ToolActivity("i", "Bash", Phase.STARTED),
    "A": ApprovalWanted("a", "i", "Bash", {}),
    "Z": ApprovalSettled("a", "i", Decision.ALLOW, Settler.PERSON),
    "U": Usage(),
    "X": Ended(EndReason.STOP),
    "F": Failed(TurnError(ErrorKind.INTERNAL, "broken")),
}
WHOLE = re.compile(r"F|S(P[DAZ]*E|[TAZU])*(X|F|P[DAZ]*F)")


def accepted(events: Sequence[TurnEvent]) -> bool:
    """Whether the table takes all of them and calls the turn over."""
    order = Order()
    try:
        for event in events:
            order.check(event)
    except OrderError:
        return False
    return order.over


def spelled(letters: str) -> list[TurnEvent]:
    """Events for letters, with the index that each would have in a legal turn."""
    events, index = list[TurnEvent](), -1
    for letter in letters:
        index += letter == "P"
        match letter:
            case "P":
                events.append(PartStarted(index, PartKind.TEXT))
            case "D":
                events.append(PartDelta(index, "x"))
            case "E":
                events.append(PartEnded(index))
            case _:
                events.append(EXAMPLES[letter])
    return events


@given(legal_turns())
def test_every_legal_turn_is_accepted(events: list[TurnEvent]) -> None:
    assert accepted(events)


@given(st.text("SPDETAZUXF", max_size=9))
def test_the_table_is_the_grammar(letters: str) -> None:
    assert accepted(spelled(letters)) == bool(WHOLE.fullmatch(letters))


@given(
    st.lists(st.sampled_from(["PE", "PDE", "PADZE", "T", "A", "Z", "U"]), max_size=5),
    st.sampled_from("SPDETAZUXF"),
    st.data(),
)
def test_one_event_too_many_is_accepted_only_where_the_grammar_has_a_place(
    steps: list[str], extra: str, data: st.DataObject
) -> None:
    letters = "S" + "".join(steps) + "X"
    at = data.draw(st.integers(0, len(letters)))
    letters = letters[:at] + extra + letters[at:]
    assert accepted(spelled(letters)) == bool(WHOLE.fullmatch(letters))


Mutation = Callable[[list[TurnEvent]], list[TurnEvent]]
MUTATIONS: dict[str, Mutation] = {
    "no start": lambda events: events[1:],
    "two starts": lambda events: [events[0], *events],
    "two ends": lambda events: [*events, events[-1]],
    "failed after the end": lambda events: [*events, EXAMPLES["F"]],
    "usage after the end": lambda events: [*events, Usage()],
    "no end": lambda events: events[:-1],
    "end inside a part": lambda events: [*events[:-1], PartStarted(_parts(events), PartKind.TEXT), events[-1]],
    "part inside a part": lambda events: [
        events[0],
        PartStarted(0, PartKind.TEXT),
        PartStarted(1, PartKind.TEXT),
        *events[1:],
    ],
    "delta of no part": lambda events: [events[0], PartDelta(0, "x"), *events[1:]],
    "index skipped": lambda events: [*events[:-1], PartStarted(_parts(events) + 1, PartKind.TEXT)],
    "delta of another part": lambda events: [
        *events[:-1],
        PartStarted(_parts(events), PartKind.TEXT),
        PartDelta(_parts(events) + 1, "x"),
    ],
    "end of another part": lambda events: [
        *events[:-1],
        PartStarted(_parts(events), PartKind.TEXT),
        PartEnded(_parts(events) - 1),
        events[-1],
    ],
}


def _parts(events: list[TurnEvent]) -> int:
    return sum(isinstance(event, PartStarted) for event in events)


@pytest.mark.parametrize("name", MUTATIONS)
@given(events=ended_turns())
def test_every_mutation_is_refused(name: str, events: list[TurnEvent]) -> None:
    assert not accepted(MUTATIONS[name](events))


def test_the_refusal_says_what_came_and_where() -> None:
    order = Order()
    with pytest.raises(OrderError, match="PartDelta is not legal waiting"):
        order.check(PartDelta(0, "x"))
    order.check(EXAMPLES["S"])
    with pytest.raises(OrderError, match="PartStarted has index 3, the open part has 0"):
        order.check(PartStarted(3, PartKind.TEXT))


def test_a_refused_event_changes_no_state() -> None:
    order = Order()
    with pytest.raises(OrderError):
        order.check(Usage())
    assert order.state is State.WAITING
    assert not order.over
