"""Where the program and the credentials are found. Nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_code_api.engine import discover
from claude_code_api.engine.discover import NoBinaryError, find_binary, find_credentials
from claude_code_api.engine.options import Credentials, EngineOptions


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 99\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, no bundled program and nothing on PATH."""
    monkeypatch.setattr(discover, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "home"


def test_the_bundled_program_is_found_without_any_setting(tmp_path: Path) -> None:
    found = find_binary(EngineOptions(), tmp_path)
    assert (found.name, found.parent.name) == ("claude", "_bundled")


def test_the_chosen_program_wins(tmp_path: Path) -> None:
    chosen = program(tmp_path / "my-claude")
    assert find_binary(EngineOptions(claude_binary_path=chosen), tmp_path) == chosen


@pytest.mark.parametrize("mode", [None, 0o600])
def test_a_choice_that_cannot_run_is_not_replaced_by_another(tmp_path: Path, mode: int | None) -> None:
    chosen = tmp_path / "my-claude"
    if mode is not None:
        program(chosen).chmod(mode)
    with pytest.raises(NoBinaryError, match="CLAUDE_BINARY_PATH"):
        find_binary(EngineOptions(claude_binary_path=chosen), tmp_path)


def test_a_directory_of_that_name_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(NoBinaryError):
        find_binary(EngineOptions(claude_binary_path=tmp_path), tmp_path)


def test_the_usual_places_in_their_order(bare_machine: Path) -> None:
    home, on_path = bare_machine, bare_machine.parent / "bin"
    places = [
        program(home / ".nvm" / "versions" / "node" / "v9.1.0" / "bin" / "claude"),
        program(home / ".nvm" / "versions" / "node" / "v22.0.0" / "bin" / "claude"),
        program(home / ".local" / "bin" / "claude"),
        program(home / ".npm-global" / "bin" / "claude"),
        program(on_path / "claude"),
    ]
    while places:
        assert find_binary(EngineOptions(), home) == places[-1]
        places.pop().unlink()


def test_beside_npm(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = program(bare_machine.parent / "opt" / "claude")
    npm = program(bare_machine.parent / "opt" / "npm")
    monkeypatch.setattr(
        "claude_code_api.engine.discover.shutil.which", lambda name: str(npm) if name == "npm" else None
    )
    assert find_binary(EngineOptions(), bare_machine) == beside


def test_where_nothing_is_the_places_are_named(bare_machine: Path) -> None:
    with pytest.raises(NoBinaryError, match=r"Install claude-agent-sdk.*\.npm-global/bin/claude"):
        find_binary(EngineOptions(), bare_machine)


ALL = EngineOptions(anthropic_api_key="k", anthropic_auth_token="a", claude_code_oauth_token="o")


@pytest.mark.parametrize(
    ("options", "credentials", "source"),
    [
        (ALL, Credentials(api_key="k"), "ANTHROPIC_API_KEY"),
        (
            EngineOptions(anthropic_auth_token="a", claude_code_oauth_token="o"),
            Credentials(auth_token="a"),
            "ANTHROPIC_AUTH_TOKEN",
        ),
        (EngineOptions(claude_code_oauth_token="o"), Credentials(oauth_token="o"), "CLAUDE_CODE_OAUTH_TOKEN"),
        (EngineOptions(), Credentials(), None),
        (EngineOptions(anthropic_api_key=""), Credentials(), None),
    ],
)
def test_one_credential_in_this_order(
    tmp_path: Path, options: EngineOptions, credentials: Credentials, source: str | None
) -> None:
    found = find_credentials(options, tmp_path)
    assert found == credentials
    assert found.source == source


def test_a_login_of_the_user(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    assert find_credentials(EngineOptions(), tmp_path) == Credentials()
    (tmp_path / ".claude" / ".credentials.json").write_text("{}")
    found = find_credentials(EngineOptions(), tmp_path)
    assert found == Credentials(login_directory=tmp_path / ".claude")
    assert found.source == "claude login"


@pytest.mark.parametrize(("text", "there"), [('{"oauthAccount": {}}', True), ("{}", False), (None, False)])
def test_a_login_on_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, there: bool) -> None:
    monkeypatch.setattr("claude_code_api.engine.discover.sys.platform", "darwin")
    if text is not None:
        (tmp_path / ".claude.json").write_text(text)
    assert (find_credentials(EngineOptions(), tmp_path).login_directory is not None) is there


def test_secrets_are_in_no_representation() -> None:
    assert "made-up" not in repr(Credentials("made-up", "made-up", "made-up"))
    assert "made-up" not in repr(EngineOptions(None, "made-up", "made-up", "made-up"))
