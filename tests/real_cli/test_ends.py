"""How turns end: by the model's reasons and by the upstream's failures, and how many calls upstream each costs."""

from __future__ import annotations

import asyncio

import pytest

from claude_code_api.engine.process import ProcessState
from claude_code_api.standin import Answer, Break, Gate, Text, ToolUse, calls, fails, says
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import Ended, EndReason, Failed, PartDelta, PartKind, TurnEvent
from claude_code_api.turn.request import TextBlock
from tests.engine.impatient import Impatient
from tests.real_cli.rig import Rig, asks, checked, rest, terminal


@pytest.mark.parametrize(
    ("answer", "end", "said"),
    [
        (Answer((Text("a"),), stop_reason="refusal"), Ended(EndReason.REFUSAL), "a"),
        (Answer((), stop_reason="refusal"), Ended(EndReason.REFUSAL), ""),
        (
            Answer((Text("a"),), stop_reason="stop_sequence", stop_sequence="S"),
            Ended(EndReason.STOP_SEQUENCE, "S"),
            "a",
        ),
        (Answer((Text("a"),), stop_reason="pause_turn"), Ended(EndReason.STOP), "a"),
    ],
    ids=["refusal", "refusal without words", "stop sequence", "pause"],
)
async def test_a_stop_is_one_call_and_the_models_own_reason(rig: Rig, answer: Answer, end: Ended, said: str) -> None:
    async with rig.live() as live:
        for _ in range(3):
            rig.upstream.clear()
            rig.upstream.play(answer)
            rig.upstream.always("unasked")
            events = await live.ask("hi")
            assert terminal(events) == end
            assert checked(events).text_of(PartKind.TEXT) == said
            assert len(rig.calls()) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "said"),
    [
        (Answer((Text("a"),), stop_reason="max_tokens"), EndReason.LENGTH, "a"),
        (Answer(()), EndReason.STOP, ""),
        (says(" \n"), EndReason.STOP, " \n"),
        (Answer((), stop_reason="stop_sequence", stop_sequence="S"), EndReason.STOP_SEQUENCE, ""),
        (calls(ToolUse("toolu_1", "nobody_knows", {"a": 1})), EndReason.TOOL_USE, ""),
    ],
    ids=["length", "nothing", "white space", "stop sequence at once", "a tool that is not there"],
)
async def test_where_the_cli_asks_again_by_itself_the_first_answer_counts(
    rig: Rig, answer: Answer, reason: EndReason, said: str
) -> None:
    """Our interrupt races with the CLI's second call: where it loses, that call is cut, and nothing of it is told."""
    async with rig.live() as live:
        for _ in range(3):
            rig.upstream.clear()
            rig.upstream.play(answer)
            rig.upstream.always(Answer((Text(pieces=("unasked", Gate("never"))),)))
            events = await live.ask("hi")
            end = terminal(events)
            assert isinstance(end, Ended)
            assert end.reason is reason
            assert checked(events).text_of(PartKind.TEXT) == said
            assert live.process.state is ProcessState.READY
            first, *further = rig.calls()
            await asyncio.to_thread(rig.upstream.wait_closed, first.index)
            assert len(further) <= 1
            for record in further:
                assert (await asyncio.to_thread(rig.upstream.wait_closed, record.index)).client_left
        rig.upstream.always("next")
        assert checked(await live.ask("and")).text_of(PartKind.TEXT) == "next"


ERRORS = [
    # status, kind, calls upstream
    (400, ErrorKind.UPSTREAM_INVALID, {1, 2, 3}),
    (401, ErrorKind.UPSTREAM_AUTH, {1}),
    (403, ErrorKind.UPSTREAM_AUTH, {1}),
    (404, ErrorKind.MODEL_NOT_FOUND, {1, 2}),
    (413, ErrorKind.BODY_TOO_LARGE, {1}),
    (429, ErrorKind.UPSTREAM_RATE_LIMITED, {1}),
    (500, ErrorKind.UPSTREAM_ERROR, {1}),
    (529, ErrorKind.UPSTREAM_OVERLOADED, {1}),
]


