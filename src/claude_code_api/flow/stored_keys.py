"""Keys as the store has them, looked at again and again: they are made, changed and revoked while the gateway runs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from claude_code_api.flow.access import Caller
from claude_code_api.flow.key_records import ApiKey, Scope
from claude_code_api.flow.ports import Clock, Store

# What another gateway, or the command line, changes about a key holds here within a second. This is half of it, so that
# a slow look into the database fits in; and it is long enough that a busy key costs two looks in a second.
FRESH_S: Final = 0.5
# Keys that are remembered: a few hundred bytes each.
MAX_KEYS: Final = 4096


@dataclass(frozen=True, slots=True)
class _Seen:
    """A key as it was at a time."""

    # When it was asked for, and not when the answer came: what was changed in between may not be in it.
    asked_s: float
    key: ApiKey
    caller: Caller


class StoredKeys:
    """The `MoreKeys` of `flow/access.py`, in the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Begin with none known."""
        self._store, self._clock = store, clock
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        # Requests that come at once with one key share one look.
        self._asking: dict[bytes, asyncio.Task[_Seen | None]] = {}
        self._used: dict[str, float] = {}

    def knows(self, digest: bytes) -> bool:
        """Whether it has been a key when it was last looked at."""
        return digest in self._seen

    async def caller(self, digest: bytes) -> Caller | None:
        """Say who holds a key; None where it opens nothing, or nothing any more."""
        seen = self._seen.get(digest)
        if seen is None or self._clock.monotonic_s() - seen.asked_s >= FRESH_S:
            seen = await self._ask(digest)
        now_s = self._clock.now_s()
        if seen is None or not seen.key.opens_at(now_s):
            return None
        self._used[seen.key.id] = now_s
        return seen.caller

    async def _ask(self, digest: bytes) -> _Seen | None:
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.create_task(self._look(digest), name="key look-up")
            asking.add_done_callback(lambda _: self._asked(digest, asking))
        return await asyncio.shield(asking)

    async def _look(self, digest: bytes) -> _Seen | None:
        asked_s = self._clock.monotonic_s()
        key = await self._store.key_with_digest(digest)
        return None if key is None else _Seen(asked_s, key, caller_of_key(key))

    def _asked(self, digest: bytes, asking: asyncio.Task[_Seen | None]) -> None:
        current = self._asking.get(digest) is asking
        if current:
            del self._asking[digest]
            self._seen.pop(digest, None)
        if asking.cancelled() or asking.exception() is not None:
            # Whoever waited for it is told why; nobody is let in by what was true before.
            return
        seen = asking.result()
        if current and seen is not None and seen.key.revoked_s is None:
            self._seen[digest] = seen
            if len(self._seen) > MAX_KEYS:
                self._seen.popitem(last=False)

    def forget(self) -> None:
        """Look at every key anew: something was changed here and now."""
        self._seen.clear()
        # What is on its way may have been read before the change.
        self._asking.clear()

    async def write_use(self) -> None:
        """Write down when keys were used. On the way of a request, nothing is written."""
        used, self._used = self._used, {}
        if used:
            await self._store.note_use(used)


def caller_of_key(key: ApiKey) -> Caller:
    """Say what a key makes of its holder."""
    terms = key.terms
    return Caller(
        name=key.id,
        admin=Scope.ADMIN in terms.scopes,
        highest=terms.profile,
        scopes=terms.scopes,
        projects=terms.projects,
        models=terms.models,
        rates=terms.rates,
        budget=terms.budget,
        stored=True,
    )
