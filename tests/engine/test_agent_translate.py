"""An agent's turn: it says something, calls its own tools, hears of them, and goes on."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from claude_code_api.engine.agent_translate import AgentTranslator
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import (
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
from tests.engine.frames import (
    Line,
    aborted,
    closed,
    delta,
    heard,
    opened,
    over,
    result,
    start,
    stopped,
    text,
    translated,
)

CALLED = ToolActivity("toolu_1", "Read", Phase.STARTED, {"path": "a"})
HEARD = ToolActivity(
    "toolu_1", "Read", Phase.ENDED, {"content": "text of a", "is_error": False, "result": {"type": "text"}}
)


def calling(call: str, name: str, *pieces: str) -> list[Line]:
    arguments = [delta("input_json_delta", partial_json=piece) for piece in pieces]
    return [opened("tool_use", id=call, name=name, input={}), *arguments, closed()]


def saying(words: str) -> list[Line]:
    return [opened(), text(words), closed()]


def told(*lines: Line) -> list[TurnEvent]:
    return translated(lines, AgentTranslator("turn-1", 7))


def shapes(events: list[TurnEvent]) -> list[TurnEvent]:
    return [event for event in events if not isinstance(event, Usage)]


WORK = [
    start(input_tokens=10, output_tokens=1),
    *saying("Looking. "),
    *calling("toolu_1", "Read", '{"pa', 'th": "a"}'),
    stopped("tool_use", output_tokens=5),
    over(),
    heard("toolu_1", "text of a", account={"type": "text"}),
    start(input_tokens=20, output_tokens=1, cache_read_input_tokens=3),
    *saying("It says a."),
    stopped("end_turn", output_tokens=7),
    over(),
]


def test_words_and_work_in_their_order() -> None:
    assert shapes(told(*WORK, result())) == [
        Started("turn-1", "claude-x", 7),
        PartStarted(0, PartKind.TEXT),
        PartDelta(0, "Looking. "),
        PartEnded(0),
        CALLED,
        HEARD,
        PartStarted(1, PartKind.TEXT),
        PartDelta(1, "It says a."),
        PartEnded(1),
        Ended(EndReason.STOP),
    ]


def test_who_wants_to_know_hears_which_calls_were_denied() -> None:
    refused: list[str] = []
    listed = [{"tool_name": "Write", "tool_use_id": "toolu_2", "tool_input": {}}, {"tool_use_id": "toolu_3"}, "?"]
    events = translated([*WORK, result(permission_denials=listed)], AgentTranslator("turn-1", 7, denied=refused.append))
    assert events == told(*WORK, result())
    assert refused == ["toolu_2", "toolu_3"]


def test_tokens_of_every_step_are_added_up() -> None:
    cost: dict[str, Any] = {"model_usage_since_last_result": {"claude-x": {"costUSD": 0.5}}}
    usages = [event for event in told(*WORK, result(**cost)) if isinstance(event, Usage)]
    assert usages[0] == Usage(10, 1)
    assert usages[-2] == Usage(30, 12, 3)
    assert usages[-1] == Usage(30, 12, 3, cost_usd=0.5)


def test_several_calls_at_once() -> None:
    events = shapes(
        told(
            start(),
            *calling("toolu_1", "Read", "{}"),
            *calling("toolu_2", "Write"),
            stopped("tool_use"),
            heard("toolu_1", "x"),
            heard("toolu_2", [{"type": "text", "text": "denied"}], failed=True),
        )
    )
    assert [(event.tool_name, event.phase, event.body.get("is_error")) for event in events[1:]] == [  # type: ignore[union-attr]
        ("Read", Phase.STARTED, None),
        ("Write", Phase.STARTED, None),
        ("Read", Phase.ENDED, False),
        ("Write", Phase.ENDED, True),
    ]


def test_arguments_that_cannot_be_read_are_kept() -> None:
    (_, call) = shapes(told(start(), *calling("toolu_1", "Read", '{"pa')))
    assert call == ToolActivity("toolu_1", "Read", Phase.STARTED, {"unreadable": '{"pa'})


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ([aborted()], ErrorKind.INTERRUPTED),
        ([result(is_error=True, api_error_status=529)], ErrorKind.UPSTREAM_OVERLOADED),
        ([result(subtype="error_max_turns", is_error=True)], ErrorKind.UPSTREAM_ERROR),
        ([result()], ErrorKind.UPSTREAM_ERROR),
    ],
)
def test_a_turn_that_did_not_come_to_an_answer_failed(lines: list[Line], kind: ErrorKind) -> None:
    events = told(*WORK[:9], *lines)
    end = events[-1]
    assert isinstance(end, Failed)
    assert end.error.kind is kind
    assert HEARD in events or CALLED in events


def test_a_refusal_is_an_end() -> None:
    events = told(start(), *saying("No."), stopped("refusal"), over(), result(is_error=True, subtype="success"))
    assert events[-1] == Ended(EndReason.REFUSAL)


def test_a_cut_answer_is_not_taken_for_a_whole_one() -> None:
    events = told(start(), *saying("It"), stopped("max_tokens"), over(), result())
    assert events[-1] == Ended(EndReason.LENGTH)


class TestCut:
    """The model came to its `max_tokens`; the CLI would ask it again by itself."""

    def told(self, *lines: Line) -> tuple[list[TurnEvent], AgentTranslator, list[str]]:
        """What is told of lines, and who heard of the cut."""
        heard_of: list[str] = []
        translator = AgentTranslator("turn-1", 7, cut=lambda: heard_of.append("cut"))
        return shapes(translated(lines, translator)), translator, heard_of

    @pytest.mark.parametrize("after", [[], WORK[:8]])
    def test_in_the_middle_of_words(self, after: list[Line]) -> None:
        before, _, heard_early = self.told(*after)
        assert heard_early == []
        events, translator, heard_of = self.told(*after, start(), *saying("Half"), stopped("max_tokens"))
        assert translator.cut_short
        assert heard_of == ["cut"]
        assert events[len(before) :][-2:] == [PartDelta(len(after) // 8, "Half"), PartEnded(len(after) // 8)]
        again = [start(message_id="msg_9"), *saying("And on."), stopped("end_turn")]
        for end in (aborted(), result(), result(is_error=True, api_error_status=400)):
            lines = [*after, start(), *saying("Half"), stopped("max_tokens"), *again, end]
            assert self.told(*lines)[0] == [*events, Ended(EndReason.LENGTH)], "nothing of what the CLI went on to ask"

    @pytest.mark.parametrize("pieces", [('{"path": "a"}',), ('{"pa',), ()])
    def test_in_the_middle_of_a_call(self, pieces: tuple[str, ...]) -> None:
        lines = [start(), *saying("So."), *calling("toolu_1", "Read", *pieces), stopped("max_tokens"), over()]
        events, translator, heard_of = self.told(*lines, aborted())
        assert (translator.cut_short, heard_of) == (True, ["cut"])
        assert isinstance(events[-2], ToolActivity)
        assert events[-1] == Ended(EndReason.LENGTH)
        refused = heard("toolu_1", "not done", failed=True)
        answered, _, _ = self.told(*lines, refused, aborted())
        assert answered[-2:] == [
            ToolActivity("toolu_1", "Read", Phase.ENDED, {"content": "not done", "is_error": True, "result": None}),
            Ended(EndReason.LENGTH),
        ]

    def test_what_it_used_is_told(self) -> None:
        cost: dict[str, Any] = {"model_usage_since_last_result": {"claude-x": {"costUSD": 0.5}}}
        end = {**aborted(), **cost}
        events = told(start(input_tokens=3), *saying("Half"), stopped("max_tokens", output_tokens=2), end)
        assert events[-2:] == [Usage(3, 2, cost_usd=0.5), Ended(EndReason.LENGTH)]

    def test_whoever_is_not_cut_goes_on(self) -> None:
        _, translator, heard_of = self.told(*WORK, result())
        assert (translator.cut_short, heard_of) == (False, [])


def test_what_a_sub_agent_or_a_stranger_hears_is_nobodys() -> None:
    translator = AgentTranslator("turn-1", 7)
    lines: list[Any] = [heard("toolu_9", "x")]
    assert translated(lines, translator) == []
    assert translator.unread == 1


class TestOutgrown:
    """The model says that the conversation is too long; the CLI sums it up and asks again."""

    PLACES: ClassVar = {"u0": 0, "u1": 1, "u3": 3, "": 4}
    SUMMARY: ClassVar[Line] = {
        "type": "user",
        "isSynthetic": True,
        "message": {"role": "user", "content": [{"type": "text", "text": "In short."}]},
    }

    @staticmethod
    def boundary(*kept: str) -> Line:
        found = {"preserved_messages": {"uuids": list(kept)}}
        return {"type": "system", "subtype": "compact_boundary", "compact_metadata": found}

    def told(self, *lines: Line) -> list[TurnEvent]:
        return translated(lines, AgentTranslator("turn-1", 7, self.PLACES))

    def test_before_its_first_word(self) -> None:
        lines = (self.boundary("u1", "u3", "x"), self.SUMMARY, start(), *saying("a"), stopped(), over(), result())
        assert shapes(self.told(*lines))[:2] == [Started("turn-1", "claude-x", 7), Compacted("In short.", 1)]

    def test_in_the_middle_of_its_work(self) -> None:
        events = shapes(self.told(*WORK[:8], self.boundary("u3", "y"), self.SUMMARY, *WORK[8:], result()))
        assert events[5:8] == [HEARD, Compacted("In short.", 3), PartStarted(1, PartKind.TEXT)]
        assert events[-1] == Ended(EndReason.STOP)

    def test_a_cut_within_the_turn_keeps_the_turn_whole(self) -> None:
        events = self.told(*WORK[:8], self.boundary("y", "z"), self.SUMMARY, *WORK[8:], result())
        assert Compacted("In short.", 4) in events

    def test_the_summary_is_paid_for(self) -> None:
        counted = {"inputTokens": 500, "outputTokens": 60, "cacheReadInputTokens": 3, "costUSD": 0.5}
        usage: dict[str, Any] = {"model_usage_since_last_result": {"claude-x": counted}}
        events = self.told(self.boundary("u1"), self.SUMMARY, *WORK, result(**usage))
        assert events[-2] == Usage(500, 60, 3, cost_usd=0.5)

    @pytest.mark.parametrize("lines", [(SUMMARY,), ({"type": "system", "subtype": "compact_boundary"}, SUMMARY)])
    def test_a_summary_of_nothing_is_none(self, lines: tuple[Line, ...]) -> None:
        translator = AgentTranslator("turn-1", 7)
        events = translated([*lines, *WORK, result()], translator)
        assert not [event for event in events if isinstance(event, Compacted)]
        assert translator.unread == 1


def test_a_tool_that_is_done_before_the_model_is() -> None:
    events = shapes(
        told(
            start(),
            *calling("toolu_1", "Read", "{}"),
            opened(),
            text("And "),
            heard("toolu_1", "text of a", account={"type": "text"}),
            text("now."),
            closed(),
            stopped("tool_use"),
            over(),
            start(),
            *saying("Done."),
            stopped("end_turn"),
            over(),
            result(),
        )
    )
    assert events[2:6] == [
        PartStarted(0, PartKind.TEXT),
        PartDelta(0, "And "),
        PartDelta(0, "now."),
        PartEnded(0),
    ]
    assert events[6] == HEARD
    assert events[-1] == Ended(EndReason.STOP)


def test_a_call_that_is_refused_while_it_is_still_being_told() -> None:
    *saying_it, end_of_it = calling("toolu_1", "Read", '{"path": "a"}')
    refusal = heard("toolu_1", "text of a", account={"type": "text"})
    events = shapes(told(start(), *saying_it, refusal, end_of_it, stopped("tool_use")))
    assert events[1:] == [CALLED, HEARD], "first the call, then what it came to"
