"""SQLite's file: private, synced, and honest when it cannot be written."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from claude_code_api.flow.ports import StoreError
from claude_code_api.flow.records import TurnState
from claude_code_api.storage import engines
from claude_code_api.storage.address import StoreOpenError, address_of
from claude_code_api.storage.ballast import BYTES
from claude_code_api.storage.database import WAL_BYTES
from claude_code_api.storage.opening import open_store, prepare
from claude_code_api.storage.options import StorageOptions
from claude_code_api.storage.sql_store import SqlStore
from tests.conformance.postgres_server import NOBODY
from tests.conformance.stores import ANN, NOW, Talk, a_session, sqlite

HERE = Path(__file__).parent


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def size(path: Path) -> int:
    return path.stat().st_size


def list_of(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def fill_with_talk(directory: Path) -> None:
    async with open_store(sqlite(directory)) as store:
        for n in range(20):
            await Talk(store, a_session(f"s{n}")).round("hello " * 500, "hi")


async def open_and_close(directory: Path) -> int:
    """Open the store; says how many messages its session s7 has."""
    async with open_store(sqlite(directory)) as store:
        return len(await store.history("s7"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = address_of(sqlite(tmp_path)).file
    assert found is not None
    return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with open_store(sqlite(tmp_path)) as opened:
        yield opened


# Privacy


async def test_only_its_owner_reads_what_is_kept(tmp_path: Path, store: SqlStore) -> None:
    await Talk(store).round("hello", "hi")
    directory = tmp_path / "data"
    modes = {path.name: mode(path) for path in directory.iterdir()}
    assert {"gateway.db", "gateway.db-wal", "gateway.db-shm", "ballast"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert mode(directory) == 0o700


def test_a_file_that_others_can_read_is_refused(tmp_path: Path, file: Path) -> None:
    asyncio.run(open_and_close(tmp_path))
    file.chmod(0o640)
    with pytest.raises(StoreOpenError, match=f"chmod 600 {file}"):
        asyncio.run(open_and_close(tmp_path))


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


# Rules


async def test_the_rules_are_set(store: SqlStore, file: Path) -> None:
    seen: list[dict[str, object]] = []

    @event.listens_for(Engine, "checkin")
    def look(connection: sqlite3.Connection, _record: object) -> None:
        rules = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "wal_autocheckpoint", "query_only")
        seen.append({rule: connection.execute(f"PRAGMA {rule}").fetchone()[0] for rule in rules})

    try:
        await store.check()
        await store.session("s1", ANN)
    finally:
        event.remove(Engine, "checkin", look)
    rules = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000, "foreign_keys": 1, "wal_autocheckpoint": 0}
    assert seen == [{**rules, "query_only": 0}, {**rules, "query_only": 1}]
    with contextlib.closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
    assert {name for name, strict in tables if not strict and not name.startswith("sqlite_")} == {"alembic_version"}


async def test_a_session_is_looked_for_by_an_index(store: SqlStore, file: Path) -> None:
    seen: list[tuple[str, tuple[object, ...]]] = []

    @event.listens_for(Engine, "before_cursor_execute")
    def look(*call: object) -> None:
        seen.append((str(call[2]), tuple(call[3])))  # type: ignore[arg-type]

    try:
        await store.session_with_history(ANN, [b"one", b"two"], now_s=NOW)
    finally:
        event.remove(Engine, "before_cursor_execute", look)
    ((sql, values),) = [statement for statement in seen if "head_digest" in statement[0]]
    with contextlib.closing(sqlite3.connect(file)) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))
    assert "ix_sessions_owner_head_digest" in plan
    assert "ix_sessions_owner_open_digest" in plan
    assert "SCAN" not in plan


async def test_the_log_is_brought_into_the_file(tmp_path: Path, file: Path) -> None:
    async with open_store(sqlite(tmp_path)) as store:
        for n in range(40):
            await Talk(store, a_session(f"s{n}")).ask("x" * (WAL_BYTES // 4))
        # It would hold all of them, were it never begun anew.
        assert size(file.with_name(f"{file.name}-wal")) < 20 * WAL_BYTES // 4
    assert {path.name for path in list_of(tmp_path / "data")} == {
        "gateway.db",
        "gateway.db.in-use",
        "gateway.db.starting",
        "ballast",
    }


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_every_commit_is_synced_before_it_is_told(tmp_path: Path) -> None:
    told = tmp_path / "calls"
    command = [sys.executable, str(HERE / "syncing.py"), str(tmp_path / "data"), "20"]
    traced = subprocess.run(
        ["strace", "-f", "-o", str(told), "-e", "trace=fdatasync,fsync,write", "-s", "16", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in traced.stderr:
        pytest.skip("nothing may be traced here")
    assert traced.returncode == 0, traced.stderr
    syncs, told_after = 0, []
    for line in told.read_text().splitlines():
        if "sync(" in line:
            syncs += 1
        elif '"told ' in line:
            told_after.append(syncs)
            syncs = 0
    # 20 acceptances and 20 ends; the first count has the opening in it.
    assert len(told_after) == 40
    assert min(told_after) >= 1, told_after


# Faults


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BUSY_S", 0.2)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Have another process write."""
    code = (
        f"import sqlite3, sys; c = sqlite3.connect({str(file)!r}, isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        yield


@pytest.mark.usefixtures("impatient")
async def test_a_database_that_another_process_locks(tmp_path: Path, file: Path) -> None:
    async with open_store(sqlite(tmp_path)) as store:
        talk = Talk(store)
        await talk.round("hello", "hi")
        with locked(file):
            with pytest.raises(StoreError, match="locked") as refused:
                await talk.ask("again")
            assert not refused.value.full
            with pytest.raises(StoreError, match="locked"):
                await store.check()
            assert len(await store.history("s1")) == 2
        await talk.round("again", "welcome")
        assert len(await store.history("s1")) == 4


async def test_short_locks_are_waited_for(store: SqlStore, file: Path) -> None:
    talk = Talk(store)
    await talk.ask("hello")
    with locked(file):
        waiting = asyncio.ensure_future(talk.hear("hi"))
        await asyncio.wait([waiting], timeout=0)
        assert not waiting.done()
    await waiting


async def test_no_space_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    @event.listens_for(Engine, "connect")
    def small(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 120")

    try:
        async with open_store(sqlite(tmp_path)) as store:
            talk = Talk(store)
            await talk.round("hello", "hi")
            with pytest.raises(StoreError) as refused:
                await talk.ask("x" * 1_000_000)
            assert refused.value.full
            assert len(await store.history("s1")) == 2
            await talk.round("small", "words")
    finally:
        event.remove(Engine, "connect", small)


def may_mount() -> bool:
    unshare = shutil.which("unshare")
    test = "mount -t tmpfs -o size=1m none /mnt"
    return (
        unshare is not None
        and subprocess.run([unshare, "-m", "sh", "-c", test], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")
def test_a_full_disk_lets_running_turns_end_and_nothing_begin(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=24m,mode=700 none {tmp_path} && exec "$0" "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, sys.executable, str(HERE / "small_disk.py"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "full: refused, for want of space: True",
        "full: reads go on: 1",
        "full: not healthy, for want of space: True",
        "full: running turns ended, left 0",
        "full: what was kept for them is not for new ones: True",
        "full: a session is deleted: True",
        "space: a new turn",
        f"ballast: {BYTES}",
    ]


@contextlib.contextmanager
def as_somebody(directory: Path) -> Iterator[None]:
    """Be bound to permissions, which root is not."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(directory, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("left", [0o500, 0o000])
def test_a_directory_that_cannot_be_written_is_refused(left: int) -> None:
    # Not below the tests' own directory, which is root's alone where root runs them.
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        held = prepare(address_of(StorageOptions(data_dir=data / "first")))
        assert held is not None
        held.close()
        shutil.rmtree(data / "first")
        data.chmod(left)
        with (
            as_somebody(data),
            pytest.raises(StoreOpenError, match=f"{place}/gateway.db cannot be used: .*Permission denied"),
        ):
            prepare(address_of(StorageOptions(data_dir=data)))
        data.chmod(0o700)


@pytest.mark.parametrize("damage", ["flipped", "no database", "cut"])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, file: Path, damage: str) -> None:
    asyncio.run(fill_with_talk(tmp_path))
    good = file.read_bytes()
    bad = {
        "flipped": good[:8192] + bytes(byte ^ 0xFF for byte in good[8192:-8192]) + good[-8192:],
        "no database": b"not a database " * 1000,
        "cut": good[: len(good) // 2],
    }
    file.write_bytes(bad[damage])
    with pytest.raises(StoreOpenError, match=r"is damaged \(.*`claude-code-api db restore BACKUP`"):
        asyncio.run(open_and_close(tmp_path))
    assert file.read_bytes() == bad[damage]
    file.write_bytes(good)
    assert asyncio.run(open_and_close(tmp_path)) == 2


async def test_the_data_directory_can_be_moved(tmp_path: Path) -> None:
    async with open_store(sqlite(tmp_path)) as store:
        await Talk(store).ask("hello")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "data").rename(moved / "data")
    async with open_store(sqlite(moved)) as store:
        (turn,) = await store.unfinished()
        assert turn.state is TurnState.ACCEPTED


async def test_what_a_killed_gateway_left_is_swept_away(tmp_path: Path) -> None:
    def signs() -> set[str]:
        return {path.name for path in (tmp_path / "data").glob("gateway.db.boot-*")}

    async with open_store(sqlite(tmp_path)) as store:
        own = {f"gateway.db.boot-{store.boot_id}"}
        assert signs() == own
        (tmp_path / "data" / "gateway.db.boot-killed").touch()
        async with open_store(sqlite(tmp_path)) as second:
            assert signs() == own | {f"gateway.db.boot-{second.boot_id}"}
    assert signs() == set()
