"""Real residents whose processes are not there, and a loop whose clock can be turned."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from typing_extensions import override

from claude_code_api.engine.door import Door, Terms
from claude_code_api.engine.launch import Home
from claude_code_api.engine.mailbox import Mailbox
from claude_code_api.engine.overlay import PLACEHOLDER
from claude_code_api.engine.process import CliProcess, ControlRefusedError, ProcessDeadError, ProcessState
from claude_code_api.engine.process_turn import RunningTurn
from claude_code_api.engine.relay import Relay
from claude_code_api.engine.resident import Handover, Resident
from claude_code_api.engine.starter import unavailable
from claude_code_api.engine.translate import Translator
from claude_code_api.turn.request import JsonObject


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clock goes on only where the test turns it, so that the same steps always end the same way."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        super().__init__(selectors.DefaultSelector())

    @override
    def time(self) -> float:
        return self.ahead_s


class Process:
    """What the operating system would run."""

    def __init__(self, pid: int, factory: Factory) -> None:
        self.pid, self.turns, self.state, self._factory = pid, 0, ProcessState.READY, factory
        self.unread: dict[str, int] = {}
        self.stops = 0
        self.ended = False

    async def begin(self, translator: Translator, uuid: str, line: bytes, controls: Any) -> RunningTurn:
        self.turns += 1
        return RunningTurn(uuid, translator, Mailbox(), asyncio.Event())

    async def control(self, body: JsonObject) -> dict[str, Any]:
        """It takes any model that its factory does not refuse, once the factory lets it."""
        assert body["subtype"] == "set_model"
        await self._factory.may_change.wait()
        if self.state is ProcessState.DEAD:
            raise ProcessDeadError
        if body["model"] in self._factory.refused:
            self._factory.refusals += 1
            raise ControlRefusedError
        return {"model": f"claude-{body['model']}-9[1m]"}

    async def stop(self) -> None:
        self.stops += 1
        self.state = ProcessState.DEAD


@dataclass
class Start:
    """A start on its way: it goes on when the test says so."""

    model: str
    answer: asyncio.Future[bool]


class Factory:
    """Starts residents for a pool."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.made: list[Resident] = []
        self.alive: set[Resident] = set()
        self.open: list[Start] = []
        self.begun = 0
        # Models that no process changes to, and how often one was asked to.
        self.refused: frozenset[str] = frozenset()
        self.refusals = 0
        self.may_change = asyncio.Event()
        self.may_change.set()
        self._pids = itertools.count(1)

    async def start(self, model: str) -> Resident:
        self.begun += 1
        if not self.at_once:
            start = Start(model, asyncio.get_running_loop().create_future())
            self.open.append(start)
            try:
                fine = await start.answer
            finally:
                self.open.remove(start)
            if not fine:
                raise unavailable("out of luck")
        process = cast(CliProcess, Process(next(self._pids), self))
        resident = Unrehearsed(
            process, Home(Path("/nowhere/at/all")), model, Door(cast(Relay, None)), self.alive.discard
        )
        self.made.append(resident)
        self.alive.add(resident)
        return resident


class Unrehearsed(Resident):
    """Nobody would answer it."""

    @override
    async def rehearse(self, wanted: Callable[[], bool]) -> bool:
        return True


def process_of(resident: Resident) -> Process:
    return cast(Process, resident.process)


async def rounds() -> None:
    """Let everything that can go on go on, as far as it gets without a thread."""
    for _ in range(8):
        await asyncio.sleep(0)  # noqa: TID251 - a round of the loop, not a time


async def take_turn(resident: Resident) -> None:
    given = Handover("u", [PLACEHOLDER], Terms())
    await resident.begin(Translator("t", 0), given)
