"""Backups of SQLite's file: whole, private, and taken while others write."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from pathlib import Path

import pytest

from claude_code_api.storage.address import StoreOpenError, address_of
from claude_code_api.storage.backups import backup, restore
from claude_code_api.storage.opening import open_store
from tests.conformance.stores import Talk, a_session, sqlite


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = address_of(sqlite(tmp_path)).file
    assert found is not None
    return found


async def test_a_backup_taken_while_others_write_is_whole(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "copy.db"
    async with open_store(sqlite(tmp_path)) as store:
        talks = [Talk(store, a_session(f"s{n}")) for n in range(40)]
        await asyncio.gather(asyncio.to_thread(backup, file, target), *(talk.round("hello", "hi") for talk in talks))
    with contextlib.closing(sqlite3.connect(target)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counts = connection.execute("SELECT message_count FROM sessions").fetchall()
        stored = connection.execute("SELECT count(*) FROM messages").fetchone()[0]
    assert stored == sum(count for (count,) in counts)


def test_a_backup_is_private_and_leaves_no_draft(tmp_path: Path, file: Path) -> None:
    asyncio.run(talk_a_little(tmp_path))
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    backup(file, target)
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_backup_that_fails_leaves_the_old_one(tmp_path: Path, file: Path) -> None:
    asyncio.run(talk_a_little(tmp_path))
    target = tmp_path / "copy.db"
    target.write_text("the old one")
    file.write_bytes(b"no database " * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        backup(file, target)
    assert target.read_text() == "the old one"


async def talk_a_little(directory: Path, words: str = "hello") -> None:
    async with open_store(sqlite(directory)) as store:
        await Talk(store).round(words, "hi")


async def first_words(directory: Path) -> object:
    async with open_store(sqlite(directory)) as store:
        return (await store.history("s1"))[0].message.blocks


def test_what_was_backed_up_comes_back(tmp_path: Path, file: Path) -> None:
    asyncio.run(talk_a_little(tmp_path))
    before = asyncio.run(first_words(tmp_path))
    target = tmp_path / "copy.db"
    backup(file, target)
    file.unlink()
    asyncio.run(talk_a_little(tmp_path, "something else"))
    restore(file, target)
    assert asyncio.run(first_words(tmp_path)) == before
    assert target.exists()


def test_what_was_replaced_is_kept_beside_it(tmp_path: Path, file: Path) -> None:
    asyncio.run(talk_a_little(tmp_path))
    target = tmp_path / "copy.db"
    backup(file, target)
    damaged = b"damaged " * 1000
    file.write_bytes(damaged)
    kept = restore(file, target)
    assert kept is not None
    assert kept.read_bytes() == damaged
    assert kept.parent == file.parent
    asyncio.run(first_words(tmp_path))


@pytest.mark.parametrize("content", [b"", b"no database " * 1000])
def test_only_a_database_is_put_back(tmp_path: Path, file: Path, content: bytes) -> None:
    asyncio.run(talk_a_little(tmp_path))
    before = file.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(content)
    with pytest.raises(StoreOpenError, match="other"):
        restore(file, other)
    with pytest.raises(StoreOpenError, match="There is no"):
        restore(file, tmp_path / "absent")
    assert file.read_bytes() == before
