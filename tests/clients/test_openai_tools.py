"""The official openai client's tools and schemas, the whole way: gateway, bundled claude, stand-in upstream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest

from claude_code_api.standin import Answer, StandIn, Text, ToolUse, calls
from tests.clients.whole_way import whole_way

pytestmark = pytest.mark.real_cli

ADD: dict[str, Any] = {
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
}
TOOLS: Any = [{"type": "function", "function": ADD}]
TWO_CALLS = Answer(
    (
        Text("Let me see."),
        ToolUse("toolu_1", "add", pieces=('{"a": 1', ', "b": 2}')),
        ToolUse("toolu_2", "add", {"a": 3, "b": 4}),
    ),
    stop_reason="tool_use",
)


class Point(pydantic.BaseModel):
    x: int
    label: str


def results_of(message: Any) -> list[dict[str, Any]]:
    """Do what the calls ask for."""
    found = []
    for call in message.tool_calls:
        arguments = json.loads(call.function.arguments)
        found.append({"role": "tool", "tool_call_id": call.id, "content": str(arguments["a"] + arguments["b"])})
    return found


async def whole(client: openai.AsyncOpenAI, messages: Any) -> Any:
    answer = await client.chat.completions.create(model="haiku", messages=messages, tools=TOOLS)
    return answer.choices[0]


async def streamed(client: openai.AsyncOpenAI, messages: Any) -> Any:
    async with client.chat.completions.stream(model="haiku", messages=messages, tools=TOOLS) as stream:
        async for _ in stream:
            pass
        return (await stream.get_final_completion()).choices[0]


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "fresh"])
async def test_a_tool_loop_whole_and_streamed(tmp_path: Path, warm: bool) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream, warm=warm) as (_, client):
            for ask in (whole, streamed):
                upstream.clear()
                upstream.play(TWO_CALLS, "3 and 7")
                messages: list[Any] = [{"role": "user", "content": "add"}]
                asked = await ask(client, messages)
                assert asked.finish_reason == "tool_calls"
                assert asked.message.content == "Let me see."
                messages += [asked.message.model_dump(exclude_none=True), *results_of(asked.message)]
                answered = await ask(client, messages)
                assert (answered.message.content, answered.finish_reason) == ("3 and 7", "stop")
                first, second = [record.body for record in upstream.messages]
                assert (
                    [tool["name"] for tool in first["tools"]] == [tool["name"] for tool in second["tools"]] == ["add"]
                )
                made, given = second["messages"][-2:]
                assert [(block["type"], block.get("input")) for block in made["content"]] == [
                    ("text", None),
                    ("tool_use", {"a": 1, "b": 2}),
                    ("tool_use", {"a": 3, "b": 4}),
                ]
                assert [(block["tool_use_id"], block["content"]) for block in given["content"]] == [
                    ("toolu_1", "3"),
                    ("toolu_2", "7"),
                ]


async def test_an_answer_is_parsed_into_a_model(tmp_path: Path) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream, warm=True) as (_, client):
            upstream.always('{"x": 1, "label": "ü"}')
            messages: Any = [{"role": "user", "content": "a point"}]
            parsed = await client.chat.completions.parse(model="haiku", messages=messages, response_format=Point)
            async with client.chat.completions.stream(
                model="haiku", messages=messages, response_format=Point
            ) as stream:
                final = await stream.get_final_completion()
    for choice in (parsed.choices[0], final.choices[0]):
        assert choice.message.parsed == Point(x=1, label="ü")
    for record in upstream.messages:
        schema = record.body["output_config"]["format"]["schema"]
        assert (schema["required"], schema["additionalProperties"]) == (["x", "label"], False)


async def test_several_answers_are_as_many_turns(tmp_path: Path) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream, warm=True) as (_, client):
            upstream.play(*["one", "two", "three"] * 2)
            messages: Any = [{"role": "user", "content": "hi"}]
            answer = await client.chat.completions.create(model="haiku", messages=messages, n=3)
            async with client.chat.completions.stream(model="haiku", messages=messages, n=3) as stream:
                final = await stream.get_final_completion()
    for choices in (answer.choices, final.choices):
        assert [(choice.index, choice.message.content) for choice in choices] == [(0, "one"), (1, "two"), (2, "three")]
    assert len(upstream.messages) == 6


async def test_the_legacy_form_is_answered_in_the_legacy_form(tmp_path: Path) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream, warm=True) as (_, client):
            legacy: dict[str, Any] = {"model": "haiku", "functions": [ADD], "function_call": {"name": "add"}}
            messages: list[Any] = [{"role": "user", "content": "add"}]
            upstream.play(*[calls(ToolUse("toolu_1", "add", pieces=('{"a": 1', ', "b": 2}')))] * 2, "3")
            raw: Any = await client.chat.completions.create(messages=messages, **legacy)
            asked = raw.choices[0]
            pieces = [
                chunk.choices[0].delta.function_call
                async for chunk in await client.chat.completions.create(messages=messages, stream=True, **legacy)
                if chunk.choices[0].delta.function_call
            ]
            called = {"role": "assistant", "content": None, "function_call": asked.message.function_call.model_dump()}
            messages += [called, {"role": "function", "name": "add", "content": "3"}]
            functions: Any = [ADD]
            last: Any = await client.chat.completions.create(model="haiku", messages=messages, functions=functions)
    assert (asked.finish_reason, asked.message.tool_calls) == ("function_call", None)
    assert json.loads(asked.message.function_call.arguments) == {"a": 1, "b": 2}
    assert [piece.name for piece in pieces if piece.name] == ["add"]
    assert json.loads("".join(piece.arguments for piece in pieces)) == {"a": 1, "b": 2}
    assert last.choices[0].message.content == "3"
    first, _, third = [record.body for record in upstream.messages]
    assert first["tool_choice"] == {"type": "tool", "name": "add", "disable_parallel_tool_use": True}
    made, given = third["messages"][-2:]
    assert made["content"][0]["id"] == given["content"][0]["tool_use_id"]
