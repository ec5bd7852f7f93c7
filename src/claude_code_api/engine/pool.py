"""Warm processes: claimed for a turn, given back after it, started ahead of need, let go when idle.

What is fixed when a process starts decides who may have it again: its model, and whether it has been given a system
prompt (one can be replaced, but not taken away). A process that has served somebody is theirs for good: it is never
handed to another principal.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog

from claude_code_api.engine.resident import Resident
from claude_code_api.turn.errors import TurnRefusedError

_log = structlog.get_logger("claude_code_api.engine")

_SWEEP_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many, how long, how big."""

    max_idle: int
    spares: int
    idle_s: float
    max_turns: int
    max_rss_mib: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants what."""

    principal: str
    model: str
    prompted: bool


@dataclass(slots=True)
class _Idle:
    resident: Resident
    # None: it has not served anybody yet.
    principal: str | None
    since_s: float

    def fits(self, claim: Claim) -> bool:
        resident = self.resident
        return (
            resident.alive
            and self.principal in (None, claim.principal)
            and resident.model == claim.model
            and (claim.prompted or not resident.prompted)
        )

    def rank(self, claim: Claim) -> tuple[bool, bool, float]:
        """The best one is the principal's own, used as it will be, and used last: it is the warmest."""
        return self.principal is not None, self.resident.prompted is claim.prompted, self.since_s


class Pool:
    """Keeps residents. `start` makes a new one for a model; nobody else does."""

    def __init__(self, start: Callable[[str], Awaitable[Resident]], limits: PoolLimits) -> None:
        """Begin empty."""
        self._start, self._limits = start, limits
        self._idle: list[_Idle] = []
        # Spares on their way that nobody waits for yet, by model.
        self._coming: dict[str, list[asyncio.Task[None]]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """How many wait for a turn."""
        return len(self._idle)

    async def claim(self, claim: Claim) -> Resident:
        """Return a process that fits: one of the principal's own, an untouched one, or a new one."""
        fitting = [entry for entry in self._idle if entry.fits(claim)]
        if not fitting and self._coming[claim.model]:
            # It began earlier, so it is ready earlier.
            await asyncio.wait([self._coming[claim.model].pop(0)])
            fitting = [entry for entry in self._idle if entry.fits(claim)]
        if not fitting:
            return await self._start(claim.model)
        best = max(fitting, key=lambda entry: entry.rank(claim))
        self._idle.remove(best)
        return best.resident

    def give_back(self, resident: Resident, principal: str) -> None:
        """Take a process back that is clean again; one that has grown too old or too big is let go."""
        worn = resident.turns >= self._limits.max_turns or resident.rss_mib() > self._limits.max_rss_mib
        if self._closed or worn or not resident.alive:
            self.let_go(resident)
            return
        self._keep(resident, principal)

    def _keep(self, resident: Resident, principal: str | None) -> None:
        self._idle.append(_Idle(resident, principal, asyncio.get_running_loop().time()))
        while len(self._idle) > self._limits.max_idle:
            self._evict(min(self._idle, key=lambda entry: entry.since_s))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def let_go(self, resident: Resident) -> None:
        """End a process, behind whoever is waiting for an answer."""
        self._behind(resident.retire())

    def prepare(self, model: str) -> None:
        """Have a spare for this model soon. Called behind a request, so that the start does not compete with it."""
        if self._closed:
            return
        ready = sum(
            entry.principal is None and entry.resident.model == model and entry.resident.alive for entry in self._idle
        )
        # One place at least is for those that have served: a spare would push out what the next turn comes back to.
        wanted = min(self._limits.spares, self._limits.max_idle - 1)
        for _ in range(wanted - ready - len(self._coming[model])):
            self._coming[model].append(self._behind(self._start_spare(model)))

    async def _start_spare(self, model: str) -> None:
        task = asyncio.current_task()
        try:
            resident = await self._start(model)
        except TurnRefusedError as refusal:
            # The next request meets the same trouble and tells its client; here it is only worth a line.
            _log.warning("spare_not_started", model=model, reason=refusal.error.detail)
            return
        finally:
            # Whoever waits for it by now has taken it off the list.
            self._coming[model] = [other for other in self._coming[model] if other is not task]
        if self._closed:
            await resident.retire()
        else:
            self._keep(resident, None)

    def _evict(self, entry: _Idle) -> None:
        self._idle.remove(entry)
        self.let_go(entry.resident)

    def _sweep(self) -> None:
        self._sweeper = None
        due_s = asyncio.get_running_loop().time() - self._limits.idle_s
        for entry in [entry for entry in self._idle if entry.since_s <= due_s or not entry.resident.alive]:
            self._evict(entry)
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _behind(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End every process that waits, and wait for those that are ending."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for entry in tuple(self._idle):
            self._evict(entry)
        while self._tasks:
            await asyncio.gather(*self._tasks)
