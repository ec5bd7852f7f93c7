"""One process and its turns, played by a fake CLI that does everything a broken one can do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.process import ControlRefusedError, ProcessDeadError, ProcessState
from claude_code_api.engine.process_turn import RunningTurn
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import Ended, EndReason, Failed, PartDelta, TurnEvent
from tests.engine import frames
from tests.engine.fake_cli import Step
from tests.engine.fake_site import FakeSite, alive, begin, end_of, events_of, played
from tests.engine.impatient import Impatient
from tests.harness.waiting import BOUND_S, until_in_loop

STARTED = played(frames.start(), frames.opened(), frames.text("a"))
SAYS = played(*frames.says("a"))


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


def descriptors() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def said(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, PartDelta))


async def until_said(turn: RunningTurn, text: str) -> list[TurnEvent]:
    """Read until so much has been said."""
    events: list[TurnEvent] = []
    while said(events) != text:
        events += await anext(turn.mailbox.batches())
    return events


def kind_of(events: list[TurnEvent]) -> ErrorKind:
    end = end_of(events)
    assert isinstance(end, Failed), end
    return end.error.kind


async def test_the_states_of_a_good_life(fake: FakeSite) -> None:
    gate = fake.gate("gate")
    fake.script([*STARTED, {"gate": gate}, *SAYS[3:]], SAYS)
    states = []
    async with fake.process(initialized=False) as process:
        states.append(process.state)
        assert (await process.initialize("be brief", within_s=BOUND_S))["claude_code_version"] == "99.0.0"
        states.append(process.state)
        turn = await begin(process)
        states.append(process.state)
        await fake.open_gate(gate)
        events = await events_of(turn)
        await turn.finished.wait()
        assert (said(events), end_of(events)) == ("a", Ended(EndReason.STOP))
        states.append(process.state)
        assert end_of(await events_of(await begin(process, "u-2"))) == Ended(EndReason.STOP)
        assert process.turns == 2
    states.append(process.state)
    assert [state.value for state in states] == ["spawning", "ready", "running", "ready", "dead"]
    first, second, third = fake.stdin
    assert first["request"] == {"subtype": "initialize", "hooks": None, "systemPrompt": ["be brief"]}
    assert [second["uuid"], third["uuid"]] == ["u-1", "u-2"]


async def test_it_steps_back_behind_the_gateway(fake: FakeSite) -> None:
    fake.script()
    async with fake.process() as process:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_burst_that_comes_line_by_line_is_whole(fake: FakeSite) -> None:
    texts = [frames.text(f"{number} ") for number in range(300)]
    fake.script([*STARTED[:2], *played(*texts), *SAYS[3:]])
    async with fake.process() as process:
        events = await events_of(await begin(process))
    assert said(events) == "".join(f"{number} " for number in range(300))


async def test_a_second_turn_cannot_begin_while_one_runs(fake: FakeSite) -> None:
    fake.script([*STARTED, {"wait": 1}, *played(frames.aborted())])
    async with fake.process() as process:
        turn = await begin(process)
        with pytest.raises(ProcessDeadError, match="while running"):
            await begin(process, "u-2")
        process.interrupt(turn)
        assert process.state is ProcessState.DRAINING
        with pytest.raises(ProcessDeadError, match="while draining"):
            await begin(process, "u-2")


async def test_an_interrupt_drains_to_that_turns_result_and_the_next_turn_is_clean(fake: FakeSite) -> None:
    stale = [frames.text("stale"), frames.result("someone-else"), frames.aborted()]
    fake.script([*STARTED, {"wait": 1}, *played(*stale)], SAYS)
    async with fake.process() as process:
        turn = await begin(process)
        assert await process.end(turn)
        assert process.state is ProcessState.READY
        events = await events_of(await begin(process, "u-2"))
        assert said(events) == "a"
        assert process.unread["result/foreign"] == 1
    interrupts = [line["request"] for line in fake.stdin if line.get("request", {}).get("subtype") == "interrupt"]
    assert interrupts == [{"subtype": "interrupt", "cancel_queued": True}]


async def test_a_turn_that_is_interrupted_before_the_cli_came_to_it_ends_without_a_result(fake: FakeSite) -> None:
    fake.script([{"wait": 1}], SAYS, answers={"interrupt": {"still_queued": [], "cancelled": ["u-1"]}})
    async with fake.process() as process:
        turn = await begin(process)
        process.interrupt(turn)
        assert kind_of(await events_of(turn)) is ErrorKind.INTERRUPTED
        assert turn.dropped
        assert await process.end(turn)
        assert process.state is ProcessState.READY
        later = await begin(process, "u-2")
        assert said(await events_of(later)) == "a"
        assert not later.dropped


async def test_a_reader_that_interrupts_still_gets_the_end(fake: FakeSite) -> None:
    fake.script([*STARTED, {"wait": 1}, *played(frames.text("b"), frames.aborted())])
    async with fake.process() as process:
        turn = await begin(process)
        process.interrupt(turn)
        process.interrupt(turn)
        events = await events_of(turn)
        assert (said(events), kind_of(events)) == ("ab", ErrorKind.INTERRUPTED)


@pytest.mark.parametrize("reason", ["max_tokens", "tool_use"])
async def test_a_turn_that_the_cli_would_continue_is_interrupted(fake: FakeSite, reason: str) -> None:
    second = [frames.start(message_id="msg_2"), frames.text("unasked", "msg_2")]
    fake.script([*STARTED, *played(frames.closed(), frames.stopped(reason), *second), {"wait": 1}, *SAYS[-1:]], SAYS)
    async with fake.process() as process:
        events = await events_of(await begin(process))
        assert said(events) == "a"
        assert end_of(events) == Ended(EndReason(reason.replace("max_tokens", "length")))
        assert said(await events_of(await begin(process, "u-2"))) == "a"


@pytest.mark.parametrize(
    "before",
    [
        [frames.result("other"), frames.result("another", result_index=4)],
        [{**frames.result(), "user_message_uuids": None}],
        [frames.start("other", message_id="msg_0"), frames.text("x", "msg_0"), frames.result("other")],
        # A foreign message that ends for length must not cut ours.
        [
            frames.start("other", message_id="msg_0"),
            {**frames.stopped("max_tokens"), "api_message_id": "msg_0"},
            frames.result("other"),
        ],
        [{**frames.start(), "parent_tool_use_id": "toolu_1"}],
        [{"type": "brand_new"}, {"type": "system", "subtype": "init"}, {"type": 5}, {}],
        [{"type": "control_cancel_request", "request_id": "x"}, {"type": "control_response", "response": None}],
    ],
    ids=["results", "result without uuids", "text", "length stop", "sub-agent", "unknown", "control"],
)
async def test_what_is_not_this_turns_is_dropped(fake: FakeSite, before: list[frames.Line]) -> None:
    fake.script([*played(*before), *SAYS])
    async with fake.process() as process:
        events = await events_of(await begin(process))
        assert (said(events), end_of(events)) == ("a", Ended(EndReason.STOP))
        assert sum(event.__class__.__name__ == "Started" for event in events) == 1
        assert process.state is ProcessState.READY


async def test_foreign_deltas_in_the_middle_of_a_turn_are_dropped(fake: FakeSite) -> None:
    foreign = [frames.start("other", message_id="msg_0"), frames.text("x", "msg_0")]
    fake.script([*STARTED, *played(*foreign), *SAYS[3:]])
    async with fake.process() as process:
        events = await events_of(await begin(process))
        assert (said(events), end_of(events)) == ("a", Ended(EndReason.STOP))


async def test_a_question_of_the_clis_is_refused_at_once(fake: FakeSite) -> None:
    ask = {"type": "control_request", "request_id": "c1", "request": {"subtype": "can_use_tool"}}
    fake.script([*played(ask), *SAYS], SAYS)
    async with fake.process() as process:
        await events_of(await begin(process))
        await events_of(await begin(process, "u-2"))
    (answer,) = [line["response"] for line in fake.stdin if line["type"] == "control_response"]
    assert answer == {"subtype": "error", "request_id": "c1", "error": "can_use_tool is not served here"}


DEATHS: dict[str, list[Step]] = {
    "exits": [{"stderr": "out of luck"}, {"exit": 3}],
    "is killed": [{"stderr": "out of luck"}, {"kill": signal.SIGKILL}],
    "closes its output and lives": [{"stderr": "out of luck"}, {"close": 1}, {"hang": 1}],
}


@pytest.mark.parametrize("death", list(DEATHS))
@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_death_at_any_point_is_one_failure(fake: FakeSite, death: str, after: int) -> None:
    fake.script([*STARTED[:after], *DEATHS[death]], ignore_sigterm=True, ignore_eof=True)
    async with fake.process() as process:
        turn = await begin(process)
        events = await events_of(turn)
        await turn.finished.wait()
        assert kind_of(events) is ErrorKind.ENGINE_DIED
        end = end_of(events)
        assert isinstance(end, Failed)
        assert "out of luck" in end.error.detail
        assert "out of luck" not in end.error.message
        assert said(events) == ("a" if after == 3 else "")
        assert process.state is ProcessState.DEAD
        with pytest.raises(ProcessDeadError):
            await process.control({"subtype": "interrupt"})


@pytest.mark.parametrize(
    "garbage",
    [
        "this is no JSON\n",
        "[1,2]\n",
        "\x00\xff\xfe\n",
        '{"type":"stream_event","event":{"type":"content_block_delta","delta":"no object"}}\n',
        '{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":5}}}\n',
        '{"type":"system","subtype":"api_retry","attempt":"many"}\n',
    ],
)
async def test_garbage_ends_the_turn_and_the_process_and_nothing_else(fake: FakeSite, garbage: str) -> None:
    fake.script([*STARTED, {"raw": garbage}, {"hang": 1}], ignore_sigterm=True)
    async with fake.process() as process:
        events = await events_of(await begin(process))
        assert (said(events), kind_of(events)) == ("a", ErrorKind.ENGINE_DIED)
        assert process.state is ProcessState.DEAD


async def test_half_a_line_at_the_end_is_a_death_like_any_other(fake: FakeSite) -> None:
    fake.script([*STARTED, {"raw": '{"type":"result","subty'}, {"exit": 0}])
    async with fake.process() as process:
        assert kind_of(await events_of(await begin(process))) is ErrorKind.ENGINE_DIED


async def test_a_line_of_five_megabytes_arrives_whole(fake: FakeSite) -> None:
    fake.script([*STARTED, {"big": 5_000_000}, *SAYS[3:]])
    async with fake.process() as process:
        assert said(await events_of(await begin(process))) == "a" + "x" * 5_000_000


async def test_a_line_over_the_limit_is_the_end(fake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    from claude_code_api.engine import protocol  # noqa: PLC0415

    monkeypatch.setattr(protocol.LineSplitter.__init__, "__defaults__", (100_000,))
    fake.script([*STARTED, {"big": 500_000}, *SAYS[3:]])
    async with fake.process() as process:
        events = await events_of(await begin(process))
        assert (said(events), kind_of(events)) == ("a", ErrorKind.ENGINE_DIED)


async def test_silence_ends_the_turn_and_the_process_goes_on(fake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    watchdogs = Impatient.over_all(monkeypatch)
    fake.script([*STARTED, {"wait": 1}, *played(frames.aborted())], SAYS)
    async with fake.process() as process:
        turn = await begin(process)
        before = await until_said(turn, "a")
        watchdogs[-1].run_out()
        events = [*before, *[event async for batch in turn.mailbox.batches() for event in batch]]
        assert (said(events), kind_of(events)) == ("a", ErrorKind.UPSTREAM_TIMEOUT)
        await turn.finished.wait()
        assert process.state is ProcessState.READY
        assert said(await events_of(await begin(process, "u-2"))) == "a"


async def test_a_slow_reader_is_not_the_models_silence(fake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    watchdogs = Impatient.over_all(monkeypatch)
    words = "b" * 1000
    fake.script([*STARTED, *played(*[frames.text(words)] * 600), *SAYS[3:]])
    async with fake.process() as process:
        turn = await begin(process)
        # Nobody reads: the owner stops at a full mailbox, for longer than silence may last and is looked for.
        await until_in_loop(lambda: turn.mailbox.full, "a full mailbox")
        for _ in range(3):
            watchdogs[-1].run_out()
        assert not turn.finished.is_set()
        assert turn.mailbox.full
        events = await events_of(turn)
        assert (said(events), end_of(events)) == ("a" + words * 600, Ended(EndReason.STOP))


async def test_a_process_that_ignores_an_interrupt_is_killed(fake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claude_code_api.engine.process.DRAIN_S", 0.2)
    fake.script([*STARTED, {"hang": 1}], ignore_sigterm=True)
    async with fake.process() as process:
        turn = await begin(process)
        process.interrupt(turn)
        events = await events_of(turn)
        assert kind_of(events) is ErrorKind.ENGINE_DIED
        await turn.finished.wait()
        assert not await process.end(turn)


async def test_initialize_is_given_up_in_time(fake: FakeSite) -> None:
    fake.script(unanswered=["initialize"])
    async with fake.process(initialized=False) as process:
        with pytest.raises(ProcessDeadError, match="no answer to initialize within"):
            await process.initialize(None, within_s=0.3)


async def test_a_refused_start_explains_itself(fake: FakeSite) -> None:
    fake.script(start=[{"stderr": "cannot resume"}, {"exit": 1}])
    async with fake.process(initialized=False) as process:
        with pytest.raises(ProcessDeadError, match="exit code 1; stderr: cannot resume"):
            await process.initialize(None, within_s=BOUND_S)


async def test_a_slow_start_is_waited_for(fake: FakeSite) -> None:
    gate = fake.gate("gate")
    fake.script(start=[{"gate": gate}])
    async with fake.process(initialized=False) as process:
        waiting = asyncio.ensure_future(process.initialize(None, within_s=BOUND_S))
        await fake.open_gate(gate)
        await waiting
        assert process.state is ProcessState.READY


async def test_a_refused_control_request_says_which(fake: FakeSite) -> None:
    fake.script(refused={"set_max_thinking_tokens": "no such thing"})
    async with fake.process() as process:
        with pytest.raises(ControlRefusedError, match="set_max_thinking_tokens: no such thing"):
            await process.controls([{"subtype": "set_max_thinking_tokens"}, {"subtype": "apply_flag_settings"}])
        assert process.state is ProcessState.READY


async def test_a_death_answers_every_open_control_request(fake: FakeSite) -> None:
    gate = fake.gate("gate")
    fake.script([{"gate": gate}, {"exit": 1}])
    async with fake.process() as process:
        turn = await begin(process)
        waiting = asyncio.ensure_future(process.controls([{"subtype": "one"}, {"subtype": "two"}]))
        process.interrupt(turn)
        await fake.open_gate(gate)
        with pytest.raises(ProcessDeadError):
            await waiting
        assert kind_of(await events_of(turn)) is ErrorKind.ENGINE_DIED


@pytest.mark.parametrize("stubborn", [{}, {"ignore_eof": True}, {"ignore_eof": True, "ignore_sigterm": True}])
async def test_the_ladder_ends_every_process(
    fake: FakeSite, stubborn: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("claude_code_api.engine.child.EOF_S", 0.3)
    monkeypatch.setattr("claude_code_api.engine.child.TERM_S", 0.3)
    fake.script(**stubborn)
    async with fake.process() as process:
        pid = fake.seen["pid"]
        assert alive(pid)
        await process.stop()
        assert not alive(pid)
        await process.stop()


async def test_a_huge_message_goes_in_whole(fake: FakeSite) -> None:
    text = "\u2028ü😀" * 300_000
    fake.script(SAYS)
    async with fake.process() as process:
        await events_of(await begin(process, text=text))
    assert json.loads((fake.directory / "stdin.jsonl").read_bytes().split(b"\n")[1])["message"]["content"] == [
        {"type": "text", "text": text},
        {"type": "text", "text": " "},
    ]


async def test_no_descriptor_leaks(fake: FakeSite) -> None:
    fake.script([*STARTED, {"exit": 0}])
    before = descriptors()
    async with fake.process() as process:
        await events_of(await begin(process))
    # The directory's own descriptor is in both lists; a loop may open its own ones once.
    assert len(descriptors() - before) <= 1
