"""Puts the fake CLI where the engine looks for the real one, and reads what it saw."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claude_code_api.engine import protocol
from claude_code_api.engine.child import Child
from claude_code_api.engine.launch import Home, chat_launch
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.process import CliProcess
from claude_code_api.engine.process_turn import RunningTurn
from claude_code_api.engine.translate import Translator
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.events import Ended, Failed, TurnEvent
from claude_code_api.turn.order import Order
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from tests.engine.fake_cli import Step
from tests.engine.frames import Line
from tests.harness.waiting import BOUND_S

KEY = "sk-made-up"
PROGRAM = """\
#!{python} -IS
import sys
sys.path.insert(0, {here!r})
from fake_cli import main
main({directory!r})
"""


def played(*lines: Line) -> list[Step]:
    """Frames as steps of a script."""
    return [{"say": line} for line in lines]


def plan(*messages: Message, turn_id: str = "turn-1", **fields: Any) -> Plan:
    request = TurnRequest("m", messages or (Message("user", (TextBlock("hi"),)),), **fields)
    return Plan(turn_id, 7, "sonnet", request)


def alive(pid: int) -> bool:
    """Whether this process runs; one that waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


async def events_of(turn: RunningTurn) -> list[TurnEvent]:
    """All events of a turn, held to their order."""
    order = Order()
    events = [event async for batch in turn.mailbox.batches() for event in batch]
    for event in events:
        order.check(event)
    assert order.over, events
    return events


def end_of(events: list[TurnEvent]) -> Ended | Failed:
    (end,) = [event for event in events if isinstance(event, (Ended, Failed))]
    assert end is events[-1]
    return end


@dataclass
class FakeSite:
    directory: Path

    def script(self, *turns: list[Step], **fields: Any) -> None:
        """Say what the next processes shall do; see `fake_cli`."""
        (self.directory / "script.json").write_text(json.dumps({"turns": turns, **fields}))

    @property
    def site(self) -> Site:
        program = self.directory / "claude"
        if not program.exists():
            here = str(Path(__file__).parent)
            program.write_text(PROGRAM.format(python=sys.executable, here=here, directory=str(self.directory)))
            program.chmod(0o700)
        run = self.directory / "run"
        run.mkdir(exist_ok=True)
        return Site(program, Credentials(api_key=KEY), run)

    @property
    def seen(self) -> Any:
        """Its argv, env, cwd and pid."""
        return json.loads((self.directory / "seen.json").read_text())

    @property
    def started(self) -> bool:
        """Whether a process has begun."""
        return (self.directory / "seen.json").exists()

    @property
    def lines_told(self) -> int:
        """How many lines it has taken, the last of them perhaps only in part on the disk."""
        file = self.directory / "stdin.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    @property
    def stdin(self) -> list[Any]:
        return [json.loads(line) for line in (self.directory / "stdin.jsonl").read_text().splitlines()]

    def gate(self, name: str) -> str:
        """Make a gate; the fake waits at it until `open_gate`."""
        path = self.directory / name
        os.mkfifo(path)
        return str(path)

    async def open_gate(self, path: str) -> None:
        """Wait until the fake is at the gate, and let it through."""
        await asyncio.to_thread(Path(path).write_bytes, b"")

    @asynccontextmanager
    async def process(
        self, *, silence_s: float = BOUND_S, within_s: float = BOUND_S, initialized: bool = True
    ) -> AsyncIterator[CliProcess]:
        home = Home(self.directory / "home")
        home.make()
        launch = chat_launch(EngineOptions(), self.site, home, "sonnet", None)
        process = CliProcess(await Child.spawn(launch), silence_s=silence_s)
        try:
            if initialized:
                await process.initialize(None, within_s=within_s)
            yield process
        finally:
            await process.stop()
            # Dead is dead: whatever happened, nothing of it is left.
            assert not alive(process.pid)
            assert not (self.directory / "seen.json").exists() or not alive(self.seen["pid"])


async def begin(process: CliProcess, uuid: str = "u-1", text: str = "hi") -> RunningTurn:
    line = protocol.user_line(uuid, [{"type": "text", "text": text}])
    return await process.begin(Translator(f"turn of {uuid}", 7), uuid, line)
