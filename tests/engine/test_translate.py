"""Dialogues of frames and the events that come of them."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.engine.agent_translate import AgentTranslator
from claude_code_api.engine.translate import Translator
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import (
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    TurnEvent,
    Usage,
)
from tests.engine.frames import (
    Line,
    aborted,
    closed,
    delta,
    hooked,
    opened,
    over,
    result,
    says,
    start,
    stepped,
    stopped,
    stream,
    synthetic,
    text,
    translated,
)

BEGUN = Started("turn-1", "claude-x", 7)
A = [PartStarted(0, PartKind.TEXT), PartDelta(0, "a"), PartEnded(0)]


def shapes(events: list[TurnEvent]) -> list[TurnEvent]:
    """The events without the figures."""
    return [event for event in events if not isinstance(event, Usage)]


def failed(events: list[TurnEvent]) -> Failed:
    end = events[-1]
    assert isinstance(end, Failed)
    return end


def test_a_text_is_told_delta_by_delta() -> None:
    events = translated(says("Hel", "", "lo\u2028"))
    assert events == [
        BEGUN,
        Usage(3, 1),
        PartStarted(0, PartKind.TEXT),
        PartDelta(0, "Hel"),
        PartDelta(0, "lo\u2028"),
        PartEnded(0),
        Usage(3, 2),
        Ended(EndReason.STOP),
    ]


def test_each_event_comes_with_its_own_frame() -> None:
    translator = Translator("turn-1", 7)
    told = [translated([line], translator) for line in says("a")]
    assert [len(events) for events in told] == [2, 1, 1, 1, 0, 0, 2]


def test_thinking_brings_its_signature_and_a_call_its_arguments() -> None:
    lines = [
        start(),
        opened("thinking", thinking="", signature=""),
        delta("thinking_delta", thinking="hm"),
        delta("signature_delta", signature="c2"),
        delta("signature_delta", signature="ln"),
        closed(),
        opened("redacted_thinking", data="x"),
        closed(),
        opened(),
        text("I'll look"),
        closed(),
        opened("tool_use", id="toolu_1", name="look"),
        delta("input_json_delta", partial_json='{"a"'),
        delta("input_json_delta", partial_json=":1}"),
        closed(),
        stopped("tool_use"),
        over(),
        stepped(),
    ]
    translator = Translator("turn-1", 7)
    assert shapes(translated(lines, translator)) == [
        BEGUN,
        PartStarted(0, PartKind.THINKING),
        PartDelta(0, "hm"),
        PartEnded(0, "c2ln"),
        PartStarted(1, PartKind.REDACTED),
        PartDelta(1, "x"),
        PartEnded(1),
        PartStarted(2, PartKind.TEXT),
        PartDelta(2, "I'll look"),
        PartEnded(2),
        PartStarted(3, PartKind.TOOL, "toolu_1", "look"),
        PartDelta(3, '{"a"'),
        PartDelta(3, ":1}"),
        PartEnded(3),
        Ended(EndReason.TOOL_USE),
    ]
    assert translator.unread == 0


@pytest.mark.parametrize(
    ("reason", "sequence", "ended"),
    [
        ("end_turn", None, Ended(EndReason.STOP)),
        ("end_turn", "S", Ended(EndReason.STOP)),
        ("pause_turn", None, Ended(EndReason.STOP)),
        ("stop_sequence", "S", Ended(EndReason.STOP_SEQUENCE, "S")),
        ("stop_sequence", None, Ended(EndReason.STOP_SEQUENCE)),
        ("max_tokens", None, Ended(EndReason.LENGTH)),
        ("model_context_window_exceeded", None, Ended(EndReason.LENGTH)),
        ("tool_use", None, Ended(EndReason.TOOL_USE)),
        ("refusal", None, Ended(EndReason.REFUSAL)),
    ],
)
def test_every_stop_reason_has_its_end(reason: str, sequence: str | None, ended: Ended) -> None:
    lines = [start(), opened(), text("a"), closed(), stopped(reason, sequence), over(), result()]
    assert shapes(translated(lines)) == [BEGUN, *A, ended]


@pytest.mark.parametrize(
    ("reason", "words", "cut"),
    [
        ("end_turn", "a", False),
        ("stop_sequence", "a", False),
        ("max_tokens", "a", True),
        ("tool_use", "a", False),
        ("end_turn", "", True),
        ("end_turn", " \n\ufeff", True),
        ("end_turn", "\x85", False),
        ("stop_sequence", "", True),
    ],
)
def test_where_the_cli_would_go_on_by_itself_the_turn_is_cut_short(reason: str, words: str, cut: bool) -> None:
    translator = Translator("turn-1", 7)
    lines = [start(), opened(), text(words), closed(), stopped(reason)]
    events = translated(lines, translator)
    assert (translator.cut_short, translator.over) == (cut, False)
    assert not any(isinstance(event, (Ended, Failed)) for event in events)
    # The CLI's second try, if it was quicker than the interrupt, is nobody's.
    again = [start(message_id="msg_2"), opened(), text("unasked")] if cut else []
    told = translated([over(), *again, aborted() if cut else result()], translator)
    assert told[1:] == [
        Ended({"end_turn": EndReason.STOP, "max_tokens": EndReason.LENGTH}.get(reason, told_by(reason)))
    ]
    assert isinstance(told[0], Usage)


def told_by(reason: str) -> EndReason:
    return EndReason.TOOL_USE if reason == "tool_use" else EndReason.STOP_SEQUENCE


@pytest.mark.parametrize("lines", [[], [opened(), closed()], [opened("thinking"), closed()]])
def test_an_answer_without_words_is_an_answer(lines: list[Line]) -> None:
    events = translated([start(), *lines, stopped(), over(), aborted()])
    assert events[-1] == Ended(EndReason.STOP)


def test_a_refusal_is_the_models_reason_although_the_cli_calls_it_an_error() -> None:
    refused = result(is_error=True, terminal_reason="api_error", stop_reason="refusal", result="API Error: …")
    lines = [start(), opened(), text("a"), closed(), synthetic("invalid_request"), stopped("refusal"), over(), refused]
    assert shapes(translated(lines)) == [BEGUN, *A, Ended(EndReason.REFUSAL)]


def test_an_error_before_the_first_event_is_the_only_event() -> None:
    lines = [synthetic("rate_limit"), result(is_error=True, api_error_status=429, terminal_reason="api_error")]
    (end,) = translated(lines)
    assert isinstance(end, Failed)
    assert end.error.kind is ErrorKind.UPSTREAM_RATE_LIMITED


@pytest.mark.parametrize("translator", [Translator, AgentTranslator])
class TestHook:
    """A hook that stops the message: the CLI calls that a success."""

    @pytest.mark.parametrize("kind", ["blocked_by_hook", "stopped_by_hook"])
    @pytest.mark.parametrize(
        ("words", "said"),
        [("no secrets", ": no secrets"), ("\nno\n", ": no"), ("x" * 600, ": " + "x" * 500), (" ", "."), (None, ".")],
    )
    def test_it_is_said_in_the_hooks_own_words(
        self, translator: type[Translator], kind: str, words: str | None, said: str
    ) -> None:
        (end,) = translated([hooked(kind, words), result(num_turns=0)], translator("turn-1", 7))
        assert isinstance(end, Failed)
        assert (end.error.kind, end.error.source) == (ErrorKind.FORBIDDEN, "engine")
        assert end.error.message == f"A hook of the project refused this prompt{said}"

    def test_without_one_an_empty_success_is_still_a_failure_in_disguise(self, translator: type[Translator]) -> None:
        (end,) = translated([result(num_turns=0)], translator("turn-1", 7))
        assert isinstance(end, Failed)
        assert end.error.kind is ErrorKind.UPSTREAM_ERROR

    def test_once_the_model_has_answered_it_says_nothing(self, translator: type[Translator]) -> None:
        assert shapes(translated([hooked("blocked_by_hook", "no"), *says("a")], translator("turn-1", 7)))[-1] == Ended(
            EndReason.STOP
        )

    def test_what_the_cli_calls_a_failure_is_that_failure(self, translator: type[Translator]) -> None:
        (end,) = translated([hooked("blocked_by_hook", "no"), aborted()], translator("turn-1", 7))
        assert isinstance(end, Failed)
        assert end.error.kind is ErrorKind.INTERRUPTED


def test_a_failure_in_the_middle_keeps_what_came_and_is_no_stop() -> None:
    broken = [synthetic("server_error"), closed(), stopped(None), over()]
    lines = [start(), opened(), text("a"), *broken, result(is_error=True, terminal_reason="api_error")]
    events = translated(lines)
    assert events[:-1] == [BEGUN, Usage(3, 1), *A, Usage(3, 2)]
    assert failed(events).error.kind is ErrorKind.UPSTREAM_ERROR


def test_a_failure_inside_a_part_leaves_it_open() -> None:
    lines = [start(), opened(), text("a"), result(is_error=True, api_error_status=529)]
    events = translated(lines)
    assert events[:-1] == [BEGUN, Usage(3, 1), *A[:2]]
    assert failed(events).error.kind is ErrorKind.UPSTREAM_OVERLOADED


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([start(), opened(), text("a"), closed(), over(), result()], "without a stop reason"),
        ([start(), opened(), text("a"), closed(), stopped(None), over(), result()], "without a stop reason"),
        ([result()], "without a stop reason"),
        ([stopped(), result()], "without a stop reason"),
        ([start(), opened(), text("a"), stopped(), over(), result()], "inside a block"),
        ([start(), opened(), opened(), text("a")], "a block began inside another"),
        ([start(), opened(), text("a"), closed(), stopped("brand_new")], "unknown stop reason 'brand_new'"),
        ([start(), opened(), text("a"), closed(), start(message_id="msg_2")], "asked a second time"),
    ],
)
def test_what_cannot_be_told_honestly_is_a_failure(lines: list[Line], why: str) -> None:
    translator = Translator("turn-1", 7)
    end = failed(translated(lines, translator))
    assert (end.error.kind, end.error.source) == (ErrorKind.UPSTREAM_ERROR, "upstream")
    assert why in end.error.detail
    assert translator.over
    assert translated([text("b"), closed(), stopped(), over(), result()], translator) == []


def test_the_interrupted_is_not_called_stopped() -> None:
    assert failed(translated([start(), opened(), text("a"), aborted()])).error.kind is ErrorKind.INTERRUPTED


def test_figures_are_merged_field_by_field_and_the_price_is_this_turns() -> None:
    costs = {"a": {"costUSD": 0.25}, "b": {"costUSD": 0.5}, "c": {}, "d": None}
    details = {"thinking_tokens": 4}
    lines = [
        start(input_tokens=100, cache_read_input_tokens=30, cache_creation_input_tokens=7, output_tokens=1),
        opened(),
        text("a"),
        closed(),
        stopped(output_tokens=10, input_tokens=None, output_tokens_details=details),
        over(),
        result(total_cost_usd=99, modelUsage={"a": {"costUSD": 99}}, model_usage_since_last_result=costs),
    ]
    assert translated(lines)[-2] == Usage(100, 10, 30, 7, 4, 0.75)


@pytest.mark.parametrize("costs", [None, {}, {"a": {}}, {"a": {"costUSD": None}}, [1]])
def test_an_unknown_price_is_none(costs: Any) -> None:
    events = translated([*says("a")[:-1], result(model_usage_since_last_result=costs)])
    assert [event.cost_usd for event in events if isinstance(event, Usage)] == [None, None]


def test_unknown_events_blocks_and_deltas_are_counted_and_skipped() -> None:
    odd = [
        stream({"type": "ping"}),
        stream({"type": "brand_new"}),
        opened("brand_new"),
        delta("brand_new_delta"),
        closed(),
        opened(),
        delta("citations_delta", citation={}),
        text("a"),
        closed(),
    ]
    translator = Translator("turn-1", 7)
    lines = [text("before"), opened(), start(), *odd, stopped(), over(), result()]
    assert shapes(translated(lines, translator)) == [BEGUN, *A, Ended(EndReason.STOP)]
    assert translator.unread == 6


def test_whoever_fails_it_first_is_heard() -> None:
    translator = Translator("turn-1", 7)
    first = Failed(failed(translated([result()])).error)
    translated([start(), opened(), text("a")], translator)
    assert list(translator.fail(first)) == [first]
    assert list(translator.fail(first)) == []
    assert translated([text("b"), closed(), stopped(), over(), result()], translator) == []
