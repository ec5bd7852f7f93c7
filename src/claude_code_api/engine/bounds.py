"""How much of the machine one jail may take: control groups where the gateway may make them, limits of each process
where not.

Version 1 of control groups can be used by root alone. Version 2 can be used where the directory above the gateway's own
group is the gateway's to write in and holds no process: systemd's `Delegate=yes` with `DelegateSubgroup=`, for one.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from claude_code_api.engine.options import EngineOptions

_MIB: Final = 1024 * 1024
_NAME: Final = "claude-code-api"
_NEEDED: Final = frozenset({"pids", "memory", "cpu"})
_PERCENT: Final = 100
# What a group has of the processor's time unless something else is said.
_SHARES_V1: Final = 1024
_numbers: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Groups:
    """Where control groups for jails can be made: each directory with the controllers that it has."""

    bases: tuple[tuple[Path, frozenset[str]], ...] = ()
    version: int = 0

    @property
    def bounded(self) -> frozenset[str]:
        """What they bound."""
        return frozenset(name for _, names in self.bases for name in names)

    def make(self, options: EngineOptions) -> tuple[Path, ...]:
        """Make the groups of one jail; whoever joins them removes them."""
        name = f"{_NAME}-{os.getpid()}-{next(_numbers)}"
        made: list[Path] = []
        try:
            for base, controllers in self.bases:
                group = base / name
                group.mkdir()
                made.append(group)
                limits = _limits_v2(options) if self.version == 2 else _limits_v1(options)  # noqa: PLR2004 - its name
                for file, value, needed in limits:
                    if file.partition(".")[0] in controllers:
                        _write(group / file, value, needed=needed)
        except BaseException:
            remove(tuple(made))
            raise
        return tuple(made)

    def sweep(self) -> None:
        """Remove what gateways left behind that were killed together with their wardens."""
        for base, _ in self.bases:
            for group in base.glob(f"{_NAME}-*-*"):
                pid = group.name.split("-")[-2]
                if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
                    remove((group,))


def remove(groups: tuple[Path, ...]) -> None:
    """Remove groups that nobody is in."""
    for group in groups:
        with suppress(OSError):
            group.rmdir()


def find_groups(own: str | None = None, mounts: str | None = None, *, proc: Path = Path("/proc/self")) -> Groups:
    """Look where groups can be made; the texts are those of `/proc/self/cgroup` and `/proc/self/mounts`."""
    try:
        own = (proc / "cgroup").read_text(encoding="ascii") if own is None else own
        mounts = (proc / "mounts").read_text(encoding="utf-8") if mounts is None else mounts
    except OSError:
        return Groups()
    entries = [line.split(":", 2) for line in own.splitlines()]
    places = {names: path for _, names, path in entries}
    v1 = tuple(_found_v1(places, mounts))
    if frozenset(name for _, names in v1 for name in names) >= {"pids", "memory"}:
        return Groups(v1, 1)
    base = _found_v2(places.get("", "/"), mounts)
    return Groups() if base is None else Groups(((base, _NEEDED),), 2)


def _mounted(kind: str, mounts: str) -> Iterator[tuple[Path, list[str]]]:
    for line in mounts.splitlines():
        _, place, found, options, *_ = line.split(" ")
        if found == kind:
            yield Path(place), options.split(",")


def _found_v1(places: Mapping[str, str], mounts: str) -> Iterator[tuple[Path, frozenset[str]]]:
    for root, options in _mounted("cgroup", mounts):
        controllers = _NEEDED & set(options)
        own = next((path for names, path in places.items() if controllers & set(names.split(","))), None)
        if not controllers or own is None:
            continue
        base = root / own.lstrip("/")
        if os.access(base, os.W_OK):
            yield base, frozenset(controllers)


def _found_v2(own: str, mounts: str) -> Path | None:
    for root, _ in _mounted("cgroup2", mounts):
        base = (root / own.lstrip("/")).parent
        with suppress(OSError):
            if not base.is_relative_to(root) or (base / "cgroup.procs").read_text(encoding="ascii").strip():
                continue
            wanted = " ".join(f"+{name}" for name in sorted(_NEEDED))
            (base / "cgroup.subtree_control").write_text(wanted, encoding="ascii")
            if os.access(base, os.W_OK):
                return base
    return None


def _write(file: Path, value: str, *, needed: bool) -> None:
    try:
        file.write_text(value, encoding="ascii")
    except OSError:
        if needed:
            raise


# Each: the file, its value, and whether a kernel without it is no good. What counts swap is not in every kernel.


def _limits_v1(options: EngineOptions) -> tuple[tuple[str, str, bool], ...]:
    memory = str(options.jail_memory_mib * _MIB)
    return (
        ("pids.max", str(options.jail_processes), True),
        ("memory.limit_in_bytes", memory, True),
        ("memory.memsw.limit_in_bytes", memory, False),
        ("cpu.shares", str(max(2, _SHARES_V1 * options.jail_cpu_percent // _PERCENT)), False),
    )


def _limits_v2(options: EngineOptions) -> tuple[tuple[str, str, bool], ...]:
    return (
        ("pids.max", str(options.jail_processes), True),
        ("memory.max", str(options.jail_memory_mib * _MIB), True),
        ("memory.swap.max", "0", False),
        ("cpu.weight", str(max(1, options.jail_cpu_percent)), False),
    )


def process_limits(options: EngineOptions) -> tuple[tuple[str, int], ...]:
    """Say what each process in a jail is held to, whoever runs the gateway."""
    return (("FSIZE", options.jail_file_mib * _MIB), ("NOFILE", options.jail_open_files))
