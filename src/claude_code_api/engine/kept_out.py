"""What a shell may not write in its own project: the files that would be run by somebody else, outside of the jail.

A hook of git's, a setting of Claude Code's or an MCP server that an agent leaves behind would run as soon as the
project's owner works in that directory. They are mounted read-only over themselves; one that is not there is kept from
coming into being by an empty thing in its place, which goes away with the last jail of the project.
"""

from __future__ import annotations

import stat
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

from claude_code_api.engine.jail import NO_SERVERS, NOTHING, PROJECT

# Which thing stands in for one that is not there.
_AT_THE_TOP: Final = {".claude": NOTHING, ".mcp.json": NO_SERVERS}
_GIT: Final = ".git"
_OF_GIT: Final = ("hooks", "config")


class LinkedError(Exception):
    """A link stands where something is to be kept: it cannot be, because the link can be changed."""


class KeptOut:
    """Which projects have a jail now: what stands in for missing things stays until the last of them is gone."""

    def __init__(self) -> None:
        """Begin with none."""
        self._jails: Counter[Path] = Counter()
        # They are prepared in threads.
        self._alone = threading.Lock()

    def enter(self, project: Path) -> tuple[str, ...]:
        """Return what bubblewrap is to mount; raises `LinkedError`. Each `enter` has its `leave`."""
        with self._alone:
            words = _mounts(project)
            self._jails[project] += 1
        return words

    def leave(self, project: Path) -> None:
        """A jail is gone."""
        with self._alone:
            self._jails[project] -= 1
            if self._jails[project] <= 0:
                del self._jails[project]
                _take_away(project)


def _take_away(project: Path) -> None:
    """Remove what stood in for missing things; what holds anything is not ours."""
    with suppress(OSError):
        (project / ".claude").rmdir()
    with suppress(OSError):
        servers = project / ".mcp.json"
        if servers.lstat().st_size == 0:
            servers.unlink()


def _mounts(project: Path) -> tuple[str, ...]:
    words: list[str] = []
    for name, instead in _AT_THE_TOP.items():
        source = f"{PROJECT}/{name}" if _is_there(project / name) else instead
        words += ["--ro-bind", source, f"{PROJECT}/{name}"]
    if _is_there(project / _GIT) and (project / _GIT).is_dir():
        # A mount of its own: it cannot be moved away, and with it what it holds.
        words += ["--bind", f"{PROJECT}/{_GIT}", f"{PROJECT}/{_GIT}"]
        for name in _OF_GIT:
            if _is_there(project / _GIT / name):
                words += ["--ro-bind", f"{PROJECT}/{_GIT}/{name}", f"{PROJECT}/{_GIT}/{name}"]
    return tuple(words)


def _is_there(place: Path) -> bool:
    try:
        mode = place.lstat().st_mode
    except OSError:
        return False
    if stat.S_ISLNK(mode):
        raise LinkedError(place.name)
    return True
