"""What the engine relies on although nothing documents it. A failure here names what the new CLI does otherwise."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from claude_code_api.engine import protocol
from claude_code_api.engine.launch import Launch
from claude_code_api.engine.process import ControlRefusedError, ProcessDeadError
from claude_code_api.standin import Answer, Gate, Text
from claude_code_api.turn.events import Ended, EndReason, PartDelta, TurnEvent
from claude_code_api.turn.request import JsonObject, Message, TextBlock, ToolResultBlock, ToolUseBlock, TurnRequest
from tests.real_cli.living import files_below
from tests.real_cli.rig import IDENTITY, MODEL, Live, Rig, as_blocks, blocking, rest, said, terminal, texts_of

DANGEROUS = ("/compact", "/heapdump", "@planted.txt", "/model opus", "!ls", "#note")
SECRET = "planted-5c1e"
BLANK = {"type": "text", "text": " "}


async def hand_over(live: Live, content: Any, **fields: Any) -> list[TurnEvent]:
    """Send a user message in a form of the test's own."""
    message_uuid = str(uuid.uuid4())
    line = {"type": "user", "uuid": message_uuid, "parent_tool_use_id": None, "session_id": "", **fields}
    line["message"] = {"role": "user", "content": content}
    return await rest(await live.hand_over(message_uuid, json.dumps(line).encode() + b"\n"))


def mentions_allowed(launch: Launch) -> Launch:
    """Without the nets under the measure that is tested: `@` is expanded unless that measure holds."""
    nets = ("CLAUDE_CODE_DISABLE_FILE_MENTIONS",)
    return replace(
        launch,
        argv=tuple(word for word in launch.argv if word != "--bare"),
        env={name: value for name, value in launch.env.items() if name not in nets},
    )


async def _literal(rig: Rig, live: Live, form: str) -> None:
    (live.home.cwd / "planted.txt").write_text(SECRET)
    for text in DANGEROUS:
        rig.upstream.clear()
        rig.upstream.always("ok")
        block = {"type": "text", "text": text}
        if form == "client_composed":
            await hand_over(live, [block], client_composed=True)
        else:
            await hand_over(live, [block, BLANK])
        assert texts_of(rig.body()["messages"][-1])[-1] == text
        assert SECRET.encode() not in rig.upstream.received[0].raw
    assert not any("local_command" in result for result in live.results)


async def test_client_composed_alone_makes_text_literal(rig: Rig) -> None:
    async with rig.live(adapt=mentions_allowed) as live:
        await _literal(rig, live, "client_composed")


async def test_a_trailing_blank_block_alone_makes_text_literal_and_is_dropped(rig: Rig) -> None:
    async with rig.live(adapt=mentions_allowed) as live:
        await _literal(rig, live, "blank block")


async def test_without_either_measure_text_is_not_literal(rig: Rig) -> None:
    """If this fails the measures may be needless; the tests above are then no proof of anything."""
    async with rig.live(adapt=mentions_allowed) as live:
        (live.home.cwd / "planted.txt").write_text(SECRET)
        await hand_over(live, "@planted.txt")
        assert SECRET.encode() in rig.upstream.received[0].raw


async def test_an_empty_system_prompt_drops_everything_but_the_identity_line(rig: Rig) -> None:
    async with rig.live(system=None) as live:
        await live.ask("hi")
        assert texts_of({"content": rig.body()["system"]}) == [IDENTITY]
        assert str(live.home.cwd) not in rig.upstream.received[0].raw.decode()


async def test_extra_body_overrides_fields_and_an_empty_one_clears_it(rig: Rig) -> None:
    def extra(text: str) -> JsonObject:
        return {"subtype": "apply_flag_settings", "settings": {"env": {"CLAUDE_CODE_EXTRA_BODY": text}}}

    async with rig.live() as live:
        await live.ask("one")
        await live.process.control(extra('{"max_tokens": 77, "stop_sequences": ["S"], "brand_new": {"a": [1]}}'))
        await live.ask("two")
        await live.process.control(extra(""))
        await live.ask("three")
    bodies = rig.bodies()
    assert [body["max_tokens"] for body in bodies] == [32000, 77, 32000]
    assert [body.get("stop_sequences") for body in bodies] == [None, ["S"], None]
    assert [body.get("brand_new") for body in bodies] == [None, {"a": [1]}, None]


async def test_set_max_thinking_tokens_switches_thinking_off_and_on(rig: Rig) -> None:
    async with rig.live() as live:
        await live.ask("off")
        await live.process.control({"subtype": "set_max_thinking_tokens", "max_thinking_tokens": 2048})
        await live.ask("on")
        await live.process.control({"subtype": "set_max_thinking_tokens", "max_thinking_tokens": 0})
        await live.ask("off")
    found = [body["thinking"] for body in rig.bodies()]
    assert found[0] == found[2] == {"type": "disabled"}
    assert (found[1]["type"], found[1]["budget_tokens"]) == ("enabled", 2048)


