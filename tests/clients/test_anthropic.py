"""The official anthropic client against a running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import (
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    Usage,
)
from claude_code_api.turn.request import ToolResultBlock
from tests.clients.anthropic_way import anthropic_client
from tests.http.loopback import Door, Running, answer_events, plays, running, stops_at

ASKING: Any = {"model": "sonnet", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def client(gateway: Running) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic_client(gateway) as client:
        yield client


async def test_a_whole_answer(gateway: Running, client: anthropic.AsyncAnthropic) -> None:
    raw = await client.messages.with_raw_response.create(**ASKING)
    message = await raw.parse()
    assert (message.type, message.role, message.model) == ("message", "assistant", "sonnet")
    assert [block.model_dump(exclude_unset=True) for block in message.content] == [
        {"type": "text", "text": "Hello!", "citations": []}
    ]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (12, 30, 8)
    assert raw.headers["x-claude-model"] == "claude-test-1"
    assert message._request_id == raw.headers["x-request-id"] == raw.headers["request-id"]  # noqa: SLF001 - the client's own public name for it
    (plan,) = gateway.engine.plans
    assert plan.request.limits.max_output_tokens == 100


async def test_a_stream_word_by_word(gateway: Running, client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(**ASKING) as stream:
        words = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert words == ["Hello", "!"]
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 5)
    assert stream.request_id is not None
    assert gateway.engine.plans[0].request.stream


async def test_words_come_as_they_are_said() -> None:
    door = Door()
    async with (
        running(stops_at(3, door, "one", "two")) as gateway,
        anthropic_client(gateway) as client,
        client.messages.stream(**ASKING) as stream,
    ):
        texts = stream.text_stream
        assert await anext(texts) == "one"
        door.set()
        assert [text async for text in texts] == ["two"]


async def test_the_beta_path_and_its_fields_are_taken(gateway: Running, client: anthropic.AsyncAnthropic) -> None:
    raw = await client.beta.messages.with_raw_response.create(
        **ASKING, betas=["context-1m-2025-08-07"], context_management={"edits": []}, extra_body={"later": {"a": 1}}
    )
    assert (await raw.parse()).stop_reason == "end_turn"
    named = raw.headers["x-ignored-params"].split(", ")
    assert named == ["context_management", "later", "anthropic-beta.context-1m-2025-08-07"]


def failing(kind: ErrorKind, retry_after_s: float | None = None) -> ScriptedEngine:
    return plays([Failed(TurnError(kind, "no", source="upstream", retry_after_s=retry_after_s))])


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_before_the_answer_is_raised_once(stream: bool) -> None:
    async with running(failing(ErrorKind.UPSTREAM_OVERLOADED, 7)) as gateway, anthropic_client(gateway) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.messages.create(**ASKING, stream=stream)
        assert len(gateway.engine.plans) == 1, "the client was told not to try again"
    error = caught.value
    assert (error.status_code, error.type) == (529, "overloaded_error")
    assert error.response.headers["retry-after"] == "7"
    body: Any = error.body
    assert body["request_id"] == error.request_id == error.response.headers["x-request-id"]


async def test_an_error_in_the_middle_is_raised_and_is_no_end() -> None:
    def script(plan: Plan) -> list[Step]:
        broken = Failed(TurnError(ErrorKind.ENGINE_DIED, "gone", source="engine"))
        return [*answer_events(plan, "Hel")[:3], broken]

    async with running(ScriptedEngine(script)) as gateway, anthropic_client(gateway) as client:
        stream = await client.messages.create(**ASKING, stream=True)
        said = [(await anext(stream)).type for _ in range(3)]
        with pytest.raises(anthropic.APIError) as caught:
            await anext(stream)
        line = await gateway.logs.request()
    assert said == ["message_start", "content_block_start", "content_block_delta"]
    body: Any = caught.value.body
    assert body["error"] == {"type": "api_error", "message": "gone"}
    assert body["request_id"] == line["request_id"]


async def test_a_client_that_leaves_ends_the_turn() -> None:
    door = Door()
    async with running(stops_at(3, door, "one", "two")) as gateway, anthropic_client(gateway) as client:
        async with client.messages.stream(**ASKING) as stream:
            async for text in stream.text_stream:
                assert text == "one"
                break
        line = await gateway.logs.request()
        assert line["outcome"] == "client_left"
        assert gateway.engine.left_early


async def test_models_and_tokens(gateway: Running, client: anthropic.AsyncAnthropic) -> None:
    models = [model async for model in client.models.list(limit=2)]
    assert len(models) == len({model.id for model in models}) > 2, "the client turned the pages"
    assert (await client.models.retrieve(models[0].id)).display_name == models[0].display_name
    with pytest.raises(anthropic.NotFoundError) as caught:
        await client.models.retrieve("nobody")
    assert caught.value.type == "not_found_error"
    gateway.engine.count = lambda plan: len(plan.request.messages) * 7
    counted = await client.messages.count_tokens(model="sonnet", messages=ASKING["messages"])
    assert counted.input_tokens == 7


# Tools


def call_then_answer(plan: Plan) -> list[Step]:
    """A call first, and words about its result in the next turn."""
    last = plan.request.messages[-1].blocks[-1]
    began: list[Step] = [Started(plan.turn_id, "claude-test-1", plan.created_s), Usage(5, 1)]
    if isinstance(last, ToolResultBlock):
        return [
            *began,
            PartStarted(0, PartKind.TEXT),
            PartDelta(0, f"It is {last.content}."),
            PartEnded(0),
            Ended(EndReason.STOP),
        ]
    return [
        *began,
        PartStarted(0, PartKind.THINKING),
        PartDelta(0, "hm"),
        PartEnded(0, "c2ln"),
        PartStarted(1, PartKind.REDACTED),
        PartDelta(1, "eA=="),
        PartEnded(1),
        PartStarted(2, PartKind.TOOL, "toolu_1", "add"),
        PartDelta(2, '{"a":1,'),
        PartDelta(2, '"b":2}'),
        PartEnded(2),
        Ended(EndReason.TOOL_USE),
    ]


@anthropic.beta_async_tool
async def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_tool_runner_runs_a_round(stream: bool) -> None:
    async with running(ScriptedEngine(call_then_answer)) as gateway, anthropic_client(gateway) as client:
        if stream:
            streaming = client.beta.messages.tool_runner(**ASKING, tools=[add], stream=True)
            last = await streaming.until_done()
        else:
            last = await client.beta.messages.tool_runner(**ASKING, tools=[add]).until_done()
        first, second = (plan.request for plan in gateway.engine.plans)
        statuses = [line["status"] for line in await gateway.logs.until(lambda lines: len(lines) == 3)]
    assert statuses == [400, 200, 200], "the client asks for a kept thread, and goes on without one"
    assert last.content[0].model_dump()["text"] == "It is 3."
    assert first.tools[0].name == "add"
    assert first.tools[0].schema is not None
    thoughts, redacted, call = second.messages[1].blocks
    assert "c2ln" in repr(thoughts)
    assert "eA==" in repr(redacted)
    assert "'b': 2" in repr(call)


async def test_several_requests_at_once(client: anthropic.AsyncAnthropic) -> None:
    answers = await asyncio.gather(*(client.messages.create(**ASKING) for _ in range(5)))
    assert len({answer.id for answer in answers}) == 5


async def test_a_refused_request_says_where(client: anthropic.AsyncAnthropic) -> None:
    without_text: Any = [{"role": "user", "content": [{"type": "text"}]}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]\.content\[0\]\.text"):
        await client.messages.create(model="m", max_tokens=1, messages=without_text)
