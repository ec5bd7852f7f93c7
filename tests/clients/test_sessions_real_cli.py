"""Sessions, the whole way: whatever speaks, and whatever has died in between, the upstream gets the same history."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.standin import Answer, StandIn, Thinking, ToolUse, says
from tests.clients.whole_way import whole_way
from tests.http.loopback import KEY, Running

pytestmark = pytest.mark.real_cli

MODEL = "claude-haiku-4-5"
TOOL = {
    "type": "function",
    "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"key": {"type": "string"}}}},
}


def asked_upstream(upstream: StandIn) -> list[Any]:
    """The messages of the last request that reached the model, without the marks of its cache."""
    body: Any = upstream.messages[-1].body
    return [
        {"role": message["role"], "content": [_unmarked(block) for block in _blocks(message["content"])]}
        for message in body["messages"]
    ]


def _blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _unmarked(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != "cache_control"}


def text(role: str, *words: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": word} for word in words]}


async def chat(gateway: Running, messages: list[Any], session: str | None = None, **more: Any) -> httpx2.Response:
    headers = {"x-session-id": session} if session else {}
    body = {"model": MODEL, "messages": messages, **more}
    answer = await gateway.http.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "fresh"])
@pytest.mark.parametrize("whole", [True, False], ids=["all sent again", "only the result sent"])
@pytest.mark.parametrize("killed", ["nothing", "processes", "gateway"])
async def test_between_the_halves_of_a_tool_round(
    tmp_path: Path, upstream: StandIn, warm: bool, whole: bool, killed: str
) -> None:
    """The thoughts are in no field of this dialect; the session has them."""
    call = ToolUse("toolu_1", "lookup", {"key": "k"})
    upstream.play(Answer((Thinking("hm", signature="c2lnbmVk"), call), stop_reason="tool_use"))
    upstream.play(says("it is 42"))
    question = {"role": "user", "content": "what is k?"}
    data_dir = tmp_path / "data"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    options: dict[str, Any] = {"tools": [TOOL], "reasoning_effort": "high"}

    async def second_half(gateway: Running, session: str, message: Any) -> None:
        result = {"role": "tool", "tool_call_id": "toolu_1", "content": "42"}
        history = [question, message, result] if whole else [result]
        answer = await chat(gateway, history, None if whole else session, **options)
        assert answer.headers["x-session-id"] == session
        assert answer.json()["choices"][0]["message"]["content"] == "it is 42"

    async with whole_way(tmp_path / "one", upstream, warm=warm, data_dir=data_dir) as (gateway, _):
        first = await chat(gateway, [question], **options)
        session, message = first.headers["x-session-id"], first.json()["choices"][0]["message"]
        assert message["tool_calls"][0]["function"] == {"name": "lookup", "arguments": '{"key":"k"}'}
        if killed == "processes":
            kill_processes(gateway)
        if killed != "gateway":
            await second_half(gateway, session, message)
    if killed == "gateway":
        async with whole_way(tmp_path / "two", upstream, warm=warm, data_dir=data_dir) as (gateway, _):
            await second_half(gateway, session, message)
    assert asked_upstream(upstream) == [
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
    body: Any = upstream.messages[-1].body
    assert body["thinking"]["type"] in ("adaptive", "enabled")
    assert len(upstream.messages) == 2


def kill_processes(gateway: Running) -> None:
    engine: Any = gateway.engine
    assert isinstance(engine, ClaudeEngine)
    for resident in tuple(engine._starter.alive):  # noqa: SLF001 - the pids are nobody else's business
        os.kill(resident.process.pid, signal.SIGKILL)


async def test_a_session_goes_through_every_dialect(tmp_path: Path, upstream: StandIn) -> None:
    for word in ("one", "two", "three", "four"):
        upstream.play(says(word))
    headers = {"authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"}
    async with whole_way(tmp_path, upstream, warm=True) as (gateway, _):
        first = await chat(gateway, [{"role": "user", "content": "a"}])
        session = first.headers["x-session-id"]
        body = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "b"}]}
        second = await gateway.http.post("/v1/messages", json=body, headers={**headers, "x-session-id": session})
        assert second.json()["content"][0]["text"] == "two"
        whole = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "one"},
            {"role": "user", "content": "b"},
            {"role": "assistant", "content": "two"},
        ]
        third = await gateway.http.post(
            "/v1/messages", json={**body, "messages": [*whole, {"role": "user", "content": "c"}]}, headers=headers
        )
        live = await gateway.http.get(f"/claude/stream/{session}", params={"query": "d"})
        assert "four" in live.text
        ids = {answer.headers["x-session-id"] for answer in (first, second, third, live)}
        assert ids == {session}
    spoken = [("user", "a"), ("assistant", "one"), ("user", "b"), ("assistant", "two"), ("user", "c")]
    assert asked_upstream(upstream) == [
        text(role, word) for role, word in [*spoken, ("assistant", "three"), ("user", "d")]
    ]
