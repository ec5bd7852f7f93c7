"""A key's limits, the whole way: what the model is asked for is what they let through."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.standin import Answer as Scripted
from claude_code_api.standin import Gate, StandIn, Text, ToolUse, Usage
from tests.clients.whole_way import whole_way
from tests.http.loopback import CHAT, Running
from tests.http.test_api_keys import KEYS, make
from tests.http.test_key_limits import NO_RATE, spoofing, statuses, until

pytestmark = pytest.mark.real_cli

# Its answers have 8,192 tokens at most; the model's side is a stand-in, and asks no money.
MODEL = "claude-3-5-haiku-20241022"


async def spent_by(gateway: Running, name: str) -> float:
    rows = (await gateway.http.get("/v1/usage", params={"group_by": "key"})).json()["data"]
    return sum(float(row["total_cost"]) for row in rows if row["key"] == name)


async def test_item_15_the_rate_the_whole_way(tmp_path: Path, upstream: StandIn) -> None:
    upstream.always(Scripted((Text("yes"),), usage=Usage(7, 3)))
    async with whole_way(tmp_path, upstream, warm=True) as (gateway, _):
        made = await make(gateway, **{**NO_RATE, "requests_per_minute": 3})
        async with spoofing(gateway, made["key"]) as ask:
            answers = await asyncio.gather(*map(ask, range(50)))
    assert statuses(answers) == {200: 3, 429: 47}
    assert len(upstream.messages) == 3


async def test_item_15_turns_at_once_the_whole_way(tmp_path: Path, upstream: StandIn) -> None:
    upstream.always(Scripted((Text("ye"), Gate("go"), Text("s")), usage=Usage(7, 3)))
    async with whole_way(tmp_path, upstream, warm=True) as (gateway, _):
        made = await make(gateway, **{**NO_RATE, "concurrent_turns": 2, "queue": 1})
        async with spoofing(gateway, made["key"]) as ask:
            asked = [asyncio.ensure_future(ask(number)) for number in range(50)]
            await until(lambda: sum(task.done() for task in asked) == 47)
            await asyncio.to_thread(upstream.wait_at_gate, "go", count=2)
            assert len(upstream.messages) == 2
            upstream.release("go")
            answers = await asyncio.gather(*asked)
    assert statuses(answers) == {200: 3, 429: 47}


async def test_item_15_the_budget_the_whole_way(tmp_path: Path, upstream: StandIn) -> None:
    """Each turn costs what the CLI counts for it; together they overrun the budget by one of them at most."""
    upstream.always(Scripted((Text("yes"),), usage=Usage(1000, 500)))
    async with whole_way(tmp_path, upstream, warm=True) as (gateway, _):
        made = await make(gateway, **NO_RATE, budget_usd=1)
        async with spoofing(gateway, made["key"]) as ask:
            assert (await ask(0)).status_code == 200
            one = await spent_by(gateway, made["id"])
            assert one > 0
            budget = one * 3.5
            await gateway.http.patch(f"{KEYS}/{made['id']}", json={"budget_usd": budget})
            every = await asyncio.gather(*map(ask, range(1, 51)))
            while not any(is_spent(answer) for answer in every):
                every += await asyncio.gather(*map(ask, range(len(every) + 1, len(every) + 6)))
            used = await spent_by(gateway, made["id"])
    answered = statuses(every)[200] + 1
    assert used == pytest.approx(answered * one)
    assert budget <= used <= budget + one
    assert len(upstream.messages) == answered
    assert Counter(code_of(answer) for answer in every if answer.status_code == 429).keys() <= {
        "insufficient_quota",
        "rate_limit_exceeded",
    }


def code_of(answer: httpx2.Response) -> Any:
    return answer.json()["error"]["code"]


def is_spent(answer: httpx2.Response) -> bool:
    return answer.status_code == 429 and code_of(answer) == "insufficient_quota"


async def test_item_15_a_cut_turn_the_whole_way(tmp_path: Path, upstream: StandIn) -> None:
    """The CLI tells the cost at the end of a turn; one that is cut before counts by what was read and said."""
    upstream.always(Scripted((Text("a long answer " * 1000), Gate("never")), usage=Usage(3000, 500)))
    async with whole_way(tmp_path, upstream, warm=True) as (gateway, _):
        made = await make(gateway, **NO_RATE, budget_tokens=5000)
        async with gateway.client(authorization=f"Bearer {made['key']}") as client:
            body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            async with client.stream("POST", CHAT, json=body) as answer:
                heard = 0
                async for line in answer.aiter_lines():
                    heard += line.count("long answer")
                    if heard == 1000:
                        break
            await until(lambda: gateway.runner.admission.running == 0)
            again = await client.post(CHAT, json={**body, "stream": False})
    assert (again.status_code, code_of(again)) == (429, "insufficient_quota")


async def test_item_15_an_agent_is_stopped_when_the_budget_is_spent(tmp_path: Path, upstream: StandIn) -> None:
    """Nobody knows beforehand how many steps it takes: it is looked at after each."""
    async with whole_way(tmp_path, upstream, warm=True, data_dir=tmp_path / "data") as (gateway, _):
        made = await make(gateway, **NO_RATE, budget_tokens=3500, profile="edit")
        async with gateway.client(authorization=f"Bearer {made['key']}") as client:
            project = (await client.post("/v1/projects", json={"name": "p", "profile": "edit"})).json()
            (Path(project["path"]) / "a.txt").write_text("a")
            look = ToolUse("toolu_1", "Read", {"file_path": str(Path(project["path"]) / "a.txt")})
            upstream.always(Scripted((look,), stop_reason="tool_use", usage=Usage(1000, 100)))
            body = {"model": MODEL, "messages": [{"role": "user", "content": "look for ever"}]}
            stopped = await client.post(CHAT, json=body, headers={"x-project-id": project["id"]})
            again = await client.post(CHAT, json=body)
    assert (stopped.status_code, code_of(stopped)) == (429, "insufficient_quota")
    assert (again.status_code, code_of(again)) == (429, "insufficient_quota")
    assert 3 <= len(upstream.messages) <= 5
