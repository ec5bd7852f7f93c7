"""ClaudeEngine: a plan in, a lease on a live CLI out.

Every turn gets a process of its own so far; `_seated` is the seam where a pool of warm ones goes in.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from claude_code_api.engine import protocol
from claude_code_api.engine.child import Child
from claude_code_api.engine.launch import Home, Launch, Resume, chat_launch
from claude_code_api.engine.options import EngineOptions, Site
from claude_code_api.engine.parameters import parameter_controls
from claude_code_api.engine.process import CliProcess, ControlRefusedError, ProcessDeadError, RunningTurn
from claude_code_api.engine.seat import Seating, arrange
from claude_code_api.engine.transcript import blocks_json
from claude_code_api.engine.translate import Translator
from claude_code_api.flow.ports import EngineOffer, Lease, OfferedModel, Plan
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import TurnEvent

_log = structlog.get_logger("claude_code_api.engine")


class ClaudeLease:
    """One turn on one process."""

    def __init__(self, process: CliProcess, turn: RunningTurn) -> None:
        """Lease a turn that has begun."""
        self._process, self._turn = process, turn

    def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield the turn's events as they come."""
        return self._turn.mailbox.batches()

    def interrupt(self) -> None:
        """Ask the CLI to end the turn."""
        self._process.interrupt(self._turn)


class ClaudeEngine:
    """The real one."""

    def __init__(self, options: EngineOptions, site: Site) -> None:
        """Remember what to start and how; nothing is started yet."""
        self._options, self._site = options, site
        self._homes = itertools.count(1)
        self._offer: asyncio.Task[EngineOffer] | None = None
        self._live: set[CliProcess] = set()

    @property
    def credentials(self) -> str | None:
        """Where the credentials come from."""
        return self._site.credentials.source

    @property
    def live(self) -> int:
        """How many processes there are."""
        return len(self._live)

    async def offer(self) -> EngineOffer:
        """Ask the installed CLI what it is and offers; it is asked once."""
        if self._offer is None or (self._offer.done() and self._offer.exception() is not None):
            self._offer = asyncio.create_task(self._ask_offer(), name="cli offer")
        return await asyncio.shield(self._offer)

    async def _ask_offer(self) -> EngineOffer:
        async with self._spawned("sonnet", None) as process:
            answer = await self._initialized(process, None)
        return EngineOffer(str(answer.get("claude_code_version") or "unknown"), _models(answer.get("models")))

    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Lease]:
        """Seat a process, hand over the message, and take the process back whatever happens."""
        if self.credentials is None:
            raise _no_credentials()
        seating = arrange(plan.request.messages)
        async with self._seated(plan, seating) as process:
            turn = await self._begin(process, plan, seating)
            try:
                yield ClaudeLease(process, turn)
            finally:
                # Closing the mailbox first lets the owner read on to the turn's end.
                turn.mailbox.close()
                process.interrupt(turn)

    @asynccontextmanager
    async def _seated(self, plan: Plan, seating: Seating) -> AsyncIterator[CliProcess]:
        async with self._spawned(plan.model, seating) as process:
            prompt = "\n\n".join(block.text for block in plan.request.system)
            await self._initialized(process, prompt)
            try:
                await process.controls(parameter_controls(plan.request))
            except (ProcessDeadError, ControlRefusedError) as error:
                raise _unavailable(str(error)) from error
            yield process

    @asynccontextmanager
    async def _spawned(self, model: str, seating: Seating | None) -> AsyncIterator[CliProcess]:
        home = Home(self._site.run_directory / str(next(self._homes)))
        try:
            resume = await asyncio.to_thread(_furnish, home, seating)
            process = await self._spawn(chat_launch(self._options, self._site, home, model, resume))
        except BaseException as error:
            await asyncio.to_thread(shutil.rmtree, home.root, ignore_errors=True)
            if isinstance(error, OSError):
                raise _unavailable(f"cannot make {home.root}: {error}") from error
            raise
        self._live.add(process)
        try:
            yield process
        finally:
            await asyncio.shield(self._retire(process, home))

    async def _spawn(self, launch: Launch) -> CliProcess:
        try:
            child = await Child.spawn(launch)
        except OSError as error:
            raise _unavailable(f"cannot start {launch.argv[0]}: {error}") from error
        return CliProcess(child, silence_s=self._options.silence_s)

    async def _initialized(self, process: CliProcess, prompt: str | None) -> dict[str, Any]:
        try:
            return await process.initialize(prompt, within_s=self._options.start_s)
        except (ProcessDeadError, ControlRefusedError) as error:
            raise _unavailable(str(error)) from error

    async def _begin(self, process: CliProcess, plan: Plan, seating: Seating) -> RunningTurn:
        message_uuid = str(uuid.uuid4())
        line = protocol.user_line(message_uuid, blocks_json(seating.last))
        try:
            return await process.begin(Translator(plan.turn_id, plan.created_s), message_uuid, line)
        except ProcessDeadError as error:
            raise _unavailable(str(error)) from error

    async def _retire(self, process: CliProcess, home: Home) -> None:
        try:
            await process.stop()
        finally:
            self._live.discard(process)
            await asyncio.to_thread(shutil.rmtree, home.root, ignore_errors=True)
        if process.unread:
            _log.debug("cli_unread_frames", pid=process.pid, counts=process.unread)

    async def close(self) -> None:
        """End every process that is still there."""
        if self._offer is not None and not self._offer.done():
            self._offer.cancel()
        await asyncio.gather(*(process.stop() for process in tuple(self._live)))


def _furnish(home: Home, seating: Seating | None) -> Resume | None:
    home.make()
    return seating.write_transcript(home) if seating is not None else None


def _models(found: object) -> tuple[OfferedModel, ...]:
    entries = found if isinstance(found, list) else []
    return tuple(
        OfferedModel(
            value=str(entry.get("value") or ""),
            resolved=str(entry.get("resolvedModel") or entry.get("value") or ""),
            title=str(entry.get("displayName") or ""),
            description=str(entry.get("description") or ""),
            effort_levels=tuple(str(level) for level in entry.get("supportedEffortLevels") or ()),
        )
        for entry in entries
        if isinstance(entry, dict)
    )


def _unavailable(detail: str) -> TurnRefusedError:
    message = "The Claude CLI could not be started; `claude-code-api doctor` says why."
    return TurnRefusedError(TurnError(ErrorKind.ENGINE_UNAVAILABLE, message, detail, source="engine"))


def _no_credentials() -> TurnRefusedError:
    message = (
        "The gateway has no credentials for the model: set ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN for the gateway, "
        "or log in with `claude` as the gateway's user."
    )
    return TurnRefusedError(TurnError(ErrorKind.NO_CREDENTIALS, message))
