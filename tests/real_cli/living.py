"""Which processes belong to a run directory, and waiting for their end without being their parent."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.harness.programs import all_ended


def processes_of(directory: Path) -> dict[int, str]:
    """Every process whose environment names this directory: pid → command line. The warden is one of them."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            if str(directory).encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


class Mourner:
    """Holds on to processes, so that their end can be waited for even by a stranger."""

    def __init__(self, pids: list[int]) -> None:
        self._descriptors = []
        for pid in pids:
            with suppress(ProcessLookupError):
                self._descriptors.append(os.pidfd_open(pid))

    def all_gone_after_s(self, since_s: float) -> float:
        """Wait for the last of them; returns how long after `since_s` (monotonic) it went, for the record."""
        try:
            all_ended(self._descriptors)
            return time.monotonic() - since_s
        finally:
            for descriptor in self._descriptors:
                os.close(descriptor)


def everybody_below(pid: int) -> set[int]:
    """Every process that descends from this one, in whatever session or namespace it is."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    below: set[int] = set()
    while found := {child for child, parent in parents.items() if parent in below | {pid}} - below:
        below |= found
    return below


def files_below(root: Path) -> Iterator[tuple[Path, bytes]]:
    """What stands in the files of a program that runs: it makes and removes some meanwhile."""
    for place, _, names in os.walk(root):
        for path in (Path(place) / name for name in names):
            with suppress(OSError):
                # Whatever else there is: a pipe, say, would have its reader wait.
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path, path.read_bytes()
