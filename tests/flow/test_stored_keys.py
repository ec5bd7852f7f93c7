"""Keys in the store: looked at seldom, and never too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.flow.amounts import Rates
from claude_code_api.flow.key_records import KeyTerms, Scope
from claude_code_api.flow.keys import Keys, Made
from claude_code_api.flow.ports import Store
from claude_code_api.flow.stored_keys import FRESH_S, MAX_KEYS, StoredKeys
from claude_code_api.flow.strangers import Strangers
from claude_code_api.storage.opening import open_store
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.profile import Profile
from tests.conformance.stores import sqlite
from tests.flow.held_clock import HeldClock


@dataclass
class House:
    """A store, who keeps its keys, and who remembers them elsewhere."""

    store: Store
    keys: Keys
    known: StoredKeys
    clock: HeldClock
    looks: list[bytes]

    async def make(self, terms: KeyTerms | None = None) -> Made:
        return await self.keys.add(terms or KeyTerms("ci"), by="tests", highest=Profile.FULL)

    async def holder(self, made: Made) -> Caller | None:
        return await self.known.caller(digest_of(made.key))


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    clock, looks = HeldClock(), list[bytes]()
    async with open_store(sqlite(tmp_path)) as store:
        look = store.key_with_digest

        async def counted(digest: bytes) -> object:
            looks.append(digest)
            return await look(digest)

        monkeypatch.setattr(store, "key_with_digest", counted)
        yield House(store, Keys(store, clock), StoredKeys(store, clock), clock, looks)


async def test_the_holder_is_what_the_key_says(house: House) -> None:
    terms = KeyTerms("ci", frozenset({Scope.TURNS}), ("p1",), ("haiku",), Profile.READ, rates=Rates(7, 3, 2, 1))
    made = await house.make(terms)
    assert await house.holder(made) == Caller(
        made.stored.id,
        False,
        Profile.READ,
        frozenset({Scope.TURNS}),
        ("p1",),
        ("haiku",),
        Rates(7, 3, 2, 1),
        stored=True,
    )
    assert await house.known.caller(digest_of(made.key + "x")) is None


async def test_a_busy_key_costs_one_look_in_half_a_second(house: House) -> None:
    made = await house.make()
    callers = await asyncio.gather(*(house.holder(made) for _ in range(50)))
    assert len(house.looks) == 1
    assert {caller.name for caller in callers if caller is not None} == {made.stored.id}
    for _ in range(100):
        await house.holder(made)
    assert len(house.looks) == 1
    house.clock.go(FRESH_S)
    await house.holder(made)
    assert len(house.looks) == 2


async def test_what_somebody_else_changes_holds_within_a_second(house: House) -> None:
    assert FRESH_S < 1
    elsewhere = Keys(house.store, house.clock)
    made = await house.make()
    assert await house.holder(made) is not None
    await elsewhere.change(made.stored.id, {"burst": 5}, by="tests", highest=Profile.FULL)
    house.clock.go(FRESH_S)
    changed = await house.holder(made)
    assert changed is not None
    assert changed.rates.burst == 5
    rotated = await elsewhere.rotate(made.stored.id, by="tests", highest=Profile.FULL)
    house.clock.go(FRESH_S)
    assert await house.holder(made) is None
    assert (await house.holder(rotated)) == changed
    await elsewhere.revoke(made.stored.id, by="tests")
    house.clock.go(FRESH_S)
    assert await house.holder(rotated) is None


async def test_it_expires_at_its_time_and_not_at_the_next_look(house: House) -> None:
    made = await house.make(KeyTerms("ci", expires_s=house.clock.now_s() + 0.1))
    assert await house.holder(made) is not None
    house.clock.go(0.1)
    assert await house.holder(made) is None
    assert len(house.looks) == 1


async def test_what_changes_here_holds_at_once_also_for_a_look_that_is_on_its_way(house: House) -> None:
    made = await house.make()
    on_its_way = asyncio.ensure_future(house.holder(made))
    await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(int))])
    await house.keys.revoke(made.stored.id, by="tests")
    house.known.forget()
    await on_its_way
    assert await house.holder(made) is None


async def test_what_is_remembered_does_not_grow(house: House) -> None:
    made = await house.make()
    assert await house.holder(made) is not None
    for number in range(20):
        assert await house.known.caller(digest_of(f"cca-guess-{number}")) is None
    assert len(house.known._seen) == 1  # noqa: SLF001 - how much is kept is what this is about
    assert not house.known._asking  # noqa: SLF001 - the same
    assert MAX_KEYS < 10_000


async def test_guesses_cost_no_look_once_there_were_too_many_and_keep_nobody_out(house: House) -> None:
    made = await house.make()
    access = Access({}).beside(house.known, Strangers(per_minute=5, clock=house.clock))
    assert (await access.caller(bearer=made.key, api_key=None, peer="192.0.2.1")).name == made.stored.id
    kinds = []
    for number in range(9):
        with pytest.raises(TurnRefusedError) as refusal:
            await access.caller(bearer=f"cca-guess-{number}", api_key=None, peer="192.0.2.1")
        kinds.append(refusal.value.error.kind)
    assert kinds == [ErrorKind.UNAUTHENTICATED] * 5 + [ErrorKind.RATE_LIMITED] * 4
    assert len(house.looks) == 1 + 5
    house.clock.go(FRESH_S)
    assert (await access.caller(bearer=made.key, api_key=None, peer="192.0.2.1")).name == made.stored.id


async def test_its_use_is_written_once_for_many(house: House) -> None:
    made = await house.make()
    await house.holder(made)
    house.clock.go(0.2)
    await house.holder(made)
    used_s = house.clock.now_s()
    house.clock.go(30)
    await house.known.write_use()
    stored = await house.store.key(made.stored.id)
    assert stored is not None
    assert stored.last_used_s == used_s
