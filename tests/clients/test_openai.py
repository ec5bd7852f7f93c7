"""The official openai client, talking with a running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from claude_code_api.engine.scripted import ScriptedEngine, WaitFor
from claude_code_api.flow.options import FlowOptions, UnknownModel
from claude_code_api.flow.ports import OfferedModel
from claude_code_api.http.options import HttpOptions
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed
from tests.dialects.event_lines import load_events
from tests.harness.waiting import BOUND_S
from tests.http.loopback import CLAUDE_MODEL, KEY, Door, Running, answer_events, asking, plays, running, says, stops_at

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
MESSAGES: Any = asking()["messages"]


@asynccontextmanager
async def official(gateway: Running, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    http = httpx2.AsyncClient(trust_env=False, timeout=BOUND_S)
    settings = {"api_key": KEY, "base_url": gateway.url + "/v1", "max_retries": 0, "http_client": http, **options}
    async with openai.AsyncOpenAI(**settings) as client:
        yield client


async def test_a_whole_answer(gateway: Running) -> None:
    async with official(gateway) as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello!"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4o"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (50, 5, 55)


async def test_a_stream(gateway: Running) -> None:
    async with official(gateway) as client:
        stream = await client.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "Hello!"
    assert [chunk.usage for chunk in chunks if chunk.usage] == []
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1


async def test_usage_comes_once_and_last_when_it_is_asked_for(gateway: Running) -> None:
    async with official(gateway) as client:
        stream = await client.chat.completions.create(
            model="sonnet", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert [bool(chunk.usage) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 55


@pytest.mark.parametrize(
    "scenario", ["text", "thinking", "unicode", "long_answer", "tool_calls_parallel", "empty_answer"]
)
async def test_the_clients_own_helper_sees_the_same_as_a_whole_answer(scenario: str) -> None:
    async with running(plays(load_events(GOLDEN / scenario / "events.jsonl"))) as gateway, official(gateway) as client:
        whole = await client.chat.completions.create(model="m", messages=MESSAGES)
        options: Any = {"include_usage": True}
        async with client.chat.completions.stream(model="m", messages=MESSAGES, stream_options=options) as stream:
            joined = await stream.get_final_completion()
    assert joined.choices[0].message.content == whole.choices[0].message.content
    assert joined.choices[0].finish_reason == whole.choices[0].finish_reason
    found = [
        (call.id, call.function.name, call.function.arguments) for call in joined.choices[0].message.tool_calls or ()
    ]
    calls: Any = whole.choices[0].message.tool_calls or ()
    assert found == [(call.id, call.function.name, call.function.arguments) for call in calls]
    assert joined.usage == whole.usage


def test_the_client_without_async() -> None:
    """The gateway has the loop, the client a thread of its own."""

    async def serve() -> tuple[str, list[str], list[str]]:
        async with running() as gateway:
            return await asyncio.to_thread(talk, gateway.url)

    def talk(url: str) -> tuple[str, list[str], list[str]]:
        with (
            httpx2.Client(trust_env=False, timeout=BOUND_S) as http,
            openai.OpenAI(api_key=KEY, base_url=url + "/v1", http_client=http) as client,
        ):
            whole = client.chat.completions.create(model="sonnet", messages=MESSAGES)
            stream = client.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
            pieces = [choice.delta.content or "" for chunk in stream for choice in chunk.choices]
            return whole.choices[0].message.content or "", pieces, [model.id for model in client.models.list()]

    said, pieces, models = asyncio.run(serve())
    assert said == "".join(pieces) == "Hello!"
    assert "claude-sonnet-4-20250514" in models


# Errors

CLASSES: list[tuple[ErrorKind, type[openai.APIStatusError]]] = [
    (ErrorKind.CONTEXT_TOO_LONG, openai.BadRequestError),
    (ErrorKind.UPSTREAM_INVALID, openai.BadRequestError),
    (ErrorKind.FORBIDDEN, openai.PermissionDeniedError),
    (ErrorKind.CONFLICT, openai.ConflictError),
    (ErrorKind.AT_CAPACITY, openai.RateLimitError),
    (ErrorKind.UPSTREAM_RATE_LIMITED, openai.RateLimitError),
    (ErrorKind.UPSTREAM_OVERLOADED, openai.InternalServerError),
    (ErrorKind.UPSTREAM_AUTH, openai.InternalServerError),
    (ErrorKind.NO_CREDENTIALS, openai.InternalServerError),
    (ErrorKind.INTERNAL, openai.InternalServerError),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("kind", "wanted"), CLASSES, ids=lambda value: getattr(value, "name", ""))
async def test_a_failure_is_raised_as_what_it_is(
    kind: ErrorKind, wanted: type[openai.APIStatusError], stream: bool
) -> None:
    async with running(plays([Failed(TurnError(kind, "What to do."))])) as gateway, official(gateway) as client:
        with pytest.raises(wanted) as raised:
            await client.chat.completions.create(model="sonnet", messages=MESSAGES, stream=stream)
    assert "What to do." in raised.value.message
    body: Any = raised.value.body
    assert body["message"] == "What to do."
    assert raised.value.code == body["code"]
    assert raised.value.request_id is not None


async def test_what_the_client_itself_did_wrong() -> None:
    flow = FlowOptions(unknown_model=UnknownModel.REFUSE)
    async with running(flow=flow) as gateway, official(gateway) as client:
        create: Any = client.chat.completions.create
        with pytest.raises(openai.NotFoundError, match="llama-3"):
            await create(model="llama-3", messages=MESSAGES, stream=True)
        with pytest.raises(openai.BadRequestError, match="messages") as raised:
            await create(model="sonnet", messages=[])
        assert raised.value.param == "messages"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("llama-3")
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="sonnet", input="x")
    async with running() as gateway, official(gateway, api_key="cca-wrong") as client:
        with pytest.raises(openai.AuthenticationError, match="valid API key"):
            await client.models.list()


async def test_a_failure_in_the_middle_is_raised_after_what_was_said() -> None:
    events = load_events(GOLDEN / "error_mid_stream" / "events.jsonl")
    async with running(plays(events)) as gateway, official(gateway) as client:
        said: list[str] = []
        with pytest.raises(openai.APIError, match="ended before the answer was whole"):
            await read_stream(client, said)
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="m", messages=MESSAGES)
    assert "".join(said) == "Hel"


async def read_stream(client: openai.AsyncOpenAI, said: list[str]) -> None:
    async for chunk in await client.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True):
        said += [choice.delta.content or "" for choice in chunk.choices]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("kind", "source", "turns"),
    [
        (ErrorKind.UPSTREAM_OVERLOADED, "upstream", 1),
        (ErrorKind.UPSTREAM_RATE_LIMITED, "upstream", 1),
        (ErrorKind.ENGINE_DIED, "engine", 1),
        (ErrorKind.INTERRUPTED, "client", 1),
        # It never reached the model: the client may come again, and does so three times in all.
        (ErrorKind.AT_CAPACITY, "gateway", 3),
        (ErrorKind.INTERNAL, "gateway", 3),
        (ErrorKind.INTERNAL, "engine", 1),
    ],
)
async def test_a_turn_that_reached_the_model_is_not_run_again(
    kind: ErrorKind, source: Any, turns: int, stream: bool
) -> None:
    error = TurnError(kind, "no", source=source, retry_after_s=0)
    async with running(plays([Failed(error)])) as gateway, official(gateway, max_retries=2) as client:
        with pytest.raises(openai.APIStatusError):
            await client.chat.completions.create(model="sonnet", messages=MESSAGES, stream=stream)
        assert len(gateway.engine.plans) == turns


# Beside the answers


async def test_models() -> None:
    engine = says("Hello")
    engine.models = (OfferedModel("opus", "claude-opus-9", "Opus"),)
    async with running(engine) as gateway, official(gateway) as client:
        models = [model async for model in client.models.list()]
        one = await client.models.retrieve("gpt-4")
    assert models[0].id == "claude-opus-9"
    assert all((model.object, model.owned_by) == ("model", "anthropic") for model in models)
    assert all(isinstance(model.created, int) for model in models)
    assert one.id == "gpt-4"


async def test_headers_and_ids(gateway: Running) -> None:
    async with official(gateway) as client:
        raw = await client.chat.completions.with_raw_response.create(model="sonnet", messages=MESSAGES, seed=7)
        parsed = raw.parse()
        listed = await client.models.list()
    assert raw.headers["x-claude-model"] == CLAUDE_MODEL
    assert raw.headers["x-ignored-params"] == "seed"
    assert raw.request_id == raw.headers["x-request-id"] == parsed._request_id  # noqa: SLF001 - the documented name
    assert listed._request_id != raw.request_id  # noqa: SLF001


async def test_one_connection_serves_many_requests(gateway: Running) -> None:
    http = httpx2.AsyncClient(trust_env=False, timeout=BOUND_S, limits=httpx2.Limits(max_connections=1))
    async with official(gateway, http_client=http) as client:
        for number in range(15):
            if number % 2:
                answer = await client.chat.completions.create(model="sonnet", messages=MESSAGES)
                assert answer.choices[0].message.content == "Hello!"
            else:
                async for _ in await client.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True):
                    pass
    assert {line["outcome"] for line in await gateway.logs.until(lambda lines: len(lines) == 15)} == {"stop"}
    assert gateway.engine.left_early == []


async def test_eight_streams_at_once_do_not_mix() -> None:
    """All are open together before any may end."""
    door, count, length = Door(), 8, 50

    def script(plan: Any) -> list[Any]:
        text: str = plan.request.messages[0].blocks[0].text
        steps = answer_events(plan, *[f"{text}-{number} " for number in range(length)])
        return [*steps[:20], WaitFor(door), *steps[20:]]

    async with running(ScriptedEngine(script)) as gateway, official(gateway) as client:

        async def read(name: str, opened: asyncio.Event) -> str:
            messages: Any = asking(name)["messages"]
            said = ""
            async for chunk in await client.chat.completions.create(model="m", messages=messages, stream=True):
                opened.set()
                said += "".join(choice.delta.content or "" for choice in chunk.choices)
            return said

        opened = [asyncio.Event() for _ in range(count)]
        reading = [asyncio.create_task(read(f"s{number}", opened[number])) for number in range(count)]
        for event in opened:
            await event.wait()
        assert gateway.engine.running == count
        door.set()
        answers = await asyncio.gather(*reading)
    assert answers == ["".join(f"s{number}-{index} " for index in range(length)) for number in range(count)]


# Leaving


async def test_a_stream_that_is_closed_ends_the_turn() -> None:
    door = Door()
    async with running(stops_at(4, door, "a", "b")) as gateway, official(gateway) as client:
        stream = await client.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content == "b":
                break
        await stream.close()
        assert (await gateway.logs.request())["outcome"] == "client_left"
        assert len(gateway.engine.left_early) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_loses_patience_ends_the_turn(stream: bool) -> None:
    # Comments keep a stream's connection alive, and so this client's patience is for the next byte.
    quiet = HttpOptions(heartbeat_s=1000)
    async with (
        running(stops_at(3, Door(), "a", "b"), http=quiet) as gateway,
        official(gateway, timeout=httpx2.Timeout(BOUND_S, read=0.2)) as client,
    ):
        with pytest.raises((openai.APITimeoutError, httpx2.ReadTimeout)):
            await (read_stream(client, []) if stream else client.chat.completions.create(model="m", messages=MESSAGES))
        assert (await gateway.logs.request())["outcome"] == "client_left"
        assert len(gateway.engine.left_early) == 1
