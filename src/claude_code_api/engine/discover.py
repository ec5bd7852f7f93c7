"""Finds what is on this machine: the `claude` binary and the credentials it may use. Runs nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from claude_code_api.engine.options import Credentials, EngineOptions


class NoBinaryError(Exception):
    """There is no `claude` to run; the text says where it was looked for."""


def find_binary(options: EngineOptions, home: Path) -> Path:
    """Return the full path of the CLI: the one that was set, the bundled one, then the usual places."""
    if options.claude_binary_path is not None:
        chosen = options.claude_binary_path.expanduser().absolute()
        if not _runs(chosen):
            msg = f"CLAUDE_BINARY_PATH names {chosen}, which is not an executable file."
            raise NoBinaryError(msg)
        return chosen
    places = list(_places(home))
    for place in places:
        if _runs(place):
            return place.absolute()
    looked = ", ".join(str(place) for place in places)
    msg = f"No `claude` was found. Install claude-agent-sdk, or set CLAUDE_BINARY_PATH. Looked at: {looked}"
    raise NoBinaryError(msg)


def _places(home: Path) -> Iterator[Path]:
    spec = find_spec("claude_agent_sdk")
    name = "claude.exe" if sys.platform == "win32" else "claude"
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "_bundled" / name
    on_path = shutil.which("claude")
    if on_path is not None:
        yield Path(on_path)
    npm = shutil.which("npm")
    if npm is not None:
        # Global packages put their commands beside npm itself.
        yield Path(npm).parent / name
    yield home / ".npm-global" / "bin" / name
    yield home / ".local" / "bin" / name
    yield Path("/usr/local/bin") / name
    # The newest of several, by version and not by alphabet.
    versions = sorted((home / ".nvm" / "versions").glob("*/v*"), key=_version, reverse=True)
    for version in versions:
        yield version / "bin" / name


def _version(directory: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in directory.name.lstrip("v").split(".") if part.isdigit())


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def find_credentials(options: EngineOptions, home: Path) -> Credentials:
    """Return what the CLI is to use: a key, a token, or the login of the user whose home this is."""
    if options.anthropic_api_key:
        return Credentials(api_key=options.anthropic_api_key)
    if options.anthropic_auth_token:
        return Credentials(auth_token=options.anthropic_auth_token)
    if options.claude_code_oauth_token:
        return Credentials(oauth_token=options.claude_code_oauth_token)
    directory = home / ".claude"
    # On macOS the login itself is in the keychain; the account's name in this file says that there is one.
    on_macos = sys.platform == "darwin" and _names_an_account(home / ".claude.json")
    if (directory / ".credentials.json").is_file() or on_macos:
        return Credentials(login_directory=directory)
    return Credentials()


def _names_an_account(file: Path) -> bool:
    try:
        return '"oauthAccount"' in file.read_text(encoding="utf-8")
    except OSError:
        return False
