"""The real gateway, in a process that kills itself at a named step, or has a bug that the checker has to find.

usage: gateway.py [--die-at STEP:N] [--bug NAME] ARGUMENTS OF claude-code-api ...

The gateway itself knows nothing of this: its store and its engine are wrapped here, before they are put together.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import signal
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from claude_code_api import app, cli
from claude_code_api.flow.access import Access
from claude_code_api.flow.ports import Plan
from claude_code_api.flow.records import Acceptance, JournalEntry, StoredMessage, Turn, TurnEnd
from claude_code_api.settings import Settings

# T0 to T5 of `flow/ledger.py`. "in": at some moment while the transaction runs; "T5": while the end is being told;
# "recovery": T4 of a turn that another one began, which has died.
STEPS: Final = (
    "before_T0",
    "in_T0",
    "after_T0",
    "T1",
    "T2",
    "streaming",
    "before_T3",
    "in_T3",
    "after_T3",
    "before_T4",
    "in_T4",
    "after_T4",
    "T5",
    "before_recovery",
    "in_recovery",
    "after_recovery",
)
# How long a transaction, and the telling of an end, take at most: the moment is drawn from it.
TRANSACTION_S: Final = 0.002
TELLING_S: Final = 0.005


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Fuse:
    """Ends the process at the n-th time that it comes to a step."""

    def __init__(self, step: str, number: int) -> None:
        self._step, self._left = step, number

    def at(self, step: str) -> None:
        if self._now(step):
            die()

    def soon(self, step: str, within_s: float) -> None:
        if self._now(step):
            threading.Timer(random.uniform(0, within_s), die).start()

    def _now(self, step: str) -> bool:
        self._left -= step == self._step
        return step == self._step and self._left == 0


class Wrapped:
    """Is what it wraps, but for its own methods."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


# Death at a step


class MortalStore(Wrapped):
    def __init__(self, inner: Any, fuse: Fuse) -> None:
        super().__init__(inner)
        self._fuse = fuse
        self._own: set[str] = set()

    async def accept(self, acceptance: Acceptance) -> None:
        self._own.add(acceptance.turn.id)
        self._fuse.at("before_T0")
        self._fuse.soon("in_T0", TRANSACTION_S)
        await self.inner.accept(acceptance)
        self._fuse.at("after_T0")

    async def journal(self, entries: Sequence[JournalEntry]) -> None:
        self._fuse.at("before_T3")
        self._fuse.soon("in_T3", TRANSACTION_S)
        await self.inner.journal(entries)
        self._fuse.at("after_T3")

    async def finish(self, end: TurnEnd) -> None:
        what = "T4" if end.turn_id in self._own else "recovery"
        self._fuse.at(f"before_{what}")
        self._fuse.soon(f"in_{what}", TRANSACTION_S)
        await self.inner.finish(end)
        self._fuse.at(f"after_{what}")
        if end.turn_id in self._own:
            self._fuse.soon("T5", TELLING_S)


class MortalEngine(Wrapped):
    def __init__(self, inner: Any, fuse: Fuse) -> None:
        super().__init__(inner)
        self._fuse = fuse

    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Any]:
        self._fuse.at("T1")
        async with self.inner.lease(plan) as lease:
            self._fuse.at("T2")
            yield MortalLease(lease, self._fuse)


class MortalLease(Wrapped):
    def __init__(self, inner: Any, fuse: Fuse) -> None:
        super().__init__(inner)
        self._fuse = fuse

    async def batches(self) -> AsyncIterator[Sequence[Any]]:
        async for batch in self.inner.batches():
            self._fuse.at("streaming")
            yield batch


# Bugs


class AcknowledgesBeforeTheCommit(Wrapped):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._owed: dict[str, Acceptance] = {}

    async def accept(self, acceptance: Acceptance) -> None:
        self._owed[acceptance.turn.id] = acceptance

    async def finish(self, end: TurnEnd) -> None:
        owed = self._owed.pop(end.turn_id, None)
        if owed is not None:
            await self.inner.accept(owed)
        await self.inner.finish(end)


class WritesTwice(Wrapped):
    async def accept(self, acceptance: Acceptance) -> None:
        twice = (*acceptance.messages, *(_again(message) for message in acceptance.messages))
        await self.inner.accept(dataclasses.replace(acceptance, messages=twice))


class NeverEnds(Wrapped):
    async def finish(self, end: TurnEnd) -> None:
        pass

    async def unfinished(self) -> tuple[Turn, ...]:
        return ()


class LosesAnswers(Wrapped):
    async def finish(self, end: TurnEnd) -> None:
        await self.inner.finish(dataclasses.replace(end, answer=None))


class BillsTwice(Wrapped):
    async def finish(self, end: TurnEnd) -> None:
        used = end.usage
        if used is not None:
            used = dataclasses.replace(used, output_tokens=2 * used.output_tokens)
        await self.inner.finish(dataclasses.replace(end, usage=used))


class ForgetsKeys(Wrapped):
    async def accept(self, acceptance: Acceptance) -> None:
        await self.inner.accept(dataclasses.replace(acceptance, idempotency=None))


class ForgetsTheBeginning(Wrapped):
    async def history(self, session_id: str) -> tuple[StoredMessage, ...]:
        held: tuple[StoredMessage, ...] = await self.inner.history(session_id)
        return held[-1:]


BUGS: Final = {
    "acknowledges-before-the-commit": AcknowledgesBeforeTheCommit,
    "writes-twice": WritesTwice,
    "never-ends": NeverEnds,
    "loses-answers": LosesAnswers,
    "bills-twice": BillsTwice,
    "forgets-keys": ForgetsKeys,
    "forgets-the-beginning": ForgetsTheBeginning,
}


def _again(message: StoredMessage) -> StoredMessage:
    return dataclasses.replace(message, id=str(uuid.uuid4()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--die-at", default="never:0")
    parser.add_argument("--bug", choices=BUGS)
    own, rest = parser.parse_known_args()
    step, _, number = own.die_at.partition(":")
    fuse, build = Fuse(step, int(number)), app.build

    def build_wrapped(engine: Any, store: Any, access: Access, settings: Settings) -> app.Gateway:
        if own.bug is not None:
            store = BUGS[own.bug](store)
        mortal_engine: Any = MortalEngine(engine, fuse)
        mortal_store: Any = MortalStore(store, fuse)
        return build(mortal_engine, mortal_store, access, settings)

    app.build = build_wrapped
    sys.argv[1:] = rest
    cli.main()


if __name__ == "__main__":
    main()
