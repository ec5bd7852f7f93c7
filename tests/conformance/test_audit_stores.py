"""What every store does about the record, numbered on from `test_key_stores.py`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from claude_code_api.flow.access import digest_of
from claude_code_api.flow.acts import Act
from claude_code_api.flow.audit_records import START, AuditEntry, AuditQuery, Chain
from claude_code_api.flow.key_records import ApiKey, KeyTerms
from claude_code_api.flow.ports import StaleError, Store, StoreError
from claude_code_api.flow.records import Mode, Page, ProjectPatch, SessionPatch
from claude_code_api.storage.opening import open_store
from claude_code_api.storage.options import StorageOptions
from tests.conformance.stores import ANN, BOB, NOW, Options, Talk, a_project, a_session, postgresql, sqlite


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(params=[sqlite, postgresql])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> StorageOptions:
    made: Options = request.param
    return made(tmp_path)


@pytest.fixture
async def store(options: StorageOptions) -> AsyncIterator[Store]:
    async with open_store(options) as opened:
        yield opened


def act(n: int = 1, key: str = ANN, kind: str = "call", **what: Any) -> Act:
    return Act(NOW + n, key, kind, {"n": n, **what})


async def entries(store: Store) -> tuple[AuditEntry, ...]:
    return await store.chain(after=0, limit=1000)


async def kinds(store: Store) -> list[str]:
    found = await entries(store)
    assert problem_of(found) is None
    return [entry.kind for entry in found]


def problem_of(found: tuple[AuditEntry, ...]) -> str | None:
    chain = Chain()
    return next((problem for entry in found if (problem := chain.follow(entry)) is not None), None)


def change(options: StorageOptions, *statements: str) -> None:
    """Do what somebody does who can write to the database."""
    url = options.database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url or f"sqlite:///{options.data_dir}/gateway.db")
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


async def test_201_what_is_put_on_record_stands_there_in_its_order(store: Store) -> None:
    await store.put_on_record([act(1, text="\x00 \ud800 ü \u2028"), act(2)])
    await store.put_on_record([])
    await store.put_on_record([act(3, key="k\x00")])
    found = await entries(store)
    assert [(entry.number, entry.at_s, entry.key, entry.kind) for entry in found] == [
        (1, NOW + 1, ANN, "call"),
        (2, NOW + 2, ANN, "call"),
        (3, NOW + 3, "k\x00", "call"),
    ]
    assert problem_of(found) is None
    assert found[0].hash != found[1].hash != START
    assert await store.chain(after=1, limit=1) == found[1:2]
    assert await store.chain(after=3, limit=9) == ()


async def test_202_many_writers_make_one_chain(store: Store) -> None:
    await asyncio.gather(*(store.put_on_record([act(n), act(n)]) for n in range(40)))
    found = await entries(store)
    assert problem_of(found) is None
    assert len(found) == 80
    pairs = [entry.at_s for entry in found]
    assert pairs[::2] == pairs[1::2], "what belongs together stands together"


async def test_203_several_gateways_make_one_chain(tmp_path: Path) -> None:
    options = postgresql(tmp_path)
    async with open_store(options) as one, open_store(options) as other:
        await asyncio.gather(*(store.put_on_record([act(n)]) for n in range(20) for store in (one, other)))
        found = await entries(one)
    assert problem_of(found) is None
    assert len(found) == 40


async def test_204_it_is_listed_in_parts_and_by_what_is_looked_for(store: Store) -> None:
    await store.put_on_record(
        [act(n, key=ANN if n % 2 else BOB, kind="call" if n < 5 else "call.end") for n in range(8)]
    )

    async def numbers(**wanted: Any) -> tuple[list[int], bool, int]:
        listed = await store.audit(AuditQuery(**wanted))
        return [entry.number for entry in listed.data], listed.has_more, listed.total

    assert await numbers() == ([8, 7, 6, 5, 4, 3, 2, 1], False, 8)
    assert await numbers(page=Page(limit=3)) == ([8, 7, 6], True, 8)
    assert await numbers(page=Page(limit=3, after="6")) == ([5, 4, 3], True, 8)
    assert await numbers(page=Page(limit=3, after="3")) == ([2, 1], False, 8)
    assert await numbers(page=Page(limit=2, after="2", ascending=True)) == ([3, 4], True, 8)
    assert await numbers(page=Page(after="x")) == ([], False, 8)
    assert await numbers(page=Page(after="9" * 30)) == ([8, 7, 6, 5, 4, 3, 2, 1], False, 8)
    assert await numbers(key=BOB) == ([7, 5, 3, 1], False, 4)
    assert await numbers(kind="call.end") == ([8, 7, 6], False, 3)
    assert await numbers(since_s=NOW + 2, until_s=NOW + 4) == ([4, 3], False, 2)


async def test_205_what_is_done_is_on_record_if_and_only_if_it_is_done(store: Store) -> None:
    key = ApiKey("k1", digest_of("k1"), KeyTerms("k1"), NOW, "first")
    await store.add_key(key, act=act(kind="key.created"))
    await store.change_key("k1", {"burst": 3}, act=act(kind="key.changed"))
    await store.replace_key("k1", digest_of("k2"), act=act(kind="key.rotated"))
    await store.revoke_key("k1", now_s=NOW, act=act(kind="key.revoked"))
    await store.add_project(a_project(), act=act(kind="project.created"))
    await store.change_project("p1", ANN, ProjectPatch(trusted=True), now_s=NOW, act=act(kind="project.changed"))
    await store.add_session(a_session(), (), None)
    await store.change_session("s1", ANN, SessionPatch(mode=Mode.ASK), now_s=NOW, act=act(kind="session.changed"))
    done = await kinds(store)
    assert done == [
        "key.created",
        "key.changed",
        "key.rotated",
        "key.revoked",
        "project.created",
        "project.changed",
        "session.changed",
    ]
    assert await store.change_key("none", {"burst": 3}, act=act(kind="no")) is None
    assert await store.replace_key("k1", digest_of("k3"), act=act(kind="no")) is None
    assert await store.revoke_key("none", now_s=NOW, act=act(kind="no")) is None
    assert await store.change_project("p1", BOB, ProjectPatch(trusted=False), now_s=NOW, act=act(kind="no")) is None
    assert await store.change_session("s1", BOB, SessionPatch(), now_s=NOW, act=act(kind="no")) is None
    with pytest.raises(StoreError):
        await store.add_key(key, act=act(kind="no"))
    assert await kinds(store) == done


async def test_206_a_turns_calls_end_with_the_turn_once_also_where_it_came_too_late(store: Store) -> None:
    talk = Talk(store)
    await talk.ask("one")
    end = dataclasses.replace(talk.ending("done"), acts=(act(1, kind="call.end"), act(2, kind="call.end")))
    await store.finish(end)
    assert await kinds(store) == ["call.end"] * 2
    late = dataclasses.replace(end, acts=(act(3, kind="late"),))
    with pytest.raises(StaleError):
        await store.finish(late)
    assert await kinds(store) == ["call.end", "call.end", "late"], "what an agent did was done"


TAMPERED = {
    "a text": (
        "UPDATE audit SET body = replace(body, 'n\":3', 'n\":9') WHERE number = 3",
        "entry 3 is not the one that was written",
    ),
    "a hash": (
        "UPDATE audit SET hash = (SELECT hash FROM audit WHERE number = 1) WHERE number = 4",
        "entry 4 is not the one that was written",
    ),
    "a key": ("UPDATE audit SET \"key\" = 'key-bob' WHERE number = 2", "entry 2 is filed under something else"),
    "a time": ("UPDATE audit SET at_s = at_s + 1 WHERE number = 5", "entry 5 is filed under something else"),
    "a kind": ("UPDATE audit SET kind = 'x' WHERE number = 5", "entry 5 is filed under something else"),
    "the first": ("DELETE FROM audit WHERE number = 1", "entry 1 is missing"),
    "one in the middle": ("DELETE FROM audit WHERE number = 3", "entry 3 is missing"),
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_207_what_is_changed_behind_the_stores_back_is_noticed(options: StorageOptions, what: str) -> None:
    statement, told = TAMPERED[what]
    async with open_store(options) as store:
        await store.put_on_record([act(n) for n in range(1, 7)])
        assert problem_of(await entries(store)) is None
    change(options, statement)
    async with open_store(options) as store:
        assert (problem_of(await entries(store)) or "").startswith(told)


async def test_208_what_has_changed_places_is_noticed(options: StorageOptions) -> None:
    async with open_store(options) as store:
        await store.put_on_record([act(n) for n in range(1, 7)])
    change(
        options,
        "UPDATE audit SET number = 99 WHERE number = 2",
        "UPDATE audit SET number = 2 WHERE number = 3",
        "UPDATE audit SET number = 3 WHERE number = 99",
    )
    async with open_store(options) as store:
        assert problem_of(await entries(store)) == "entry 2 is not the one that was written"
