"""Responses, the whole way: what has to reach the upstream, whoever keeps the conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.standin import Answer, StandIn, Thinking, ToolUse, says
from tests.clients.test_sessions_real_cli import asked_upstream, chat, text
from tests.clients.whole_way import whole_way
from tests.http.loopback import KEY, Running

pytestmark = pytest.mark.real_cli

MODEL = "claude-haiku-4-5"
LOOKUP = {
    "type": "function",
    "name": "lookup",
    "parameters": {"type": "object", "properties": {"key": {"type": "string"}}},
}
ROUND = [
    text("user", "what is k?"),
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"},
            {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"key": "k"}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}]},
]


async def respond(gateway: Running, sent: Any, **more: Any) -> httpx2.Response:
    answer = await gateway.http.post("/v1/responses", json={"model": MODEL, "input": sent, **more})
    assert answer.status_code == 200, answer.text
    return answer


def will_call(upstream: StandIn) -> None:
    call = ToolUse("toolu_1", "lookup", {"key": "k"})
    upstream.play(Answer((Thinking("hm", signature="c2lnbmVk"), call), stop_reason="tool_use"))
    upstream.play(says("it is 42"))


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "fresh"])
async def test_a_client_that_keeps_everything_itself(tmp_path: Path, upstream: StandIn, warm: bool) -> None:
    """The gateway has forgotten it all in between: the thoughts come back in `encrypted_content`."""
    will_call(upstream)
    options: dict[str, Any] = {
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "high", "summary": "auto"},
        "tools": [LOOKUP],
    }
    question = {"role": "user", "content": "what is k?"}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with whole_way(tmp_path / "one", upstream, warm=warm) as (gateway, _):
        first = (await respond(gateway, [question], **options)).json()
    assert [item["type"] for item in first["output"]] == ["reasoning", "function_call"]
    result = {"type": "function_call_output", "call_id": "toolu_1", "output": "42"}
    async with whole_way(tmp_path / "two", upstream, warm=warm) as (gateway, _):
        second = (await respond(gateway, [question, *first["output"], result], **options)).json()
    assert second["output"][-1]["content"][0]["text"] == "it is 42"
    assert asked_upstream(upstream) == ROUND
    assert len(upstream.messages) == 2


async def test_a_client_that_keeps_nothing(tmp_path: Path, upstream: StandIn) -> None:
    will_call(upstream)
    async with whole_way(tmp_path, upstream, warm=True) as (_, client):
        tools: Any = [LOOKUP]
        first = await client.responses.create(
            model=MODEL, input="what is k?", tools=tools, reasoning={"effort": "high"}
        )
        second = await client.responses.create(
            model=MODEL,
            input=[{"type": "function_call_output", "call_id": "toolu_1", "output": "42"}],
            tools=tools,
            reasoning={"effort": "high"},
            previous_response_id=first.id,
        )
    assert second.output_text == "it is 42"
    assert asked_upstream(upstream) == ROUND


def codex(*history: Any) -> dict[str, Any]:
    """A request in the shape in which Codex sends it."""
    return {
        "model": MODEL,
        "instructions": "You are a coding agent.",
        "input": [
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "<permissions>read only</permissions>"}],
            },
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "what is k?"}]},
            *history,
        ],
        "tools": [
            {**LOOKUP, "strict": False, "description": "Looks things up."},
            {"type": "namespace", "name": "mcp__files", "description": "Files.", "tools": [LOOKUP]},
            {"type": "web_search", "external_web_access": True},
            {
                "type": "custom",
                "name": "apply_patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": ""},
            },
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0198c0de-0000-7000-8000-000000000000",
        "client_metadata": {"x-codex-installation-id": "1"},
    }


async def test_a_request_in_the_shape_of_codex(tmp_path: Path, upstream: StandIn) -> None:
    will_call(upstream)
    headers = {
        "session-id": "0198c0de",
        "thread-id": "0198c0de",
        "originator": "codex_cli_rs",
        "accept": "text/event-stream",
    }
    async with whole_way(tmp_path, upstream, warm=True) as (gateway, _):
        first = await gateway.http.post("/v1/responses", json=codex(), headers=headers)
        assert first.status_code == 200, first.text
        assert set(first.headers["x-ignored-params"].split(", ")) == {
            "tools.namespace",
            "tools.web_search",
            "tools.custom",
            "prompt_cache_key",
            "client_metadata",
        }
        done = items_done(first.text)
        assert [item["type"] for item in done] == ["reasoning", "function_call"]
        # It sends items as it keeps them, without their ids.
        history = [{key: value for key, value in item.items() if key not in ("id", "status")} for item in done]
        history.append({"type": "function_call_output", "call_id": "toolu_1", "output": "42"})
        second = await gateway.http.post("/v1/responses", json=codex(*history), headers=headers)
        assert items_done(second.text)[-1]["content"][0]["text"] == "it is 42"
        assert second.text.rstrip().splitlines()[-2] == "event: response.completed"
        assert second.headers["x-session-id"] == first.headers["x-session-id"]
    assert asked_upstream(upstream) == ROUND
    body: Any = upstream.messages[-1].body
    system = [block["text"] for block in body["system"]]
    assert system[-2:] == ["You are a coding agent.", "<permissions>read only</permissions>"]
    assert [tool["name"] for tool in body["tools"]] == ["lookup"]


def items_done(stream: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    frames = [httpx2.Response(200, content=line.encode()).json() for line in lines]
    return [frame["item"] for frame in frames if frame["type"] == "response.output_item.done"]


async def test_a_conversation_goes_through_every_dialect(tmp_path: Path, upstream: StandIn) -> None:
    for word in ("one", "two", "three", "four"):
        upstream.play(says(word))
    headers = {"authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"}
    async with whole_way(tmp_path, upstream, warm=True) as (gateway, _):
        first = await respond(gateway, "a")
        session = first.headers["x-session-id"]
        assert first.json()["conversation"] == {"id": f"conv_{session}"}
        whole = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "one"}]
        second = await chat(gateway, [*whole, {"role": "user", "content": "b"}])
        body = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "c"}]}
        third = await gateway.http.post("/v1/messages", json=body, headers={**headers, "x-session-id": session})
        fourth = await respond(gateway, "d", conversation=f"conv_{session}")
        ids = {answer.headers["x-session-id"] for answer in (first, second, third, fourth)}
        assert ids == {session}
    spoken = [("user", "a"), ("assistant", "one"), ("user", "b"), ("assistant", "two"), ("user", "c")]
    assert asked_upstream(upstream) == [
        text(role, word) for role, word in [*spoken, ("assistant", "three"), ("user", "d")]
    ]


async def test_a_response_that_nobody_waits_for(tmp_path: Path, upstream: StandIn) -> None:
    upstream.play(says("at last"))
    async with whole_way(tmp_path, upstream) as (_, client):
        begun = await client.responses.create(model=MODEL, input="take your time", background=True)
        assert begun.status in ("queued", "in_progress")
        stream = await client.responses.retrieve(begun.id, stream=True)
        last = [event async for event in stream][-1]
        assert last.type == "response.completed"
        found = await client.responses.retrieve(begun.id)
        assert (found.status, found.output_text) == ("completed", "at last")
