"""Kills at random moments: one end each time, nothing left, and the next turn works. Slow: `make faults`."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.run_directory import own_run_directory
from claude_code_api.standin import Answer, StandIn, Text
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.events import Ended, EndReason
from claude_code_api.turn.result import TurnResult
from tests.real_cli.living import Mourner, processes_of
from tests.real_cli.rig import Rig, asks, checked, plan

pytestmark = [pytest.mark.faults, pytest.mark.real_cli, pytest.mark.timeout(300)]

GATEWAY = Path(__file__).parents[1] / "real_cli" / "gateway_like.py"
ROUNDS = 40
PACED = Answer((Text("x" * 300, pieces=1, every_ms=1),))


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with StandIn(pace_ms=0) as upstream:
        upstream.always(PACED)
        yield Rig(upstream, tmp_path)


async def _turn(rig: Rig) -> TurnResult | ErrorKind:
    async with rig.engine() as engine:
        try:
            async with engine.lease(plan(asks("hi"))) as lease:
                return checked([event async for batch in lease.batches() for event in batch])
        except TurnRefusedError as refused:
            return refused.error.kind


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_the_cli_or_its_warden_killed_at_a_random_moment(rig: Rig, number: int) -> None:
    chance = random.Random(int(number))
    run = rig.site.run_directory
    for _ in range(ROUNDS):
        turn = asyncio.create_task(_turn(rig))
        await asyncio.wait({turn}, timeout=chance.uniform(0, 0.9))
        targets = sorted(await asyncio.to_thread(processes_of, run))
        if targets:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(targets), number)
        result = await turn
        if isinstance(result, TurnResult):
            ended = result.ended == Ended(EndReason.STOP)
            assert ended or (result.error is not None and result.error.kind is ErrorKind.ENGINE_DIED), result
            text = "".join(part.text for part in result.parts)
            assert text == "x" * (300 if ended else len(text))
        else:
            assert result is ErrorKind.ENGINE_UNAVAILABLE
        assert await asyncio.to_thread(processes_of, run) == {}
        assert list(run.iterdir()) == []
    last = await _turn(rig)
    assert isinstance(last, TurnResult)
    assert last.ended == Ended(EndReason.STOP)


async def test_a_reader_that_leaves_at_a_random_moment(rig: Rig) -> None:
    chance = random.Random(7)
    run = rig.site.run_directory
    for _ in range(ROUNDS):
        with suppress(TimeoutError):
            await asyncio.wait_for(_turn(rig), chance.uniform(0, 0.9))
        assert await asyncio.to_thread(processes_of, run) == {}
        assert list(run.iterdir()) == []
    for record in rig.upstream.received:
        assert (await asyncio.to_thread(rig.upstream.wait_closed, record.index)).closed


def test_a_gateway_killed_at_a_random_moment(rig: Rig) -> None:
    chance = random.Random(11)
    data = rig.directory / "data"
    command = [sys.executable, str(GATEWAY), rig.upstream.base_url, str(data)]
    for _ in range(ROUNDS):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as gateway:
            with suppress(subprocess.TimeoutExpired):
                gateway.wait(chance.uniform(0.1, 1.2))
            below = processes_of(data)
            mourner = Mourner(list(below))
            gateway.kill()
            gateway.wait()
            mourner.all_gone_after_s(time.monotonic())
        assert processes_of(data) == {}
    with own_run_directory(data) as mine:
        assert [path for path in mine.parent.iterdir() if path != mine and (path / ".lock").exists()] == []
