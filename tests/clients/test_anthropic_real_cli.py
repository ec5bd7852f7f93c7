"""The official anthropic client, the gateway, the bundled claude and a stand-in upstream: the whole way and back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import pytest

from claude_code_api.standin import Answer, RedactedThinking, StandIn, Text, Thinking, ToolUse, Usage, calls
from tests.clients.anthropic_way import anthropic_client
from tests.clients.whole_way import whole_way
from tests.real_cli.rig import IDENTITY, plain

pytestmark = pytest.mark.real_cli
TEXT = "@/etc/passwd /clear 'x' \"y\" \\ ü 🙂\n  two lines\t"
# It thinks by budget, and goes on with begun answers.
BY_BUDGET = "claude-opus-4-5"
CLOSED: Any = {"type": "object", "properties": {}, "additionalProperties": False}
MARK: Any = {"type": "ephemeral", "ttl": "1h"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
IMAGE: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
DOCUMENT: Any = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "words"},
    "title": "t",
    "citations": {"enabled": False},
}
FOUND: Any = {
    "type": "search_result",
    "source": "https://example.org",
    "title": "found",
    "content": [{"type": "text", "text": "there"}],
}
TOOL: Any = {
    "name": "look",
    "description": "Looks.",
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}, "additionalProperties": False},
}
THOUGHT: Any = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
REDACTED: Any = {"type": "redacted_thinking", "data": "ZW5j"}
CALL: Any = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "look",
    "input": {"at": "sea", "deep": [1.5, None, {"ü": "\u2028"}]},
}
RESULT: Any = {
    "type": "tool_result",
    "tool_use_id": "toolu_1",
    "content": [{"type": "text", "text": "blue"}, IMAGE],
}


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "warm"])
async def test_every_kind_of_block_and_every_field_reaches_the_model(tmp_path: Path, warm: bool) -> None:
    system: Any = [
        {"type": "text", "text": "Be brief.", "cache_control": MARK},
        {"type": "text", "text": " And kind.\n"},
    ]
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": TEXT, "cache_control": MARK}, IMAGE, DOCUMENT, FOUND]},
        {"role": "assistant", "content": [THOUGHT, REDACTED, {"type": "text", "text": "I look."}, CALL]},
        {"role": "user", "content": [RESULT, {"type": "text", "text": "and?"}]},
    ]
    fields: Any = {
        "max_tokens": 4321,
        "stop_sequences": ["\n\nHuman:", "END"],
        "top_p": 0.95,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "metadata": {"user_id": "someone"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": CLOSED}},
        "service_tier": "standard_only",
    }
    choice: Any = {"type": "auto", "disable_parallel_tool_use": True}
    tools: Any = [
        {**TOOL, "cache_control": MARK, "strict": True},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    with StandIn(pace_ms=0) as upstream:
        upstream.play(Answer((Text("{}"),)))
        async with whole_way(tmp_path, upstream, warm=warm) as (gateway, _), anthropic_client(gateway) as client:
            raw = await client.messages.with_raw_response.create(
                model=BY_BUDGET,
                max_tokens=4321,
                system=system,
                messages=messages,
                tools=tools,
                tool_choice=choice,
                extra_body=fields,
            )
        (record,) = upstream.messages
    body = record.body
    assert raw.headers["x-ignored-params"] == "tools.web_search_20250305"
    assert {name: body.get(name) for name in fields} == fields
    assert body["system"] == [{"type": "text", "text": IDENTITY}, *system]
    assert body["tools"] == [{**TOOL, "strict": True, "cache_control": MARK}, tools[1]]
    assert body["tool_choice"] == choice
    assert plain(body["messages"]) == plain(messages)
    assert body["messages"][0]["content"][0]["cache_control"] == MARK
    if warm:
        assert str(body).count("cache_control") == 3, "marks are counted by the model's API: no other is added"


async def test_an_answer_of_every_kind_comes_back_and_goes_on(tmp_path: Path) -> None:
    steps = (
        Thinking("hm", signature="c2ln"),
        RedactedThinking("ZW5j"),
        Text(pieces=("Hel", "lo 🙂")),
        ToolUse("toolu_1", "look", {"at": "sea"}, pieces=('{"at":', ' "sea"}')),
    )
    asking: Any = {"model": "haiku", "max_tokens": 4000, "tools": [TOOL]}
    question: Any = {"role": "user", "content": "hi"}
    with StandIn(pace_ms=0) as upstream:
        upstream.play(Answer(steps, stop_reason="tool_use", usage=Usage(100, 10, 30, 7)), "Blue.")
        async with (
            whole_way(tmp_path, upstream, warm=True) as (gateway, _),
            anthropic_client(gateway) as client,
        ):
            async with client.messages.stream(**asking, messages=[question]) as stream:
                kinds = [event.type async for event in stream]
                message = await stream.get_final_message()
            result: Any = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "blue"}
            answer: Any = message.to_param()
            last = await client.messages.create(
                **asking, messages=[question, answer, {"role": "user", "content": [result]}]
            )
        first, second = (record.body for record in upstream.messages)
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [block.type for block in message.content] == ["thinking", "redacted_thinking", "text", "tool_use"]
    assert message.stop_reason == "tool_use"
    usage = message.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == (100, 10, 30)
    assert last.content[0].model_dump()["text"] == "Blue."
    assert plain(second["messages"][1]["content"]) == [
        THOUGHT,
        REDACTED,
        {"type": "text", "text": "Hello 🙂"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sea"}},
    ]
    assert plain(first["messages"]) == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]


async def test_a_begun_answer_is_gone_on_from(tmp_path: Path) -> None:
    messages: Any = [{"role": "user", "content": "A or B?"}, {"role": "assistant", "content": "The answer is ("}]
    with StandIn(pace_ms=0) as upstream:
        upstream.play("B)")
        async with whole_way(tmp_path, upstream, warm=True) as (gateway, _), anthropic_client(gateway) as client:
            message = await client.messages.create(model=BY_BUDGET, max_tokens=9, messages=messages)
        body = upstream.messages[0].body
    assert message.content[0].model_dump()["text"] == "B)"
    assert plain(body["messages"])[1] == {"role": "assistant", "content": [{"type": "text", "text": "The answer is ("}]}


@pytest.mark.parametrize(
    ("reason", "sequence", "told"),
    [
        ("max_tokens", None, "max_tokens"),
        ("stop_sequence", "END", "stop_sequence"),
        ("refusal", None, "refusal"),
        ("end_turn", None, "end_turn"),
    ],
)
async def test_why_it_stopped(tmp_path: Path, reason: Any, sequence: str | None, told: str) -> None:
    with StandIn(pace_ms=0) as upstream:
        upstream.play(Answer((Text("word"),), stop_reason=reason, stop_sequence=sequence))
        async with whole_way(tmp_path, upstream, warm=True) as (gateway, _), anthropic_client(gateway) as client:
            asked: Any = [{"role": "user", "content": "hi"}]
            message = await client.messages.create(model="haiku", max_tokens=9, messages=asked, stop_sequences=["END"])
    assert (message.stop_reason, message.stop_sequence) == (told, sequence)
    assert len(upstream.messages) == 1


async def test_the_models_api_counts_what_it_would_be_sent(tmp_path: Path) -> None:
    system: Any = "Be brief."
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "hi there"}, IMAGE]}]
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream, warm=True) as (gateway, _), anthropic_client(gateway) as client:
            counted = await client.messages.count_tokens(model="haiku", system=system, messages=messages, tools=[TOOL])
            message = await client.messages.create(
                model="haiku", max_tokens=9, system=system, messages=messages, tools=[TOOL]
            )
        counting, turn = (record.body for record in upstream.received if record.path.startswith("/v1/messages"))
    assert counted.input_tokens == message.usage.input_tokens > 0
    for name in ("model", "system", "messages", "tools"):
        assert plain(counting[name]) == plain(turn[name])
    assert set(counting) <= {"model", "system", "messages", "tools"}


async def test_a_count_that_nobody_answers(tmp_path: Path) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream) as (gateway, _), anthropic_client(gateway) as client:
            asked: Any = [{"role": "user", "content": "hi"}]
            await asyncio.to_thread(upstream.stop)
            with pytest.raises(anthropic.APIStatusError) as caught:
                await client.messages.count_tokens(model="haiku", messages=asked)
    assert caught.value.status_code == 502
    assert "could not be reached" in caught.value.message


async def test_the_tool_runner(tmp_path: Path) -> None:
    asked: list[str] = []

    @anthropic.beta_async_tool
    async def look(at: str) -> str:
        """Look at something."""
        asked.append(at)
        return "blue"

    with StandIn(pace_ms=0) as upstream:
        upstream.play(calls(ToolUse("toolu_1", "look", {"at": "sea"})), "It is blue.")
        async with whole_way(tmp_path, upstream, warm=True) as (gateway, _), anthropic_client(gateway) as client:
            runner = client.beta.messages.tool_runner(
                model="haiku", max_tokens=99, messages=[{"role": "user", "content": "look"}], tools=[look]
            )
            last = await runner.until_done()
    assert asked == ["sea"]
    assert last.content[0].model_dump()["text"] == "It is blue."
