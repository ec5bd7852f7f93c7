"""The commands that do not serve: what they print, and with which exit code they end."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

import claude_code_api
from claude_code_api.console import doctor
from claude_code_api.engine.prove import MODEL_CHANGES, Proof
from tests.console.gateway_process import run

MISTAKE = 2


def test_the_version(tmp_path: Path) -> None:
    assert run("--version", home=tmp_path).stdout == f"claude-code-api {claude_code_api.__version__}\n"


def test_help_names_every_command(tmp_path: Path) -> None:
    shown = run("--help", home=tmp_path).stdout
    assert all(command in shown for command in ("serve", "demo", "doctor", "settings"))
    assert run(home=tmp_path).stdout == shown


def test_settings_show_says_where_values_come_from_and_masks_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CLAUDE_CODE_API_MAX_TURNS=3\n")
    env = {"CLAUDE_CODE_API_PORT": "8001", "CLAUDE_CODE_API_KEYS": "secret-one", "ANTHROPIC_API_KEY": "secret-two"}
    shown = run("settings", "show", "--json", "--set", "wait-s=1", home=tmp_path, env=env)
    rows = {row["name"]: row for row in json.loads(shown.stdout)}
    assert rows["port"] == {"name": "port", "value": "8001", "origin": "environment CLAUDE_CODE_API_PORT"}
    assert rows["max_turns"]["origin"] == ".env CLAUDE_CODE_API_MAX_TURNS"
    assert rows["wait_s"] == {"name": "wait_s", "value": "1.0", "origin": "flag"}
    assert rows["host"]["origin"] == "default"
    assert rows["keys"]["value"] == rows["anthropic_api_key"]["value"] == "********"
    for_people = run("settings", "show", home=tmp_path, env=env).stdout
    assert "secret" not in shown.stdout + for_people
    assert "8001" in for_people


def test_settings_list_names_variable_and_description(tmp_path: Path) -> None:
    rows = json.loads(run("settings", "list", "--json", home=tmp_path).stdout)
    port = next(row for row in rows if row["name"] == "port")
    assert port["variable"] == "CLAUDE_CODE_API_PORT"
    assert all(row["description"] for row in rows)
    assert "CLAUDE_CODE_API_PORT" in run("settings", "list", home=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        (["serve"], {"CLAUDE_CODE_API_PROT": "1"}, "Did you mean CLAUDE_CODE_API_PORT?"),
        (["serve", "--set", "prt=1"], {}, "Did you mean port?"),
        (["serve", "--set", "port"], {}, "NAME=VALUE"),
        (["serve", "--set", "port=many"], {}, "port"),
        (["serve", "--port", "70000"], {}, "out of range"),
        (["serve", "--config", "absent.toml"], {}, "absent.toml"),
        (["serve", "--log-level", "loud"], {}, "log_level"),
        (["serve"], {"CLAUDE_BINARY_PATH": "/nowhere/claude"}, "CLAUDE_BINARY_PATH"),
        (["serve", "--host", "0.0.0.0"], {}, "no key"),
        (["serve", "--host", "0.0.0.0", "--no-auth"], {}, "--no-auth"),
        (["serve", "--host", "no-such-host.invalid"], {}, "no-such-host.invalid"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], env: dict[str, str], told: str
) -> None:
    ended = run(*arguments, home=tmp_path, env=env)
    assert ended.returncode == MISTAKE
    assert ended.stderr.startswith("error: ")
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / ".local/share/claude-code-api/api-key").exists()


def test_a_port_in_use_is_a_mistake(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("serve", "--port", str(taken.getsockname()[1]), "--data-dir", "data", home=tmp_path)
    assert ended.returncode == MISTAKE
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_data_directory_that_cannot_be_made_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run("serve", "--port", "0", "--data-dir", "file/data", home=tmp_path)
    assert ended.returncode == MISTAKE
    assert "Traceback" not in ended.stderr


@pytest.mark.real_cli
def test_the_doctor_proves_the_cli_and_says_what_is_missing(tmp_path: Path) -> None:
    without = run("doctor", "--json", "--port", "0", home=tmp_path)
    found = {finding["what"]: finding for finding in json.loads(without.stdout)["findings"]}
    assert without.returncode == 1
    assert found["credentials"]["verdict"] == "wrong"
    assert "ANTHROPIC_API_KEY" in found["credentials"]["fix"]
    assert found["claude proved"]["verdict"] == found["claude version"]["verdict"] == "ok"
    # Whether this machine can make one, is another question.
    assert found["jail"]["verdict"] in {"ok", "warning"}
    # Looking changes nothing.
    assert not (tmp_path / ".local/share/claude-code-api").exists()

    healthy = run("doctor", "--port", "0", home=tmp_path, env={"ANTHROPIC_API_KEY": "secret"})
    assert healthy.returncode == 0
    assert "wrong" not in healthy.stdout
    assert "secret" not in healthy.stdout


def test_the_doctor_says_what_it_costs_where_warm_processes_do_not_work() -> None:
    proof = Proof({"one thing": False, "another": True, MODEL_CHANGES: False})
    told = doctor._table(proof)  # noqa: SLF001 - no CLI that is at hand fails
    assert [(finding.found, finding.verdict.value) for finding in told] == [
        ("not: one thing", "warning"),
        ("another", "ok"),
        (f"not: {MODEL_CHANGES}", "warning"),
    ]
    assert "every turn starts one" in told[0].fix
    assert "each model has warm processes of its own" in told[2].fix


def test_item_10_the_doctor_says_what_a_jail_takes(tmp_path: Path) -> None:
    native, nowhere = shutil.which("true") or "/bin/true", tmp_path / "nowhere"
    nowhere.mkdir()
    env = {"CLAUDE_BINARY_PATH": native, "PATH": str(nowhere)}
    found = json.loads(run("doctor", "--json", "--port", "0", home=tmp_path, env=env).stdout)["findings"]
    (jail,) = (finding for finding in found if finding["what"] == "jail")
    assert jail["verdict"] == "warning", "everything else works without"
    assert "no bubblewrap" in jail["found"]
    assert "`shell` and `full` answer 503" in jail["fix"]
    assert "apt-get install bubblewrap" in jail["fix"]


def test_the_doctor_finds_a_cli_that_is_none(tmp_path: Path) -> None:
    impostor = tmp_path / "claude"
    impostor.write_text("#!/bin/sh\necho nonsense >&2\nexit 3\n")
    impostor.chmod(0o755)
    ended = run("doctor", "--json", "--port", "0", home=tmp_path, env={"CLAUDE_BINARY_PATH": str(impostor)})
    found = {finding["what"]: finding for finding in json.loads(ended.stdout)["findings"]}
    assert ended.returncode == 1
    assert found["claude runs"]["verdict"] == "wrong"
    assert "nonsense" in found["claude runs"]["found"]
    assert ended.stderr == ""
