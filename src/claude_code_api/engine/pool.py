"""Warm processes: claimed for a turn, given back after it, started ahead of need, let go when idle.

Their number is limited, and so is the memory that those that wait take together, as it is measured. The one that was
used last stays longest. One that has grown old, big or busy is replaced, behind the request that it has served.

A process that has served somebody is theirs for good: it is never handed to another principal. Its model is not: it is
changed where a claim finds none that asks it already (docs/decisions/0015), provided that the installed CLI was proved
to leave no trace of that. With one that was not, processes are kept apart by their models.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog

from claude_code_api.engine.resident import Resident
from claude_code_api.turn.errors import TurnRefusedError

_log = structlog.get_logger("claude_code_api.engine")

_SWEEP_S: Final = 15.0
# A claimed spare is replaced after so long: its turn speaks by then, and does not have to share a core with a start.
REFILL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many, how long, how big."""

    max_idle: int
    spares: int
    idle_s: float
    max_turns: int
    max_rss_mib: int
    max_age_s: float
    # Of all that wait, together.
    max_total_mib: int
    # At the same moment.
    starts: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants what."""

    principal: str
    model: str


@dataclass(slots=True)
class _Idle:
    resident: Resident
    # None: it has not served anybody yet.
    principal: str | None
    since_s: float
    # What ending it would free.
    own_mib: float

    def fits(self, claim: Claim, *, exactly: bool) -> bool:
        """Whether it may be theirs, if need be with another model, unless it has to be one that asks theirs already."""
        mine = self.resident.alive and self.principal in (None, claim.principal)
        return mine and (self.resident.model == claim.model or not exactly)

    def rank(self, model: str) -> tuple[bool, bool, float]:
        """The best one asks this model already, is the principal's own, and was used last: it is the warmest.

        Of those whose model has to be changed it is the one that was used first: its model is missed least.
        """
        asks_it = self.resident.model == model
        return asks_it, self.principal is not None, self.since_s if asks_it else -self.since_s


@dataclass(slots=True, eq=False)
class _Waiting:
    """A claim for which nothing was there. It gets what is started or given back first, with whom that has served."""

    claim: Claim
    # Whether it has to be one that asks the claim's model already.
    exactly: bool
    # Whether one is started for it; or else it waits for one that comes back, and for None where that does not come.
    starts: bool
    answer: asyncio.Future[tuple[Resident, str | None] | None]


class Pool:
    """Keeps residents. `start` makes a new one for a model; nobody else does."""

    def __init__(self, start: Callable[[str], Awaitable[Resident]], limits: PoolLimits) -> None:
        """Begin empty."""
        self._start, self._limits = start, limits
        # Whether a process may be given another model than it was started for.
        self.changes_models = False
        self._idle: list[_Idle] = []
        # First come, first served.
        self._queue: list[_Waiting] = []
        self._starting: Counter[str] = Counter()
        # Those that are being cleaned, behind an answer: a matter of milliseconds.
        self._returning: Counter[Claim] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """How many wait for a turn."""
        return len(self._idle)

    async def claim(self, claim: Claim) -> Resident:
        """Return a process that asks this model: the principal's own, an untouched one, or the first that comes free.

        One that asks another is changed. Where that fails it is ended, and no further one is risked for this claim.
        """
        exactly = not self.changes_models
        while True:
            resident = await self._one_for(claim, exactly=exactly, starts=True)
            if resident is not None and await self._asks(resident, claim.model):
                return resident
            exactly = True

    async def ready(self, claim: Claim) -> Resident | None:
        """Return the same out of those that are there or just being cleaned; none is started for it."""
        resident = await self._one_for(claim, exactly=not self.changes_models, starts=False)
        return resident if resident is not None and await self._asks(resident, claim.model) else None

    async def _one_for(self, claim: Claim, *, exactly: bool, starts: bool) -> Resident | None:
        best = self._best(claim, exactly=exactly)
        if best is not None:
            if best.principal is None:
                asyncio.get_running_loop().call_later(REFILL_S, self.prepare, claim.model)
            return best.resident
        if starts or self._comes_back(claim):
            answer = asyncio.get_running_loop().create_future()
            return await self._wait_for_one(_Waiting(claim, exactly, starts, answer))
        return None

    def _comes_back(self, claim: Claim) -> bool:
        """Whether their own is about to be clean again, and nobody waits for it: that is warmer than any other."""
        return self._returning[claim] > sum(waiting.claim == claim for waiting in self._queue)

    async def _asks(self, resident: Resident, model: str) -> bool:
        return resident.model == model or await self._changed(resident, model)

    async def _changed(self, resident: Resident, model: str) -> bool:
        """Give it another model; one that does not take it is let go."""
        changed = False
        try:
            changed = await resident.change_model(model)
        finally:
            if not changed:
                self.let_go(resident)
        return changed

    def _best(self, claim: Claim, *, exactly: bool) -> _Idle | None:
        """Take the best one that fits out of those that wait."""
        fitting = [entry for entry in self._idle if entry.fits(claim, exactly=exactly)]
        if self._comes_back(claim):
            fitting = [entry for entry in fitting if entry.principal is not None and entry.fits(claim, exactly=True)]
        fitting.sort(key=lambda entry: entry.rank(claim.model))
        while fitting:
            best = fitting.pop()
            if not best.resident.ended:
                self._idle.remove(best)
                return best
            self._evict(best)
        return None

    async def _wait_for_one(self, waiting: _Waiting) -> Resident | None:
        self._queue.append(waiting)
        self._start_for_waiting()
        try:
            found = await waiting.answer
        except BaseException:
            answer = waiting.answer
            if waiting in self._queue:
                self._queue.remove(waiting)
            elif answer.done() and not answer.cancelled() and answer.exception() is None:
                found = answer.result()
                if found is not None:
                    # It came in the very moment of leaving, and is as it was.
                    self._take_in(*found)
            raise
        return found[0] if found is not None else None

    def _start_for_waiting(self) -> None:
        """See to it that one is started for each who waits, but never too many at the same moment."""
        coming = self._starting.copy()
        for waiting in self._without_prospect():
            if not waiting.starts:
                continue
            model = waiting.claim.model
            if not coming[model] and not waiting.exactly:
                # Any will do.
                model = next((one for one, count in coming.items() if count), model)
            if coming[model]:
                # It began earlier, so it is ready earlier.
                coming[model] -= 1
            elif not self._begin_start(model, wanted=True):
                return

    def _begin_start(self, model: str, *, wanted: bool) -> bool:
        if self._starting.total() >= self._limits.starts:
            return False
        self._starting[model] += 1
        self._behind(self._start_one(model, wanted=wanted))
        return True

    async def _start_one(self, model: str, *, wanted: bool) -> None:
        try:
            resident = await self._start(model)
            ready = wanted or await self._rehearsed(resident)
        except Exception as problem:
            self._starting[model] -= 1
            if not (wanted and self._refuse_first(model, problem)):
                if not isinstance(problem, TurnRefusedError):
                    raise
                # The next request meets the same trouble and tells its client; here it is only worth a line.
                _log.warning("spare_not_started", model=model, reason=problem.error.detail)
        except BaseException:
            self._starting[model] -= 1
            raise
        else:
            self._starting[model] -= 1
            if ready:
                self._take_in(resident, None)
        self._start_for_waiting()

    async def _rehearsed(self, resident: Resident) -> bool:
        """Have a spare's slow first turns before anybody wants it; one that fails in them is let go."""
        untouched = _Idle(resident, None, 0.0, 0.0)
        try:
            ready = await resident.rehearse(
                lambda: any(untouched.fits(one.claim, exactly=one.exactly) for one in self._queue)
            )
        except BaseException:
            self.let_go(resident)
            raise
        if not ready:
            self.let_go(resident)
        return ready

    def _refuse_first(self, model: str, problem: Exception) -> bool:
        for waiting in self._queue:
            if waiting.claim.model == model and waiting.starts:
                self._queue.remove(waiting)
                waiting.answer.set_exception(problem)
                return True
        return False

    def _take_in(self, resident: Resident, principal: str | None) -> None:
        """Give it to the first who waits for one like it, or keep it."""
        entry = _Idle(resident, principal, asyncio.get_running_loop().time(), 0.0)
        for waiting in self._without_prospect() if principal is None else self._queue:
            if entry.fits(waiting.claim, exactly=waiting.exactly) and not waiting.answer.done():
                self._queue.remove(waiting)
                waiting.answer.set_result((resident, principal))
                return
        if self._closed or not resident.alive:
            self.let_go(resident)
        else:
            self._keep(entry)

    async def take_back(self, resident: Resident, principal: str, cleaned: Awaitable[bool]) -> None:
        """Take a process back as soon as it is clean; one that does not come to that is ended."""
        claim = Claim(principal, resident.model)
        self._returning[claim] += 1
        clean = False
        try:
            clean = await cleaned
        finally:
            self._returning[claim] -= 1
            if clean:
                self.give_back(resident, principal)
            self._look_elsewhere()
            if not clean:
                await resident.retire()

    def _look_elsewhere(self) -> None:
        """See to those who waited for one that did not come back after all."""
        for waiting in self._without_prospect():
            best = self._best(waiting.claim, exactly=waiting.exactly) if not waiting.answer.done() else None
            if best is not None or not (waiting.starts or waiting.answer.done()):
                self._queue.remove(waiting)
                waiting.answer.set_result((best.resident, best.principal) if best is not None else None)
        self._start_for_waiting()

    def _without_prospect(self) -> list[_Waiting]:
        """Those who wait and whose own is not about to be clean, in their order."""
        returning, found = self._returning.copy(), []
        for waiting in self._queue:
            if returning[waiting.claim] > 0:
                returning[waiting.claim] -= 1
            else:
                found.append(waiting)
        return found

    def give_back(self, resident: Resident, principal: str) -> None:
        """Take a process back that is clean again; one that has grown too old or too big is let go."""
        if self._closed or self._worn(resident) or not resident.alive:
            self.let_go(resident)
        else:
            self._take_in(resident, principal)

    def _worn(self, resident: Resident) -> bool:
        limits = self._limits
        return (
            resident.turns >= limits.max_turns
            or resident.memory().rss_mib > limits.max_rss_mib
            or asyncio.get_running_loop().time() - resident.born_s >= limits.max_age_s
        )

    def _keep(self, entry: _Idle) -> None:
        entry.own_mib = entry.resident.memory().own_mib
        self._idle.append(entry)
        while len(self._idle) > self._limits.max_idle or self._too_big():
            self._evict(min(self._idle, key=lambda entry: entry.since_s))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _too_big(self) -> bool:
        # The last one stays even so: without it each turn would have to wait for a start.
        return len(self._idle) > 1 and sum(entry.own_mib for entry in self._idle) > self._limits.max_total_mib

    def let_go(self, resident: Resident) -> None:
        """End a process, behind whoever is waiting for an answer."""
        self._behind(resident.retire())

    def prepare(self, model: str) -> None:
        """Have a spare soon, for this model if that matters. Called behind a request, whose turn it does not slow."""
        if self._closed:
            return
        nobodys = Claim("", model)
        exactly = not self.changes_models
        ready = sum(entry.principal is None and entry.fits(nobodys, exactly=exactly) for entry in self._idle)
        # One place at least is for those that have served: a spare would push out what the next turn comes back to.
        wanted = min(self._limits.spares, self._limits.max_idle - 1)
        waited_for = sum(
            waiting.starts and (waiting.claim.model == model or not exactly) for waiting in self._without_prospect()
        )
        starting = self._starting[model] if exactly else self._starting.total()
        coming = max(0, starting - waited_for)
        for _ in range(wanted - ready - coming):
            if not self._begin_start(model, wanted=False):
                # There is more to do than to be prepared; the end of the next turn asks again.
                return

    def _evict(self, entry: _Idle) -> None:
        self._idle.remove(entry)
        self.let_go(entry.resident)

    def _sweep(self) -> None:
        self._sweeper = None
        due_s = asyncio.get_running_loop().time() - self._limits.idle_s
        for entry in tuple(self._idle):
            if entry.since_s <= due_s or not entry.resident.alive or self._worn(entry.resident):
                self._evict(entry)
            else:
                # What waits collects its garbage, or has not yet done so.
                entry.own_mib = entry.resident.memory().own_mib
        while self._too_big():
            self._evict(min(self._idle, key=lambda entry: entry.since_s))
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
