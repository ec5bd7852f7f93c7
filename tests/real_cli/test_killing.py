"""Sudden deaths: of the gateway, of the CLI, of the warden between them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from claude_code_api.engine.process import ProcessState
from claude_code_api.engine.run_directory import own_run_directory
from claude_code_api.standin import Answer, Gate, Text
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import Failed, PartDelta, TurnEvent
from tests.real_cli.living import Mourner, children_of, processes_of
from tests.real_cli.rig import Rig, asks, blocking, rest, terminal

HELD = Answer((Text(pieces=("a", Gate("never"))),))
GATEWAY = Path(__file__).with_name("gateway_like.py")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_dead_gateway_leaves_no_process_and_the_next_one_sweeps(
    rig: Rig, number: int, record_property: Callable[[str, object], None]
) -> None:
    rig.upstream.play(HELD)
    data = rig.directory / "data"
    command = [sys.executable, str(GATEWAY), rig.upstream.base_url, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout is not None
        run = Path(gateway.stdout.readline().decode().strip())
        assert run.parent == data / "run"
        below = processes_of(run)
        # The warden and the CLI, and whatever helpers the CLI may have.
        assert sum("warden.py" in command for command in below.values()) == 1
        assert len(below) >= 2
        mourner = Mourner(list(below))
        killed_s = time.monotonic()
        os.kill(gateway.pid, number)
        took_s = mourner.all_gone_after_s(killed_s)
    record_property("gateway killed to all gone, ms", round(took_s * 1000))
    assert processes_of(run) == {}
    record = rig.upstream.wait_closed(0)
    assert record.client_left
    assert run.is_dir()
    with own_run_directory(data):
        assert not run.exists()


async def test_a_killed_cli_is_one_failure(rig: Rig) -> None:
    rig.upstream.play(HELD)
    async with rig.live() as live:
        (cli,) = children_of(live.process.pid)
        turn = await live.begin(*asks("hi").messages[0].blocks)
        events: list[TurnEvent] = []
        while not any(isinstance(event, PartDelta) for event in events):
            events += await anext(turn.mailbox.batches())
        os.kill(cli, signal.SIGKILL)
        events += await rest(turn)
        end = terminal(events)
        assert isinstance(end, Failed)
        assert (end.error.kind, end.error.source) == (ErrorKind.ENGINE_DIED, "engine")
        assert "".join(event.text for event in events if isinstance(event, PartDelta)) == "a"
        assert live.process.state is ProcessState.DEAD
    assert processes_of(rig.site.run_directory) == {}


async def test_a_killed_warden_is_one_failure_and_takes_the_cli_along(rig: Rig) -> None:
    rig.upstream.play(HELD)
    async with rig.live() as live:
        turn = await live.begin(*asks("hi").messages[0].blocks)
        await blocking(rig.upstream.wait_at_gate, "never")
        mourner = Mourner(list(processes_of(rig.site.run_directory)))
        killed_s = time.monotonic()
        os.kill(live.process.pid, signal.SIGKILL)
        end = terminal(await rest(turn))
        assert isinstance(end, Failed)
        assert end.error.kind is ErrorKind.ENGINE_DIED
        await blocking(mourner.all_gone_after_s, killed_s)


async def test_stopping_an_idle_process_is_quiet(rig: Rig) -> None:
    async with rig.live() as live:
        await live.ask("hi")
        await live.process.stop()
        assert processes_of(rig.site.run_directory) == {}
