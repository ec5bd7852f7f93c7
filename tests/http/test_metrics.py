"""What a monitoring system reads."""

from __future__ import annotations

import asyncio
import re

from claude_code_api import __version__
from claude_code_api.engine.scripted import ScriptedEngine, WaitFor
from claude_code_api.flow.tally import Spread
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed
from tests.flow.talk import you
from tests.http.loopback import Door, Running, answer_events, running
from tests.http.test_sessions import echoes, say

SAMPLE = re.compile(r'claude_code_api_[a-z_]+(?:\{[a-z]+="[^"\\\n]*"(?:,[a-z]+="[^"\\\n]*")*\})? [0-9.e+-]+')


async def metrics(gateway: Running) -> dict[str, float]:
    answer = await gateway.http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[str, float] = {}
    for line in answer.text.splitlines():
        if line.startswith("#"):
            continue
        assert SAMPLE.fullmatch(line), line
        name, _, value = line.removeprefix("claude_code_api_").rpartition(" ")
        assert name not in found
        found[name] = float(value)
    return found


async def test_turns_tokens_and_dollars() -> None:
    async with running(echoes()) as gateway:
        await say(gateway, you("a"))
        await say(gateway, you("b"), stream=True)
        assert (await gateway.http.get("/nothing")).status_code == 404
        found = await metrics(gateway)
        expected = {
            f'info{{version="{__version__}"}}': 1,
            'turns_total{dialect="openai_chat",state="completed"}': 2,
            'requests_total{dialect="openai_chat",status="200"}': 2,
            'requests_total{dialect="other",status="404"}': 1,
            'errors_total{kind="not_found"}': 1,
            'tokens_total{kind="input"}': 24,
            'tokens_total{kind="cached"}': 60,
            'tokens_total{kind="cache_creation"}': 16,
            'tokens_total{kind="output"}': 10,
            "cost_usd_total": 0.5,
            "first_token_seconds_count": 2,
            'first_token_seconds_bucket{le="+Inf"}': 2,
            "turns_running": 0,
            "requests_waiting": 0,
            "draining": 0,
        }
        assert {name: found.get(name) for name in expected} == expected


async def test_failures_by_kind() -> None:
    busy = Failed(TurnError(ErrorKind.UPSTREAM_OVERLOADED, "busy", source="upstream"))
    async with running(ScriptedEngine(lambda _: [busy])) as gateway:
        await say(gateway, you("a"))
        found = await metrics(gateway)
        assert found['turns_total{dialect="openai_chat",state="failed"}'] == 1
        assert found['turn_failures_total{kind="upstream_overloaded"}'] == 1
        assert found['errors_total{kind="upstream_overloaded"}'] == 1


async def test_what_runs_now() -> None:
    door = Door()
    engine = ScriptedEngine(lambda plan: [WaitFor(door), *answer_events(plan, "x")])
    async with running(engine) as gateway:
        asked = asyncio.create_task(say(gateway, you("a")))
        await door.reached.wait()
        found = await metrics(gateway)
        assert (found["turns_running"], found["processes"]) == (1, 1)
        door.set()
        await asked


def test_a_spread_counts_up_to_and_including_its_ends() -> None:
    spread = Spread((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        spread.add(value)
    assert (spread.counts, spread.total) == ([2, 2, 1], 14.0)
