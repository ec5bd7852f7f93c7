"""Makes residents: a home, perhaps a transcript to resume from, a process, and the first words with it."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from dataclasses import replace
from typing import Any, Final

from claude_code_api.engine.breaker import Breaker
from claude_code_api.engine.child import Child
from claude_code_api.engine.desk import BEFORE_CALLS
from claude_code_api.engine.door import open_door
from claude_code_api.engine.jailer import Jailer, Prepared
from claude_code_api.engine.launch import Agent, Home, Lane, Launch, Resume, agent_launch, chat_launch, lane_for
from claude_code_api.engine.options import EngineOptions, Site
from claude_code_api.engine.process import CliProcess, ControlRefusedError, ProcessDeadError
from claude_code_api.engine.relay import Relay
from claude_code_api.engine.resident import Resident
from claude_code_api.engine.seat import Seating
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import JsonObject

# Thinking is off unless a turn asks for it (docs/decisions/0005).
NO_THINKING: Final[JsonObject] = {"subtype": "set_max_thinking_tokens", "max_thinking_tokens": 0}


class Starter:
    """Starts processes, and knows all that are alive."""

    def __init__(self, options: EngineOptions, site: Site) -> None:
        """Remember what to start and how."""
        self._options, self._site = options, site
        self._relay = Relay(options, site.credentials) if lane_for(site.credentials) is Lane.CLEAN else None
        self._numbers = itertools.count(1)
        self._breaker = Breaker(time.monotonic)
        self._starts = asyncio.Semaphore(options.starts)
        self._jailer = Jailer(options, site.jail)
        self.alive: set[Resident] = set()

    async def start(self, model: str) -> Resident:
        """Start one that knows nothing."""
        resident, _ = await self.start_and_ask(model)
        return resident

    async def start_and_ask(
        self, model: str, seating: Seating | None = None, prompt: str = "", agent: Agent | None = None
    ) -> tuple[Resident, dict[str, Any]]:
        """Start one, with a conversation and a system prompt if there are any; also returns what it says of itself."""
        async with self._starts, self._breaker.start():
            return await self._start(model, seating, prompt, agent)

    async def _start(
        self, model: str, seating: Seating | None, prompt: str, agent: Agent | None
    ) -> tuple[Resident, dict[str, Any]]:
        home = self._next_home()
        door = None
        try:
            resume = await _furnished(home, seating, model)
            if agent is not None and agent.jailed:
                home = replace(home, prepared=await self._prepared(home, agent))
            if self._relay is not None and home.door is not None:
                door = await open_door(self._relay, home.door)
            process = await self._spawn(self._launch(home, model, resume, agent))
        except BaseException as error:
            if door is not None:
                await door.close()
            if home.prepared is not None:
                self._jailer.clear(home.prepared)
            await asyncio.to_thread(shutil.rmtree, home.root, ignore_errors=True)
            if isinstance(error, OSError):
                raise unavailable(f"cannot make {home.root}: {error}") from error
            raise
        resident = Resident(process, home, model, door, on_end=self._ended)
        self.alive.add(resident)
        try:
            within_s, hooks = self._options.start_s, BEFORE_CALLS if agent is not None else None
            answer = await process.initialize(prompt, within_s=within_s, append=agent is not None, hooks=hooks)
            await process.controls([NO_THINKING])
        except BaseException as error:
            await asyncio.shield(resident.retire())
            if isinstance(error, (ProcessDeadError, ControlRefusedError)):
                raise unavailable(str(error)) from error
            raise
        resident.settle_in(answer)
        resident.on_clean = self._breaker.worked
        return resident, answer

    async def _prepared(self, home: Home, agent: Agent) -> Prepared:
        """Prepare a jail in a thread. Cancelled, it still waits, and clears it away again."""
        guarded = agent.profile is Profile.SHELL
        work = asyncio.to_thread(self._jailer.prepare, home.jail, agent.workplace, guarded=guarded)
        preparing = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(preparing)
        except asyncio.CancelledError:
            await asyncio.wait([preparing])
            if preparing.exception() is None:
                self._jailer.clear(preparing.result())
            raise

    def _launch(self, home: Home, model: str, resume: Resume | None, agent: Agent | None) -> Launch:
        if agent is None:
            return chat_launch(self._options, self._site, home, model, resume)
        return agent_launch(self._options, self._site, home, model, resume, agent)

    def _ended(self, resident: Resident) -> None:
        self.alive.discard(resident)
        if resident.home.prepared is not None:
            self._jailer.clear(resident.home.prepared)
        if resident.on_clean is None:
            # It never came to its first turn, and whoever started it was told so.
            return
        if not resident.crashed:
            self._breaker.worked()
        elif resident.turns <= 1:
            self._breaker.crashed("it ended in its first turn")

    def _next_home(self) -> Home:
        number = str(next(self._numbers))
        root = self._site.run_directory / number
        if self._relay is None:
            return Home(root)
        return Home(root, self._site.doors / number if self._site.doors is not None else root / "door")

    async def _spawn(self, launch: Launch) -> CliProcess:
        try:
            child = await Child.spawn(launch)
        except OSError as error:
            raise unavailable(f"cannot start {launch.argv[0]}: {error}") from error
        return CliProcess(child, silence_s=self._options.silence_s)

    async def close(self) -> None:
        """End every process that is still there."""
        await asyncio.gather(*(resident.retire() for resident in tuple(self.alive)))
        if self._relay is not None:
            await self._relay.close()


async def _furnished(home: Home, seating: Seating | None, model: str) -> Resume | None:
    """Furnish a home in a thread. Cancelled, it still waits: nothing may appear in a home that is being removed."""
    furnishing = asyncio.ensure_future(asyncio.to_thread(_furnish, home, seating, model))
    try:
        return await asyncio.shield(furnishing)
    except asyncio.CancelledError:
        await asyncio.wait([furnishing])
        raise


def _furnish(home: Home, seating: Seating | None, model: str) -> Resume | None:
    home.make()
    return seating.write_transcript(home, model) if seating is not None else None


def unavailable(detail: str) -> TurnRefusedError:
    """Refuse a turn because the CLI does not work."""
    message = "The Claude CLI could not be started; `claude-code-api doctor` says why."
    return TurnRefusedError(TurnError(ErrorKind.ENGINE_UNAVAILABLE, message, detail, source="engine"))
