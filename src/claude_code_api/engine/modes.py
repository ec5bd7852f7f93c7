"""Whom an agent asks → flags of the CLI's. Pure: the flags of a profile in, those of a process out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from claude_code_api.engine.desk import TALKING
from claude_code_api.flow.records import Mode

_TOOLS: Final = "--tools="
_MODE: Final = "--permission-mode="
# What is done without asking in a profile. The gateway decides that, call by call: the CLI would not change its mind
# when the mode changes.
_FREE: Final = "--allowedTools="
# The CLI asks the gateway, on the pipes that they have. Without somebody to ask, its mode could not be changed later.
_ASKING: Final = "--permission-prompt-tool=stdio"
_BYPASS: Final = "bypassPermissions"
# Lets the mode be changed to that one later.
_MAY_BYPASS: Final = "--allow-dangerously-skip-permissions"
_CLI_MODES: Final[Mapping[Mode, str]] = {
    Mode.ASK: "default",
    Mode.PLAN: "plan",
    Mode.ACCEPT_EDITS: "acceptEdits",
}


def with_mode(flags: Sequence[str], mode: Mode) -> tuple[str, ...]:
    """Let the agent ask as it is to; where nobody is to be asked, it works as its profile says."""
    kept = [flag for flag in flags if not flag.startswith(_FREE)]
    if mode is Mode.AUTO:
        return (*kept, _ASKING)
    kept = [flag for flag in kept if not flag.startswith((_TOOLS, _MODE))]
    tools = ",".join(sorted(tools_in(flags) | TALKING))
    later = (_MAY_BYPASS,) if cli_mode(flags, Mode.AUTO) == _BYPASS else ()
    return (*kept, _TOOLS + tools, _MODE + _CLI_MODES[mode], *later, _ASKING)


def tools_in(flags: Sequence[str]) -> frozenset[str]:
    """Say which tools a profile has."""
    return _named(flags, _TOOLS)


def free_in(flags: Sequence[str]) -> frozenset[str]:
    """Say which tools a profile may use without asking, although the CLI would ask."""
    return _named(flags, _FREE)


def _named(flags: Sequence[str], flag: str) -> frozenset[str]:
    found = (one.removeprefix(flag) for one in flags if one.startswith(flag))
    return frozenset(tool for tools in found for tool in tools.split(","))


def cli_mode(flags: Sequence[str], mode: Mode) -> str:
    """Say what the CLI calls a mode, in a profile."""
    if mode is not Mode.AUTO:
        return _CLI_MODES[mode]
    return next(flag.removeprefix(_MODE) for flag in flags if flag.startswith(_MODE))
