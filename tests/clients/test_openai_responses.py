"""The official openai client's responses, talking with a running gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.events import Ended, EndReason, PartDelta, PartEnded, PartKind, PartStarted, Started
from claude_code_api.turn.request import ToolResultBlock
from tests.dialects.event_lines import load_events
from tests.harness.waiting import BOUND_S
from tests.http.loopback import KEY, Door, Running, answer_events, plays, running, says, stops_at

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ADD: Any = {
    "type": "function",
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
    "strict": False,
}


@asynccontextmanager
async def official(gateway: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    http = httpx2.AsyncClient(trust_env=False, timeout=BOUND_S)
    async with openai.AsyncOpenAI(api_key=KEY, base_url=gateway.url + "/v1", max_retries=0, http_client=http) as client:
        yield client


async def test_a_whole_answer(gateway: Running) -> None:
    async with official(gateway) as client:
        answer = await client.responses.create(model="gpt-5", input="hi", instructions="Be brief.", metadata={"a": "b"})
    assert (answer.output_text, answer.status, answer.model) == ("Hello!", "completed", "gpt-5")
    assert (answer.instructions, answer.metadata) == ("Be brief.", {"a": "b"})
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (50, 5, 55)


@pytest.mark.parametrize(
    "scenario", ["text", "thinking", "unicode", "long_answer", "tool_calls_parallel", "empty_answer", "tool_call_only"]
)
async def test_the_clients_own_helper_sees_the_same_as_a_whole_answer(scenario: str) -> None:
    events = load_events(GOLDEN / scenario / "events.jsonl")
    async with running(plays(events)) as gateway, official(gateway) as client:
        whole = await client.responses.create(model="m", input="hi")
        async with client.responses.stream(model="m", input="hi") as stream:
            joined = await stream.get_final_response()
    assert joined.output_text == whole.output_text
    found = [item.model_dump(exclude={"parsed_arguments"}, exclude_none=True) for item in joined.output]
    for item in found:
        for part in item.get("content", []):
            part.pop("parsed", None)
    assert found == [item.model_dump(exclude_none=True) for item in whole.output]
    assert joined.usage == whole.usage


class Person(BaseModel):
    name: str
    age: int


async def test_a_parsed_answer() -> None:
    async with running(says('{"name":"Ada",', '"age":36}')) as gateway, official(gateway) as client:
        answer = await client.responses.parse(model="m", input="who?", text_format=Person)
        assert answer.output_parsed == Person(name="Ada", age=36)
        plan: Plan = gateway.engine.plans[0]
        config: Any = plan.request.as_is["output_config"]
        assert config["format"]["schema"]["required"] == ["name", "age"]
        async with client.responses.stream(model="m", input="who?", text_format=Person) as stream:
            assert (await stream.get_final_response()).output_parsed == Person(name="Ada", age=36)


def adds() -> ScriptedEngine:
    """Calls twice, and then says what it was told."""

    def script(plan: Plan) -> list[Step]:
        told = [block for block in plan.request.messages[-1].blocks if isinstance(block, ToolResultBlock)]
        if told:
            return answer_events(plan, " and ".join(str(block.content) for block in told))
        calls: list[Step] = [Started(plan.turn_id, "m", plan.created_s)]
        for n in range(2):
            calls += [
                PartStarted(n, PartKind.TOOL, f"toolu_{n}", "add"),
                PartDelta(n, f'{{"a": {n}, '),
                PartDelta(n, '"b": 2}'),
                PartEnded(n),
            ]
        return [*calls, Ended(EndReason.TOOL_USE)]

    return ScriptedEngine(script)


@pytest.mark.parametrize("by_id", [True, False], ids=["by id", "all sent again"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_tool_loop(by_id: bool, streamed: bool) -> None:
    async def ask(client: openai.AsyncOpenAI, sent: Any, **more: Any) -> Any:
        if not streamed:
            return await client.responses.create(model="m", input=sent, tools=[ADD], **more)
        async with client.responses.stream(model="m", input=sent, tools=[ADD], **more) as stream:
            return await stream.get_final_response()

    async with running(adds()) as gateway, official(gateway) as client:
        question: list[Any] = [{"role": "user", "content": "0 + 2, 1 + 2?"}]
        first = await ask(client, question)
        outputs: list[Any] = [
            {"type": "function_call_output", "call_id": item.call_id, "output": f"{item.name}{item.arguments}"}
            for item in first.output
        ]
        if by_id:
            second = await ask(client, outputs, previous_response_id=first.id)
        else:
            calls = [item.to_dict() for item in first.output]
            second = await ask(client, [*question, *calls, *outputs], store=False)
        assert second.output_text == 'add{"a": 0, "b": 2} and add{"a": 1, "b": 2}'
        assert second.conversation.id == first.conversation.id
        plan: Plan = gateway.engine.plans[-1]
        assert [message.role for message in plan.request.messages] == ["user", "assistant", "user"]


async def test_in_the_background() -> None:
    door = Door()
    async with running(stops_at(3, door, "one", "two")) as gateway, official(gateway) as client:
        begun = await client.responses.create(model="m", input="hi", background=True)
        assert begun.status == "in_progress"
        await door.reached.wait()
        assert (await client.responses.retrieve(begun.id)).status == "in_progress"
        cancelled = await client.responses.cancel(begun.id)
        assert (cancelled.status, cancelled.output_text) == ("cancelled", "one")
    async with running(says("one", "two")) as gateway, official(gateway) as client:
        stream = await client.responses.create(model="m", input="hi", background=True, stream=True)
        events = [event async for event in stream]
        begun = events[0].response  # type: ignore[union-attr]
        rest = await client.responses.retrieve(begun.id, stream=True, starting_after=4)
        assert [event async for event in rest] == events[5:]
        assert (await client.responses.retrieve(begun.id)).output_text == "onetwo"
        assert [item.type async for item in await client.responses.input_items.list(begun.id)] == ["message"]
        await client.responses.delete(begun.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(begun.id)


async def test_what_is_wrong_is_raised(gateway: Running) -> None:
    async with official(gateway) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            await client.responses.create(model="m", input="hi", previous_response_id="resp_1")
    assert (raised.value.code, raised.value.param) == ("previous_response_not_found", "previous_response_id")


async def test_items_come_page_by_page() -> None:
    async with running(says("x")) as gateway, official(gateway) as client:
        answer = await client.responses.create(model="m", input="0")
        for n in range(1, 5):
            answer = await client.responses.create(model="m", input=str(n), previous_response_id=answer.id)
        items: list[Any] = [
            item async for item in await client.responses.input_items.list(answer.id, limit=2, order="asc")
        ]
    assert [item.content[0].text for item in items] == ["0", "x", "1", "x", "2", "x", "3", "x", "4"]