async def test_interrupt_with_cancel_queued_drops_what_waits(rig: Rig) -> None:
    rig.upstream.play(Answer((Text(pieces=("a", Gate("never"))),)))
    rig.upstream.always("unasked")
    async with rig.live() as live:
        turn = await live.begin(TextBlock("runs"))
        await blocking(rig.upstream.wait_at_gate, "never")
        queued = str(uuid.uuid4())
        live.process._child.write(protocol.user_line(queued, [{"type": "text", "text": "waits"}]))  # noqa: SLF001
        answer = await live.process.control({"subtype": "interrupt", "cancel_queued": True})
        assert (answer["still_queued"], answer["cancelled"]) == ([], [queued])
        await rest(turn)
        assert terminal(await live.ask("next")) == Ended(EndReason.STOP)
    assert len(rig.calls()) == 2
    assert all("waits" not in record.raw.decode() for record in rig.calls())


async def test_an_interrupt_while_idle_is_harmless(rig: Rig) -> None:
    async with rig.live() as live:
        assert (await live.process.control({"subtype": "interrupt", "cancel_queued": True}))["still_queued"] == []
        assert terminal(await live.ask("next")) == Ended(EndReason.STOP)


HISTORY: Sequence[Message] = (said("user", "old question"), said("assistant", "old answer"))
TOLD = [
    ("user", [{"type": "text", "text": "old question"}]),
    ("assistant", [{"type": "text", "text": "old answer"}]),
    ("user", [{"type": "text", "text": "new"}]),
]


async def test_resume_by_path_reads_a_minimal_transcript_and_leaves_it_alone(rig: Rig) -> None:
    async with rig.live(history=HISTORY) as live:
        before = live.home.transcript.read_bytes()
        await live.ask("new")
        assert live.home.transcript.read_bytes() == before
        # Nothing of the conversation is written anywhere else.
        others = [text for path, text in files_below(live.home.root) if path != live.home.transcript]
        assert not any(b"old question" in text or b"old answer" in text for text in others)
    assert as_blocks(rig.body()["messages"]) == TOLD


CALL = Message("assistant", (ToolUseBlock("toolu_1", "f", {}), ToolUseBlock("toolu_2", "g", {})))
RESULTS = Message("user", (ToolResultBlock("toolu_1", "one"), ToolResultBlock("toolu_2", "two")))


async def test_resume_session_at_takes_tool_results_without_a_filler(rig: Rig) -> None:
    await rig.answer(TurnRequest(MODEL, (said("user", "a"), CALL, RESULTS)))
    user, assistant, results = as_blocks(rig.body()["messages"])
    assert [block["id"] for block in assistant[1]] == ["toolu_1", "toolu_2"]
    assert results[1] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": "two"},
    ]
    assert user[0] == results[0] == "user"


async def test_an_unknown_entry_to_resume_at_is_a_refused_start(rig: Rig) -> None:
    def elsewhere(launch: Launch) -> Launch:
        return replace(launch, argv=(*launch.argv, f"--resume-session-at={uuid.uuid4()}"))

    with pytest.raises(ProcessDeadError, match=r"No message found with message\.uuid"):
        async with rig.live(history=HISTORY, adapt=elsewhere):
            pass


async def test_a_result_names_the_messages_that_it_answers(rig: Rig) -> None:
    async with rig.live() as live:
        for _ in range(2):
            turn = await live.begin(TextBlock("hi"))
            await rest(turn)
            assert live.results[-1]["user_message_uuids"] == [turn.uuid]
        # Nothing was taken for somebody else's, and every event had the id of its message.
        assert not [name for name in live.process.unread if "foreign" in name]


async def test_what_the_cli_does_not_know_it_refuses_by_name(rig: Rig) -> None:
    async with rig.live() as live:
        with pytest.raises(ControlRefusedError, match="brand_new"):
            await live.process.control({"subtype": "brand_new"})
        assert terminal(await live.ask("hi")) == Ended(EndReason.STOP)


async def test_500_deltas_are_500_events(rig: Rig) -> None:
    pieces = tuple(f"{number} " for number in range(500))
    rig.upstream.play(Answer((Text(pieces=pieces),)))
    async with rig.live() as live:
        events = await live.ask("hi")
    assert [event.text for event in events if isinstance(event, PartDelta)] == list(pieces)


async def test_the_version_is_the_one_that_all_of_this_was_measured_with(rig: Rig) -> None:
    """Raise it together with the facts page."""
    async with rig.engine() as engine:
        assert (await engine.offer()).version == "2.1.329"
