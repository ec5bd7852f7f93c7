"""The database cannot: clients are told so before anything is taken, reading goes on, and it passes by itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.storage import engines
from tests.harness.waiting import BOUND_S
from tests.http.loopback import CHAT, Running, asking, running, says

HERE = Path(__file__).parent
NOBODY = 65534
# Holds the file's lock until its input ends.
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Have another program hold the database."""
    command = [sys.executable, "-c", HOLD, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield


async def sessions_of(gateway: Running) -> list[Any]:
    answer = await gateway.http.get("/v1/sessions")
    assert answer.status_code == 200
    found: list[Any] = answer.json()["data"]
    return found


@pytest.mark.parametrize(
    "busy_s",
    [
        pytest.param(0.2, id="soon given up"),
        # As it is: two requests, one after the other, wait for ten seconds.
        pytest.param(engines.BUSY_S, id="ten seconds", marks=pytest.mark.faults),
    ],
)
async def test_a_database_that_another_program_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy_s: float
) -> None:
    monkeypatch.setattr(engines, "BUSY_S", busy_s)
    data = tmp_path / "data"
    async with running(says("yes"), data_dir=data) as gateway:
        assert (await gateway.post("before")).status_code == 200
        with locked(data / "gateway.db"):
            for path, shape in ((CHAT, "server_error"), ("/v1/messages", "api_error")):
                asked = asking("during", max_tokens=10, stream=True)
                refused = await gateway.http.post(path, json=asked, timeout=BOUND_S)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
                assert refused.json()["error"]["type"] == shape
                assert len(await sessions_of(gateway)) == 1
            assert len(gateway.engine.plans) == 1
        assert (await gateway.post("after")).status_code == 200
        assert [one["title"] for one in await sessions_of(gateway)] == ["after", "before"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_turn_that_cannot_be_ended_is_ended_as_soon_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Its client is told of the failure, and that is also what is kept."""
    monkeypatch.setattr(engines, "BUSY_S", 0.2)
    data = tmp_path / "data"
    engine = says("yes")
    async with running(engine, data_dir=data) as gateway:
        first = (await gateway.post("before")).headers["x-session-id"]
        told = await _end_while_locked(gateway, data / "gateway.db", stream=stream)
        assert told.text.count("store_unavailable") == 1
        assert told.status_code == (200 if stream else 503)
        assert '"finish_reason":"stop"' not in told.text
        await gateway.gateway.upkeep.round()
        (second,) = [one["id"] for one in await sessions_of(gateway) if one["id"] != first]
        (turn,) = await gateway.store.turns_of(second, "tests", from_fence=1)
        assert turn.state.value == "failed"
        counted = (await gateway.http.get("/metrics")).text
        assert 'turns_total{dialect="openai_chat",state="completed"} 1\n' in counted
        assert 'turns_total{dialect="openai_chat",state="failed"} 1\n' in counted
        again = await gateway.http.post(CHAT, json=asking("again"), headers={"x-session-id": second})
        assert again.headers["x-session-id"] == second
        assert again.status_code == 200


async def _end_while_locked(gateway: Running, database: Path, *, stream: bool) -> httpx2.Response:
    """Ask, and have the database locked between the acceptance and the end."""
    accept, ready, go = gateway.store.accept, asyncio.Event(), asyncio.Event()

    async def accept_and_wait(acceptance: Any) -> None:
        await accept(acceptance)
        ready.set()
        await go.wait()

    gateway.store.accept = accept_and_wait  # type: ignore[method-assign]
    asked = asyncio.create_task(gateway.post("during", stream=stream))
    await ready.wait()
    gateway.store.accept = accept  # type: ignore[method-assign]
    with locked(database):
        go.set()
        return await asked


def may_mount() -> bool:
    unshare = shutil.which("unshare")
    test = "mount -t tmpfs -o size=1m none /mnt"
    return (
        unshare is not None
        and subprocess.run([unshare, "-m", "sh", "-c", test], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=24m,mode=700 none {tmp_path} && exec "$0" "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, sys.executable, str(HERE / "full_disk.py"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    refused = {"status": 507, "retry_after": "60", "type": "server_error"}
    assert json.loads(ended.stdout) == {
        "openai": refused,
        "openai, streamed": refused,
        "anthropic": refused | {"type": "api_error"},
        "reached the engine": 0,
        "sessions": [200, 4],
        # The space for these ends had been kept.
        "short": [200, True, ["completed"]],
        "streamed": [200, True, ["completed"]],
        # For this one there is none: its client is told so, and that it failed is written as soon as there is.
        "long": [507, False, ["accepted"]],
        "with space": 200,
        "long, with space": ["failed"],
    }


@contextmanager
def as_somebody(*places: Path) -> Iterator[None]:
    """Be bound to permissions, which root is not."""
    if os.geteuid() != 0:
        yield
        return
    for place in places:
        os.chown(place, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_directory_that_can_no_longer_be_written() -> None:
    """The files are open: turns go on, and what is answered is kept."""
    # Not below the tests' own directory, which is root's alone where root runs them.
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        data.mkdir(mode=0o700)
        with as_somebody(Path(place), data):
            async with running(says("yes"), data_dir=data) as gateway:
                session = (await gateway.post("before")).headers["x-session-id"]
                modes = {path: path.stat().st_mode for path in (*data.iterdir(), data)}
                for path, mode in modes.items():
                    path.chmod(mode & ~0o222)
                during = await gateway.http.post(CHAT, json=asking("during"), headers={"x-session-id": session})
                assert during.status_code in (200, 503)
                (found,) = await sessions_of(gateway)
                assert found["message_count"] == (4 if during.status_code == 200 else 2)
                for path, mode in reversed(modes.items()):
                    path.chmod(mode)
                assert (await gateway.post("after")).status_code == 200
            async with running(says("yes"), data_dir=data) as gateway:
                assert len(await sessions_of(gateway)) == 2


async def _set_read_only(gateway: Running, *, on: bool) -> None:
    """Have SQLite refuse to write, with the error that it has for a file system that has become read-only.

    A file system under an open database does not become so by somebody's wish: the kernel refuses while a file is open
    for writing. It does when a disk fails, which cannot be had here.
    """
    database = gateway.store._database  # type: ignore[attr-defined]  # noqa: SLF001
    with closing(database._writing.raw_connection()) as connection:  # noqa: SLF001
        connection.driver_connection.execute(f"PRAGMA query_only = {int(on)}")


async def test_a_file_system_that_becomes_read_only(tmp_path: Path) -> None:
    async with running(says("yes"), data_dir=tmp_path / "data") as gateway:
        assert (await gateway.post("before")).status_code == 200
        await _set_read_only(gateway, on=True)
        for path, shape in ((CHAT, "server_error"), ("/v1/messages", "api_error")):
            refused = await gateway.http.post(path, json=asking("during", max_tokens=10, stream=True))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert refused.json()["error"]["type"] == shape
        assert (await gateway.http.get("/readyz")).status_code == 503
        assert len(await sessions_of(gateway)) == 1
        assert len(gateway.engine.plans) == 1, "nothing reached the engine"
        await _set_read_only(gateway, on=False)
        assert (await gateway.post("after")).status_code == 200
        assert [one["title"] for one in await sessions_of(gateway)] == ["after", "before"]
