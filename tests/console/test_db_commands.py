"""`db`: what the commands print, what they change, and with which exit code they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.storage.address import address_of
from claude_code_api.storage.opening import open_store, prepare
from claude_code_api.storage.options import StorageOptions
from claude_code_api.storage.tables import HEAD
from tests.conformance.postgres_server import postgres_server
from tests.conformance.stores import Talk
from tests.console.gateway_process import run

WRONG, MISTAKE = 1, 2


@pytest.fixture
def options(tmp_path: Path) -> StorageOptions:
    return StorageOptions(data_dir=tmp_path / "data")


@pytest.fixture
def file(options: StorageOptions) -> Path:
    return options.data_dir / "gateway.db"


async def talk(options: StorageOptions) -> None:
    async with open_store(options) as store:
        await Talk(store).round("hello", "hi")


def db(home: Path, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """Run a command that works; returns what it says."""
    ended = run("db", *arguments, "--data-dir", "data", "--json", home=home, env=env)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return json.loads(ended.stdout)


def refused(home: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run a command that does not; returns its one line."""
    ended = run("db", *arguments, "--data-dir", "data", home=home, env=env)
    assert ended.returncode == MISTAKE, ended
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_looking_makes_nothing(tmp_path: Path, file: Path) -> None:
    status = db(tmp_path, "status")
    assert (status["database"], status["kind"], status["schema"], status["rows"]) == (str(file), "sqlite", None, {})
    assert status["newest_schema"] == HEAD
    assert "There is no database" in refused(tmp_path, "check")
    assert "There is no database" in refused(tmp_path, "backup")
    assert not file.parent.exists()


def test_migrate_makes_the_database_and_status_counts(tmp_path: Path, options: StorageOptions) -> None:
    assert db(tmp_path, "migrate") == {"before": None, "now": HEAD}
    assert db(tmp_path, "migrate") == {"before": HEAD, "now": HEAD}
    asyncio.run(talk(options))
    status = db(tmp_path, "status")
    rows = status["rows"]
    assert (rows["sessions"], rows["messages"], rows["turns"], rows["usage"]) == (1, 2, 1, 1)
    assert status["size_bytes"] > 0
    assert status["in_use"] is False
    shown = run("db", "status", "--data-dir", "data", home=tmp_path).stdout
    assert "messages (rows)" in shown


def test_a_database_in_use_says_so_and_can_be_backed_up_but_not_replaced(
    tmp_path: Path, options: StorageOptions
) -> None:
    asyncio.run(talk(options))
    held = prepare(address_of(options))
    assert held is not None
    assert db(tmp_path, "status")["in_use"] is True
    copy = db(tmp_path, "backup", "copy.db")["backup"]
    assert "stop it first" in refused(tmp_path, "restore", copy)
    held.close()
    db(tmp_path, "restore", copy)


def test_a_backup_comes_back(tmp_path: Path, options: StorageOptions, file: Path) -> None:
    asyncio.run(talk(options))
    named = db(tmp_path, "backup", "copy.db")
    assert named["backup"] == str(tmp_path / "copy.db")
    unnamed = Path(db(tmp_path, "backup")["backup"])
    assert unnamed.parent == options.data_dir / "backups"
    assert "already" in refused(tmp_path, "backup", "copy.db")
    file.write_bytes(b"damaged " * 1000)
    put_back = db(tmp_path, "restore", str(unnamed))
    assert Path(put_back["replaced_file_kept_as"]).read_bytes() == b"damaged " * 1000
    assert db(tmp_path, "check") == {"ok": True, "problems": []}
    assert db(tmp_path, "status")["rows"]["messages"] == 2


def test_another_machine_begins_with_a_backup(tmp_path: Path, options: StorageOptions) -> None:
    asyncio.run(talk(options))
    db(tmp_path, "backup", "copy.db")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "copy.db").write_bytes((tmp_path / "copy.db").read_bytes())
    assert db(tmp_path / "other", "restore", "copy.db")["replaced_file_kept_as"] is None
    assert db(tmp_path / "other", "status")["rows"]["messages"] == 2


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE sessions SET message_count = 7", "1 sessions that count their messages wrongly: s1"),
        ("UPDATE messages SET number = 9 WHERE number = 2", "1 sessions with gaps between their messages: s1"),
        ("DELETE FROM usage", "1 turns that are over and not on the bill: s1-turn-1"),
        ("UPDATE turns SET ended_s = NULL, fence = 0", "1 turns that go on though a later one has begun: s1-turn-1"),
        ("UPDATE turns SET answer_number = 5", "1 turns with an answer that is not there: s1-turn-1"),
    ],
)
def test_check_finds_what_does_not_hold_together(
    tmp_path: Path, options: StorageOptions, file: Path, statement: str, told: str
) -> None:
    asyncio.run(talk(options))
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)
    ended = run("db", "check", "--data-dir", "data", "--json", home=tmp_path)
    assert ended.returncode == WRONG
    assert told in json.loads(ended.stdout)["problems"]


def test_check_finds_a_damaged_file(tmp_path: Path, options: StorageOptions, file: Path) -> None:
    asyncio.run(talk(options))
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    ended = run("db", "check", "--data-dir", "data", home=tmp_path)
    assert ended.returncode == WRONG
    assert "is damaged" in " ".join(ended.stdout.split())


def test_only_a_gateways_database_is_put_back(tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_text("no database " * 1000)
    with contextlib.closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE theirs (x INTEGER)")
    assert "damaged" in refused(tmp_path, "restore", "nonsense")
    assert "not a gateway's database" in refused(tmp_path, "restore", "theirs.db")
    assert "There is no backup" in refused(tmp_path, "restore", "absent.db")


def test_a_server(tmp_path: Path) -> None:
    env = {"DATABASE_URL": postgres_server().new_database().replace("postgres@", "postgres:secret@")}
    assert db(tmp_path, "migrate", env=env) == {"before": None, "now": HEAD}
    status = db(tmp_path, "status", env=env)
    assert (status["kind"], status["schema"], status["in_use"]) == ("postgresql", HEAD, None)
    assert "secret" not in json.dumps(status)
    assert db(tmp_path, "check", env=env) == {"ok": True, "problems": []}
    assert "pg_dump" in refused(tmp_path, "backup", env=env)
    assert "pg_restore" in refused(tmp_path, "restore", "copy.db", env=env)


def test_a_wrong_url_is_one_line_without_its_password(tmp_path: Path) -> None:
    line = refused(tmp_path, "status", env={"DATABASE_URL": "mysql://ann:secret@host/name"})
    assert "postgresql://" in line
    assert "secret" not in line
    shown = run("settings", "show", home=tmp_path, env={"DATABASE_URL": "postgresql://ann:secret@host/name"}).stdout
    assert "DATABASE_URL" in shown
    assert "secret" not in shown
