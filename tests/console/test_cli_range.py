"""Item 26: the version of the installed CLI is looked at when the gateway starts."""

from __future__ import annotations

import json
from pathlib import Path

from tests.console.gateway_process import GatewayProcess, run
from tests.engine.fake_site import FakeSite

MISTAKE, OK = 2, 200


def a_cli(directory: Path, version: str) -> dict[str, str]:
    """A program in the place of `claude` that says it is of this version."""
    directory.mkdir()
    fake = FakeSite(directory)
    fake.script(answers={"initialize": {"claude_code_version": version}})
    return {"CLAUDE_BINARY_PATH": str(fake.site.binary), "ANTHROPIC_API_KEY": "sk-made-up"}


def test_item_26_with_a_cli_that_is_too_old_the_start_is_refused(tmp_path: Path) -> None:
    env = a_cli(tmp_path / "fake", "2.0.14")
    ended = run("serve", "--port", "0", "--data-dir", "data", home=tmp_path / "home", env=env)
    assert ended.returncode == MISTAKE, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("error: The installed claude is version 2.0.14")
    assert "CLAUDE_BINARY_PATH" in last


def test_item_26_with_a_newer_one_it_starts_with_one_line_of_warning(tmp_path: Path) -> None:
    env = a_cli(tmp_path / "fake", "2.99.0")
    serve = ("serve", "--port", "0", "--data-dir", "data")
    with GatewayProcess(*serve, home=tmp_path / "home", env=env) as gateway, gateway.client() as client:
        # It is asked what it offers: by then its version is known.
        models = client.get("/v1/models")
    lines = [json.loads(line) for line in gateway.log]
    warned = [line for line in lines if line["event"] == "claude_not_tested"]
    assert [(line["level"], line["version"]) for line in warned] == [("warning", "2.99.0")]
    assert models.status_code == OK, models.text
