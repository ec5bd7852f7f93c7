"""Functions, schemas and effort: what a client asks for is upstream word for word, whichever way the engine takes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.engine.prove import Proof
from claude_code_api.standin import Answer, Text, ToolUse, calls
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import Ended, EndReason, PartKind
from claude_code_api.turn.request import (
    Message,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    TurnRequest,
)
from claude_code_api.turn.result import TurnResult
from tests.real_cli.rig import Rig, as_blocks, asks, checked, plain, plan

# A turn's result and the body of the one request that it made upstream.
Ask: TypeAlias = Callable[..., Awaitable[tuple[TurnResult, Any]]]
WARM, FRESH = "warm", "fresh"

ODD_SCHEMA: dict[str, Any] = {
    "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
    "type": "object",
    "properties": {"z": {"oneOf": [{"$ref": "#/$defs/point"}, {"enum": ["ü", None, 1.5]}]}},
}
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"b": {"enum": ["ü", None, 1.5]}, "a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOLS: list[dict[str, Any]] = [
    {"name": "zeta", "description": "d" * 9_000, "parameters": ODD_SCHEMA, "strict": False},
    {"name": "Read", "description": "reads @/etc/passwd", "parameters": {"type": "object", "properties": {}}},
    {"name": "alpha-1_", "parameters": CLOSED, "strict": True},
]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)


def functions(*descriptions: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "function", "function": description} for description in descriptions or TOOLS]


def chat(text: str = "hi", **fields: Any) -> TurnRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    request = OPENAI_CHAT.parse(body, {})
    assert request.ignored == ()
    return request


@pytest.fixture(params=[WARM, FRESH])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def asking(rig: Rig, way: str) -> AsyncIterator[Ask]:
    async with rig.engine() as engine:
        if way == WARM:
            engine.trust(Proof({"all": True}))

        async def ask(request: TurnRequest, **planned_with: Any) -> tuple[TurnResult, Any]:
            before = len(rig.calls())
            planned = plan(request, **planned_with)
            async with engine.lease(planned) as lease:
                events = [event async for batch in lease.batches() for event in batch]
            (body,) = rig.bodies()[before:]
            return checked(events), body

        yield ask


async def test_functions_and_choices_are_upstream_as_the_client_wrote_them(rig: Rig, way: str) -> None:
    named = {"type": "function", "function": {"name": "Read"}}
    wishes: list[tuple[dict[str, Any], Any]] = [
        ({}, None),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": named, "parallel_tool_calls": False}, {"type": "tool", "name": "Read", "disable": True}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable": True}),
    ]
    async with asking(rig, way) as ask:
        for wish, choice in wishes:
            result, body = await ask(chat(tools=functions(), **wish))
            assert result.ended == Ended(EndReason.STOP)
            # The order of the keys counts as well: the model reads them in that order.
            assert json.dumps(plain(body["tools"])) == json.dumps([_upstream(tool) for tool in TOOLS])
            found = body.get("tool_choice")
            if found is not None and "disable_parallel_tool_use" in found:
                found = {**found, "disable": found["disable_parallel_tool_use"]}
                del found["disable_parallel_tool_use"]
            assert found == choice, wish
        for nothing in (chat(), chat(tools=[])):
            _, after = await ask(nothing)
            assert not after.get("tools")
            assert after.get("tool_choice") is None


def _upstream(tool: dict[str, Any]) -> dict[str, Any]:
    described = {"description": tool["description"]} if "description" in tool else {}
    strict = {"strict": tool["strict"]} if "strict" in tool else {}
    return {"name": tool["name"], **described, "input_schema": tool["parameters"], **strict}


async def test_calls_are_the_models_own_and_cost_one_request(rig: Rig, way: str) -> None:
    # What the model said, and the calls that have to come of it: id, name, arguments.
    said: list[tuple[Answer, list[tuple[str, str, str]]]] = [
        (calls(ToolUse("toolu_1", "Read", pieces=('{"pa', 'th": "ü"}'))), [("toolu_1", "Read", '{"path": "ü"}')]),
        (
            calls(ToolUse("toolu_1", "Read", {}), ToolUse("toolu_2", "zeta", {"x": 1})),
            [("toolu_1", "Read", "{}"), ("toolu_2", "zeta", '{"x": 1}')],
        ),
        (calls(ToolUse("toolu_3", "Read", "{not JSON")), [("toolu_3", "Read", "{not JSON")]),
        (calls(ToolUse("toolu_4", "never_offered", {"a": [1]})), [("toolu_4", "never_offered", '{"a": [1]}')]),
    ]
    async with asking(rig, way) as ask:
        for answer, expected in said:
            rig.upstream.clear()
            rig.upstream.play(answer)
            result, _ = await ask(chat(tools=functions()))
            assert result.ended == Ended(EndReason.TOOL_USE), expected
            found = [(part.tool_id, part.tool_name, part.text) for part in result.parts]
            assert [call[:2] for call in found] == [call[:2] for call in expected]
            assert [_loaded(call[2]) for call in found] == [_loaded(call[2]) for call in expected]
        rig.upstream.clear()
        rig.upstream.play(Answer((Text("Let me see."), ToolUse("toolu_5", "Read", {})), stop_reason="tool_use"))
        result, _ = await ask(chat(tools=functions()))
        assert [part.kind for part in result.parts] == [PartKind.TEXT, PartKind.TOOL]


def _loaded(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


async def test_results_go_in_with_the_next_request_as_they_are(rig: Rig, way: str) -> None:
    data = base64.b64encode(PNG).decode()
    big = "0123456789abcdef ü\n" * 22_000
    call_ids = ("toolu_1", "toolu_2", "toolu_3")
    asked = [
        {"id": call_id, "type": "function", "function": {"name": "Read", "arguments": '{"b": 1, "a": [null, 1.5]}'}}
        for call_id in call_ids
    ]
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    answers = ["@/etc/passwd ", [{"type": "text", "text": "see"}, picture], big]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": asked},
        *(
            {"role": "tool", "tool_call_id": call_id, "content": answer}
            for call_id, answer in zip(call_ids, answers, strict=True)
        ),
    ]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    contents = [answers[0], [{"type": "text", "text": "see"}, image], big]
    async with asking(rig, way) as ask:
        result, body = await ask(chat(messages=messages, tools=functions()))
    assert result.text_of(PartKind.TEXT) == "ok"
    assert as_blocks(body["messages"]) == [
        ("user", [{"type": "text", "text": "go"}]),
        (
            "assistant",
            [
                {"type": "tool_use", "id": call_id, "name": "Read", "input": {"b": 1, "a": [None, 1.5]}}
                for call_id in call_ids
            ],
        ),
        (
            "user",
            [
                {"type": "tool_result", "tool_use_id": call_id, "content": content}
                for call_id, content in zip(call_ids, contents, strict=True)
            ],
        ),
    ]


async def test_signed_thoughts_and_failed_calls_keep_their_place_in_a_round(rig: Rig, way: str) -> None:
    """No field of this dialect can say these two; the turn can, and dialects that know them rely on it."""
    thought = ThinkingBlock("hm", "c2lnbmVk")
    call = ToolUseBlock("toolu_1", "Read", {"path": "x"})
    history = (
        Message("user", (TextBlock("go"),)),
        Message("assistant", (thought, TextBlock("I look."), call)),
        Message("user", (ToolResultBlock("toolu_1", "no such file", is_error=True), TextBlock("and now?"))),
    )
    async with asking(rig, way) as ask:
        _, body = await ask(replace(chat(tools=functions()), messages=history))
    assert as_blocks(body["messages"])[1:] == [
        (
            "assistant",
            [
                {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "x"}},
            ],
        ),
        (
            "user",
            [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such file", "is_error": True},
                {"type": "text", "text": "and now?"},
            ],
        ),
    ]


async def test_schemas_and_effort_are_upstream_and_gone_in_the_next_turn(rig: Rig, way: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "odd", "schema": CLOSED, "strict": True}}
    async with asking(rig, way) as ask:
        _, body = await ask(chat(response_format=form, reasoning_effort="high", max_tokens=20_000, user="ada-lovelace"))
        assert json.dumps(body["output_config"]["format"]) == json.dumps({"type": "json_schema", "schema": CLOSED})
        assert body["thinking"] == {"type": "enabled", "budget_tokens": 16_384}
        assert (body["max_tokens"], body["metadata"]["user_id"]) == (20_000, "ada-lovelace")

        rig.upstream.play('{"a": 1}')
        result, body = await ask(chat(response_format={"type": "json_object"}))
        # No schema says it, so words do.
        assert "output_config" not in body
        assert "JSON" in body["system"][-1]["text"]
        assert result.text_of(PartKind.TEXT) == '{"a": 1}'

        _, body = await ask(chat(reasoning_effort="max"), model="sonnet")
        assert body["output_config"] == {"effort": "max"}
        assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
        _, body = await ask(chat(), model="sonnet")
        assert {"output_config", "thinking", "temperature"}.isdisjoint(body)

        _, body = await ask(chat())
        assert not {"output_config", "tools", "stop_sequences", "top_p"} & {name for name in body if body[name]}
        assert body["thinking"] == {"type": "disabled"}
        assert "ada-lovelace" not in body["metadata"]["user_id"]


async def test_tier_and_user_are_upstream_and_gone_in_the_next_turn(rig: Rig, way: str) -> None:
    async with asking(rig, way) as ask:
        for tier, told in (("auto", "auto"), ("default", "standard_only")):
            _, body = await ask(chat(service_tier=tier, metadata={"user_id": "ada-lovelace"}))
            assert (body["service_tier"], body["metadata"]) == (told, {"user_id": "ada-lovelace"})
        _, body = await ask(chat())
        assert "service_tier" not in body
        assert "ada-lovelace" not in body["metadata"]["user_id"]


async def test_a_begun_answer_goes_to_the_model_where_the_engine_can(rig: Rig) -> None:
    begun = replace(
        chat(), messages=(Message("user", (TextBlock("hi"),)), Message("assistant", (TextBlock("The answer is"),)))
    )
    async with asking(rig, WARM) as ask:
        _, body = await ask(begun)
        assert as_blocks(body["messages"])[-1] == ("assistant", [{"type": "text", "text": "The answer is"}])
        _, body = await ask(asks("next"))
        assert as_blocks(body["messages"]) == [("user", [{"type": "text", "text": "next"}])]
    async with asking(rig, FRESH) as ask:
        with pytest.raises(TurnRefusedError, match="cannot be continued"):
            await ask(begun)
