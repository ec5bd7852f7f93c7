"""Two clients talk in one session at the same time, for long: what they make is one line, as the crash checker sees it.

Slow: `make faults`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.block_json import blocks_json
from tests.faults.crash import check
from tests.http import loopback
from tests.http.loopback import CHAT, Running, answer_events, asking, running
from tests.http.test_sessions import words

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

ROUNDS = 200
# As the scripted answers report it.
USED = {"input_tokens": 12, "output_tokens": 5}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


def answers(plan: Plan) -> list[Step]:
    marker = check.QUESTION.findall(words(plan.request.messages[-1]))[-1]
    return answer_events(plan, f"re({marker}) ", "yes")


async def talk(gateway: Running, name: str, session: str) -> list[dict[str, Any]]:
    """Say one thing after the other; returns the log of it."""
    log: list[dict[str, Any]] = []
    for number in range(1, ROUNDS + 1):
        marker = f"{name}-{number}"
        log.append({"event": "taught", "marker": marker, "text": f"re({marker}) yes", "usage": USED})
        answer = await gateway.http.post(CHAT, json=asking(f"<{marker}>"), headers={"x-session-id": session})
        body = answer.json()
        log.append(
            {
                "event": "attempt",
                "marker": marker,
                "request": marker,
                "key": None,
                "hung": False,
                "status": answer.status_code,
                "session": answer.headers.get("x-session-id"),
                "turn": body.get("id", "").removeprefix("chatcmpl-"),
                "text": body["choices"][0]["message"]["content"] if "choices" in body else "",
                "end": "done" if "choices" in body else "error",
                "error": body.get("error"),
            }
        )
    return log


async def test_two_clients_make_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "PATIENCE_S", 100)
    clients, upstream = tmp_path / "clients.jsonl", tmp_path / "upstream.jsonl"
    data = tmp_path / "data"
    async with running(ScriptedEngine(answers), data_dir=data) as gateway:
        session = (await gateway.http.post("/v1/sessions", json={})).json()["id"]
        logs = await asyncio.gather(talk(gateway, "c1", session), talk(gateway, "c2", session))
        requests = [plan.request.messages for plan in gateway.engine.plans]
    clients.write_text("".join(json.dumps(line) + "\n" for log in logs for line in log))
    upstream.write_text(
        "".join(
            json.dumps({"messages": [{"role": one.role, "content": blocks_json(one.blocks)} for one in messages]})
            + "\n"
            for messages in requests
        )
    )
    evidence = check.read(clients, data / "gateway.db", upstream)
    assert check.violations(evidence) == []
    assert {attempt["session"] for attempt in evidence.attempts} == {session}
    assert len(evidence.questions(session)) == 2 * ROUNDS
    figures = check.figures(evidence, ())
    assert (figures["acknowledged"], figures["turns"]) == (2 * ROUNDS, {"completed": 2 * ROUNDS})