async def test_each_error_of_the_upstream_has_its_kind_and_the_process_goes_on(rig: Rig) -> None:
    async with rig.live() as live:
        for status, kind, count in ERRORS:
            rig.upstream.clear()
            rig.upstream.always(fails(status, "words of the API", retry_after_s=1))
            (end,) = await live.ask("hi")
            assert isinstance(end, Failed), status
            assert (end.error.kind, len(rig.calls()) in count) == (kind, True), (status, len(rig.calls()))
            assert ("words of the API" in end.error.message) is (status == 400)
            assert "127.0.0.1" not in end.error.message
            assert live.process.state is ProcessState.READY
            rig.upstream.clear()
            rig.upstream.play("fine")
            assert checked(await live.ask("again")).text_of(PartKind.TEXT) == "fine"


async def test_too_long_a_prompt_is_told_and_not_compacted(rig: Rig) -> None:
    rig.upstream.always(fails(400, "prompt is too long: 250000 tokens > 200000 maximum"))
    result = await rig.answer(asks("hi"))
    assert result.error is not None
    assert result.error.kind is ErrorKind.CONTEXT_TOO_LONG
    assert len(rig.calls()) == 1


@pytest.mark.parametrize(
    ("broken", "kind"), [("cut", ErrorKind.UPSTREAM_ERROR), ("error", ErrorKind.UPSTREAM_OVERLOADED)]
)
async def test_a_break_in_the_middle_is_a_failure_after_a_prefix(rig: Rig, broken: str, kind: ErrorKind) -> None:
    wound = Break("cut") if broken == "cut" else Break("error")
    async with rig.live() as live:
        for steps in (("a", "b", wound), (wound,)):
            rig.upstream.clear()
            rig.upstream.play(Answer((Text(pieces=steps),)))
            rig.upstream.always("unasked")
            events = await live.ask("hi")
            end = terminal(events)
            assert isinstance(end, Failed)
            assert end.error.kind is kind
            assert "".join(event.text for event in events if isinstance(event, PartDelta)) in ("ab", "")
            assert len(rig.calls()) == 1
            assert checked(await live.ask("and")).text_of(PartKind.TEXT) == "unasked"


async def test_a_connection_that_is_cut_before_the_headers(rig: Rig) -> None:
    rig.upstream.always(Answer(hold=Break("cut")))
    result = await rig.answer(asks("hi"))
    assert result.error is not None
    assert result.error.kind is ErrorKind.UPSTREAM_ERROR
    assert len(rig.calls()) == 1


@pytest.mark.parametrize("headers", [True, False], ids=["in the middle", "before the headers"])
async def test_a_stall_is_ended_by_our_own_watchdog(rig: Rig, headers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    watchdogs = Impatient.over_all(monkeypatch)
    stalled = Answer((Text(pieces=("a", Break("stall"))),)) if headers else Answer(hold=Break("stall"))
    rig.upstream.play(stalled)
    rig.upstream.always("unasked")
    async with rig.live() as live:
        turn = await live.begin(TextBlock("hi"))
        await asyncio.to_thread(rig.upstream.wait_received)
        events: list[TurnEvent] = []
        while headers and not any(isinstance(event, PartDelta) for event in events):
            events += await anext(turn.mailbox.batches())
        watchdogs[-1].run_out()
        events += await rest(turn)
        end = terminal(events)
        assert isinstance(end, Failed)
        assert end.error.kind is ErrorKind.UPSTREAM_TIMEOUT
        assert "".join(event.text for event in events if isinstance(event, PartDelta)) == ("a" if headers else "")
        (record,) = rig.calls()
        assert (await asyncio.to_thread(rig.upstream.wait_closed, record.index)).client_left
        assert live.process.state is ProcessState.READY
        assert checked(await live.ask("and")).text_of(PartKind.TEXT) == "unasked"


async def test_an_upstream_that_is_not_there_is_a_failure(rig: Rig) -> None:
    url = rig.upstream.base_url
    rig.upstream.stop()
    assert url == rig.upstream.base_url
    result = await rig.answer(asks("hi"))
    assert result.error is not None
    assert result.error.kind is ErrorKind.UPSTREAM_ERROR
