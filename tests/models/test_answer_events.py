"""An answer's events → those that the client asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from claude_code_api.models.answer_events import ShapedAnswer
from claude_code_api.models.fitted import AnswerShape, JsonWanted
from claude_code_api.turn.events import (
    Ended,
    EndReason,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    TurnEvent,
    Usage,
)
from claude_code_api.turn.order import Order
from claude_code_api.turn.result import fold

STOP = Ended(EndReason.STOP)


def part(index: int, kind: PartKind, *pieces: str, name: str = "") -> list[TurnEvent]:
    tool = {"tool_id": "t", "tool_name": name} if name else {}
    return [PartStarted(index, kind, **tool), *(PartDelta(index, piece) for piece in pieces), PartEnded(index)]


def whole(*events: TurnEvent) -> list[TurnEvent]:
    return [Started("turn", "m", 1), *events]


def shaped(shape: AnswerShape, events: Sequence[TurnEvent]) -> tuple[list[TurnEvent], ShapedAnswer]:
    answer, order = ShapedAnswer(shape), Order()
    said = [made for event in events for made in answer.push(event)]
    for event in said:
        order.check(event)
    return said, answer


def test_functions_get_their_names_back() -> None:
    said, _ = shaped(AnswerShape(names={"a_b": "a.b"}), whole(*part(0, PartKind.TOOL, "{}", name="a_b"), STOP))
    assert said == whole(*part(0, PartKind.TOOL, "{}", name="a.b"), STOP)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("It is", " blue"), " blue"),
        (("I", "t ", "is", " blue"), " blue"),
        (("It was", " red"), "It was red"),
        ((" blue",), " blue"),
        (("It",), "It"),
        (("It is",), ""),
        ((), ""),
    ],
)
def test_what_the_answer_has_begun_with_is_not_said_twice(pieces: tuple[str, ...], text: str) -> None:
    said, _ = shaped(AnswerShape(begun="It is"), whole(*part(0, PartKind.TEXT, *pieces), STOP))
    assert fold(said).text_of(PartKind.TEXT) == text


def test_only_the_beginning_of_the_answer_can_be_that() -> None:
    events = whole(
        *part(0, PartKind.THINKING, "It is"), *part(1, PartKind.TEXT, "so"), *part(2, PartKind.TEXT, "It is"), STOP
    )
    said, _ = shaped(AnswerShape(begun="It is"), events)
    assert fold(said).text_of(PartKind.TEXT) == "soIt is"
    assert fold(said).text_of(PartKind.THINKING) == "It is"


CHECKED = AnswerShape(json=JsonWanted({"type": "object"}))


def test_json_is_held_to_its_end_and_thoughts_are_not() -> None:
    events = whole(*part(0, PartKind.THINKING, "hm"), *part(1, PartKind.TEXT, "{", "}"), Usage(1, 2), STOP)
    said, answer = shaped(CHECKED, events)
    assert said == whole(*part(0, PartKind.THINKING, "hm"), Usage(1, 2))
    assert (answer.text, answer.end) == ("{}", STOP)
    assert list(answer.finish("{ }")) == [*part(1, PartKind.TEXT, "{ }"), STOP]


@pytest.mark.parametrize(
    ("further", "end"),
    [
        ([], Ended(EndReason.LENGTH)),
        ([], Ended(EndReason.REFUSAL)),
        (part(1, PartKind.TOOL, "{}", name="f"), Ended(EndReason.TOOL_USE)),
    ],
)
def test_what_is_not_meant_to_be_the_json_is_not_checked(further: list[TurnEvent], end: Ended) -> None:
    said, answer = shaped(CHECKED, whole(*part(0, PartKind.TEXT, "let me see"), *further, end))
    assert answer.end is None
    assert said[-1] == end
    assert fold(said).text_of(PartKind.TEXT) == "let me see"
    assert sum(part.kind is PartKind.TOOL for part in fold(said).parts) == len(further[:1])


def test_an_answer_that_is_given_again_is_paid_for_twice() -> None:
    _, answer = shaped(CHECKED, whole(*part(0, PartKind.TEXT, "no"), Usage(10, 5, cost_usd=0.5), STOP))
    answer.again()
    events = [*part(0, PartKind.TEXT, "{}"), Usage(20, 6, cost_usd=0.25), STOP]
    assert [made for event in events for made in answer.push(event)] == [Usage(30, 11, cost_usd=0.75)]
    assert answer.text == "{}"
