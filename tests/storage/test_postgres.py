"""PostgreSQL: what a server can do to a store, and how the store gets over it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event

from claude_code_api.flow.ports import StoreError
from claude_code_api.flow.records import TurnState
from claude_code_api.storage import engines
from claude_code_api.storage.address import StoreOpenError
from claude_code_api.storage.opening import open_store
from claude_code_api.storage.options import StorageOptions
from claude_code_api.storage.sql_store import SqlStore
from tests.conformance.postgres_server import postgres_server
from tests.conformance.stores import ANN, Talk, a_session, postgresql


@pytest.fixture
def options(tmp_path: Path) -> StorageOptions:
    return postgresql(tmp_path)


@pytest.fixture
async def store(options: StorageOptions) -> AsyncIterator[SqlStore]:
    async with open_store(options) as opened:
        yield opened


def in_database(options: StorageOptions, statement: str) -> None:
    with psycopg.connect(options.database_url, autocommit=True) as connection:
        connection.execute(statement.encode())


def cut_all_connections(options: StorageOptions) -> None:
    in_database(
        options,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


async def test_a_server_that_was_restarted_is_found_again(options: StorageOptions, store: SqlStore) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    for n in range(3):
        # Every connection in the pool is dead, and nobody has told it.
        cut_all_connections(options)
        assert len(await store.history("s1")) == 2 + 2 * n
        cut_all_connections(options)
        await talk.round("again", "welcome")


async def test_a_gateway_that_lost_its_server_is_known_as_alive_again(options: StorageOptions, store: SqlStore) -> None:
    await Talk(store).ask("hello", of_turn={"boot_id": store.boot_id})
    async with open_store(options) as other:
        for _ in range(2):
            assert await other.unfinished() == ()
            cut_all_connections(options)
            assert await store.unfinished() == ()
            assert await other.unfinished() == ()


async def test_many_connections_at_once_are_found_again(options: StorageOptions, store: SqlStore) -> None:
    talks = [Talk(store, a_session(f"s{n}")) for n in range(16)]
    await asyncio.gather(*(talk.round("hello", "hi") for talk in talks))
    cut_all_connections(options)
    await asyncio.gather(*(talk.round("again", "welcome") for talk in talks))
    assert [len(await store.history(f"s{n}")) for n in range(16)] == [4] * 16


@contextlib.contextmanager
def cut_in_a_commit(options: StorageOptions, *, behind_it: bool) -> Iterator[None]:
    """Have the server go away in the next commit: before it is carried out, or before it is told."""
    cut: list[int] = []

    @event.listens_for(Engine, "commit")
    def on_commit(connection: Connection) -> None:
        if cut:
            return
        cut.append(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        if behind_it:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("BEGIN")
        in_database(options, f"SELECT pg_terminate_backend({cut[0]})")

    try:
        yield
    finally:
        event.remove(Engine, "commit", on_commit)
    assert cut


async def test_a_commit_that_was_carried_out_but_not_told_counts(options: StorageOptions, store: SqlStore) -> None:
    talk = Talk(store)
    with cut_in_a_commit(options, behind_it=True):
        await talk.ask("hello")
    with cut_in_a_commit(options, behind_it=True):
        await talk.hear("hi")
    found = await store.turn(talk.turn_id, ANN)
    assert found is not None
    assert found.state is TurnState.COMPLETED
    assert len(await store.history("s1")) == 2


async def test_a_commit_that_was_not_carried_out_is_told_so(options: StorageOptions, store: SqlStore) -> None:
    talk = Talk(store)
    with cut_in_a_commit(options, behind_it=False), pytest.raises(StoreError, match="in the middle of a commit"):
        await talk.ask("hello")
    assert await store.session("s1", ANN) is None
    await talk.ask("hello")
    with cut_in_a_commit(options, behind_it=False), pytest.raises(StoreError, match="in the middle of a commit"):
        await talk.hear("hi")
    assert len(await store.history("s1")) == 1
    await talk.hear("hi")
    assert len(await store.history("s1")) == 2


async def test_a_row_that_somebody_else_locks_is_not_waited_for_for_ever(
    options: StorageOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_S", 0.2)
    async with open_store(options) as store:
        talk = Talk(store)
        await talk.round("hello", "hi")
        with psycopg.connect(options.database_url) as other:
            other.execute(b"SELECT * FROM sessions FOR UPDATE")
            with pytest.raises(StoreError, match="lock timeout") as refused:
                await talk.ask("again")
            assert not refused.value.full
            assert len(await store.history("s1")) == 2
        await talk.round("again", "welcome")


async def test_a_database_that_only_reads(options: StorageOptions, store: SqlStore) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    name = options.database_url.partition("@/")[2].partition("?")[0]
    in_database(options, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    cut_all_connections(options)
    with pytest.raises(StoreError, match="read-only transaction"):
        await talk.ask("again")
    with pytest.raises(StoreError, match="only reads"):
        await store.check()
    assert len(await store.history("s1")) == 2


async def test_what_was_said_is_in_no_error(store: SqlStore) -> None:
    talk = Talk(store)
    acceptance = talk.acceptance("my secret")
    await store.accept(acceptance)
    with pytest.raises(StoreError) as failure:
        await store.add_session(a_session("s2"), acceptance.messages, None)
    shown, cause = [str(failure.value)], failure.value.__cause__
    while cause is not None:
        shown.append(str(cause))
        cause = cause.__cause__
    assert len(shown) > 1
    assert "my secret" not in " ".join(shown)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:secret@127.0.0.1:1/chats",
        "postgresql://ann:secret@/chats?host=/nowhere",
    ],
)
async def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreOpenError, match=r"chats.* cannot be used") as refusal:
        async with open_store(StorageOptions(data_dir=tmp_path, database_url=url)):
            pass
    assert "secret" not in str(refusal.value)


async def test_a_database_that_does_not_exist_is_named(tmp_path: Path) -> None:
    url = postgres_server().url("nobody_made_me")
    with pytest.raises(StoreOpenError, match='database "nobody_made_me" does not exist'):
        async with open_store(StorageOptions(data_dir=tmp_path, database_url=url)):
            pass


async def test_two_gateways_share_a_database(options: StorageOptions, store: SqlStore) -> None:
    async with open_store(options) as second:
        first_talk, second_talk = Talk(store), Talk(second)
        await first_talk.round("hello", "hi")
        second_talk.fence = 1
        await second_talk.round("from elsewhere", "hi")
        found = await store.session("s1", ANN)
        assert found is not None
        assert (found.fence, found.message_count) == (2, 4)
