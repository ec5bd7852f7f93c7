"""`keys`: what the commands print and change, also under a gateway that runs."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.flow.access import digest_of
from tests.conformance.postgres_server import postgres_server
from tests.console.gateway_process import GatewayProcess, environment, run
from tests.harness import programs
from tests.harness.waiting import BOUND_S, until

MISTAKE = 2


def keys(home: Path, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """Run a command that works; returns what it says."""
    ended = run("keys", *arguments, "--data-dir", "data", "--json", home=home, env=env)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return json.loads(ended.stdout)


def refused(home: Path, *arguments: str) -> str:
    """Run a command that does not; returns its one line."""
    ended = run("keys", *arguments, "--data-dir", "data", home=home)
    assert ended.returncode == MISTAKE, ended
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(params=["sqlite", "postgresql"])
def env(request: pytest.FixtureRequest) -> dict[str, str]:
    return {} if request.param == "sqlite" else {"DATABASE_URL": postgres_server().new_database()}


def test_from_the_making_to_the_end(tmp_path: Path, env: dict[str, str]) -> None:
    wanted = ("--scope", "turns", "--scope", "usage", "--model", "haiku", "--profile", "read", "--burst", "3")
    limits = ("--budget-usd", "1.5", "--expires-in", "30d", "--project", "p1", "--set", "key-concurrent-turns=7")
    made = keys(tmp_path, "create", "ci", *wanted, *limits, env=env)
    key = made.pop("key")
    assert (made["name"], made["scopes"], made["models"], made["projects"]) == (
        "ci",
        ["turns", "usage"],
        ["haiku"],
        ["p1"],
    )
    assert (made["profile"], made["burst"], made["budget_usd"], made["concurrent_turns"]) == ("read", 3, 1.5, 7)
    assert (made["requests_per_minute"], made["created_by"]) == (100, "command line")
    # Both are whole seconds, and one of them is taken a moment after the other.
    assert abs(made["expires_at"] - made["created_at"] - 30 * 86_400) <= 1
    assert keys(tmp_path, "list", env=env) == [made]
    rotated = keys(tmp_path, "rotate", made["id"], env=env)
    assert rotated.pop("key") != key
    assert rotated == made
    revoked = keys(tmp_path, "revoke", made["id"], env=env)
    assert revoked["revoked_at"] is not None
    assert keys(tmp_path, "list", env=env) == []
    assert keys(tmp_path, "list", "--revoked", env=env) == [revoked]


def test_item_02_a_key_is_printed_once_and_alone(tmp_path: Path) -> None:
    made = run("keys", "create", "ci", "--data-dir", "data", home=tmp_path)
    key = made.stdout.strip()
    assert key.startswith("cca-")
    assert made.stdout == key + "\n", "nothing else, so that a script can take it"
    assert "copy it now" in made.stderr
    assert key not in made.stderr
    listed = run("keys", "list", "--data-dir", "data", home=tmp_path)
    assert "ci" in listed.stdout
    assert key not in listed.stdout
    with sqlite3.connect(tmp_path / "data/gateway.db") as database:
        dump = "\n".join(database.iterdump())
    assert key not in dump
    assert digest_of(key).hex() in dump.lower()


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    assert "--scopes" in refused(tmp_path, "create", "ci", "--scope", "root")
    assert "--burst" in refused(tmp_path, "create", "ci", "--burst", "0")
    assert "--name" in refused(tmp_path, "create", " ")
    for wrong in ("30", "d", "-1d", "1y", "1.5h"):
        assert "--expires-in" in refused(tmp_path, "create", "ci", "--expires-in", wrong)
    assert "no key with this id" in refused(tmp_path, "revoke", "key_1")
    assert "no key with this id" in refused(tmp_path, "rotate", "key_1")


def test_a_help_that_says_what_there_is(tmp_path: Path) -> None:
    ended = run("keys", "create", "--help", home=tmp_path, env={"COLUMNS": "200"})
    for word in (
        "--scope",
        "--project",
        "--model",
        "--profile",
        "--expires-in",
        "--requests-per-minute",
        "--budget-usd",
    ):
        assert word in ended.stdout


def status(gateway: GatewayProcess, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.get(f"{gateway.url}/v1/sessions", headers=headers, trust_env=False, timeout=BOUND_S).status_code


def gone(gateway: GatewayProcess, key: str) -> int:
    """What the gateway says to a key, once it is no longer good."""
    return found if (found := status(gateway, key)) != 200 else 0


def test_the_commands_do_without_the_gateway(tmp_path: Path) -> None:
    """Its imports would be most of their time."""
    for room, *command in (("flow.keys", "keys", "list"), ("http.audit_json", "audit", "list")):
        told = programs.run(
            [sys.executable, "-X", "importtime", "-m", "claude_code_api", *command, "--data-dir", "data"],
            cwd=tmp_path,
            env=environment(tmp_path),
        )
        imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
        assert (told.returncode, f"claude_code_api.{room}" in imported) == (0, True), told
        assert imported.isdisjoint({"claude_code_api.app", "fastapi", "uvicorn"})


def test_a_running_gateway_knows_by_itself(tmp_path: Path, env: dict[str, str]) -> None:
    with GatewayProcess("serve", "--port", "0", "--data-dir", "data", home=tmp_path, env=env) as gateway:
        made = keys(tmp_path, "create", "ci", env=env)
        assert status(gateway, made["key"]) == 200
        keys(tmp_path, "revoke", made["id"], env=env)
        assert until(lambda: gone(gateway, made["key"]), "the end of a revoked key") == 401


def test_an_address_that_others_reach_opens_with_a_made_key(tmp_path: Path) -> None:
    serve = ("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", "data")
    refused_start = run(*serve, home=tmp_path)
    assert refused_start.returncode == MISTAKE
    assert "keys create" in refused_start.stderr
    made = keys(tmp_path, "create", "ci", "--scope", "admin")
    with GatewayProcess(*serve, home=tmp_path) as gateway:
        assert status(gateway, made["key"]) == 200
    keys(tmp_path, "revoke", made["id"])
    assert run(*serve, home=tmp_path).returncode == MISTAKE
