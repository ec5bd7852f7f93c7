"""Fills an environment with exactly what a lock names, by the pip of its Python, and looks whether it is whole.

Nothing here asks an index what is newest. Hash mode alone does not see to that: a pip before 23.3 takes `a[extra]` that
some package wants for another requirement than the pinned `a`, and refuses the lock as soon as a newer `a` is out. The
lock is complete, so no pip has to look at what a package wants: `--no-deps`, and `pip check` afterwards. Nothing is
built either, since a build fetches the newest build tools: `--only-binary`. Knows no name of an environment.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from scripts.sbom import read_lock

# Without a terminal a line is written for every so many packages: about ten lines for the largest lock.
EVERY: Final = 20
# What pip said last is shown when it fails; its own explanation fits in this many lines.
TAIL_LINES: Final = 30
# From this size on a download takes long enough to say that it goes on.
LARGE_MB: Final = 10.0

# How every package is installed.
INSTALL: Final = ("install", "--no-deps", "--progress-bar=off")
# Each package begins with one of these; the last is a file of a folder, and says its name with underscores.
_COLLECTING: Final = re.compile(
    r"(?:Collecting |Requirement already satisfied: |Processing \S*/)([A-Za-z0-9._]+(?:-[A-Za-z][A-Za-z0-9._]*)*)"
)
_LEFT_OUT: Final = re.compile(r"Ignoring ([A-Za-z0-9._-]+): markers ")
_DOWNLOADING: Final = re.compile(r"\s+Downloading .*\((\d+(?:\.\d+)?) MB\)")
_UNPACKING: Final = re.compile(r"Installing collected packages: (.*)")


class InstallError(Exception):
    """The environment could not be made; the message says why, for the person at the terminal."""


class Progress:
    """Says on one line of a terminal, or now and then in a file, how far pip is."""

    def __init__(self, name: str, total: int, out: TextIO) -> None:
        self._name = name
        self._total = total
        self._out = out
        self._live = out.isatty()
        self._seen = 0
        self._package = ""

    def hear(self, line: str) -> None:
        """Take one line of pip's output."""
        if _LEFT_OUT.match(line):
            self._total -= 1
        elif found := _COLLECTING.match(line):
            self._seen += 1
            self._package = found[1].replace("_", "-")
            self._say("", always=self._seen % EVERY == 0 or self._seen == self._total)
        elif (found := _DOWNLOADING.match(line)) and float(found[1]) >= LARGE_MB:
            self._say(f" ({found[1]} MB)", always=True)
        elif found := _UNPACKING.match(line):
            unpacking = f": unpacking {len(found[1].split(','))}" if self._total > 1 else ""
            self._write(f"Installing {self._name}{unpacking}", always=True)

    def end(self) -> None:
        """Leave the line, so that what comes next has one of its own."""
        if self._live:
            self._out.write("\r\033[K")
            self._out.flush()

    def _say(self, more: str, *, always: bool) -> None:
        self._write(f"Installing {self._name}: {self._seen} of {self._total}: {self._package}{more}", always=always)

    def _write(self, text: str, *, always: bool) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._out.write(f"\r\033[K{text[:width]}")
        elif always:
            self._out.write(f"{text}\n")
        self._out.flush()


def python_of(directory: Path) -> Path:
    """Where an environment has its Python."""
    return directory / "bin" / "python"


def make_venv(directory: Path) -> None:
    """Make an empty environment of the Python that runs this, or of the one that its own environment is made of."""
    # Only a private name tells it; sys.executable would be deleted where it is the one in `directory`.
    base = getattr(sys, "_base_executable", None) or sys.executable
    made = subprocess.run(
        [base, "-I", "-m", "venv", "--clear", directory],
        capture_output=True,
        text=True,
        check=False,
        close_fds=False,
    )
    if made.returncode != 0:
        hint = ""
        if "ensurepip" in made.stdout + made.stderr:
            hint = "\nThis Python came without its module ensurepip. On Debian and Ubuntu: apt-get install python3-venv"
        raise InstallError(f"{base} cannot make an environment:\n{(made.stdout + made.stderr).strip()}{hint}")


def install(directory: Path, locks: Sequence[Path], progress: Progress) -> None:
    """Install every package of the locks into the environment, and nothing else."""
    wanted = [argument for lock in locks for argument in ("-r", str(lock))]
    _pip(directory, [*INSTALL, "--only-binary=:all:", "--require-hashes", *wanted], progress)


def install_checkout(directory: Path, checkout: Path, progress: Progress) -> None:
    """Install the project in `checkout` so that its files are used where they are; what builds it is there already."""
    _pip(directory, [*INSTALL, "--no-index", "--no-build-isolation", "-e", str(checkout)], progress)


def check(directory: Path, progress: Progress) -> None:
    """Raise if a package lacks another one, or has it in a version that it cannot use."""
    _pip(directory, ["check"], progress)


def counted(locks: Iterable[Path]) -> int:
    """How many packages the locks name together, of which markers leave out some."""
    return len({(one.name, one.version, one.marker) for lock in locks for one in read_lock(lock.read_text("utf-8"))})


def packages(directory: Path) -> list[str]:
    """What is installed in the environment, as the names of the folders that describe it."""
    return sorted(record.parent.name for site in _sites(directory) for record in site.glob("*.dist-info/RECORD"))


def damage(directory: Path) -> Iterator[str]:
    """Files of installed packages that are gone, or empty though they were not. A file that was edited is none."""
    for site in _sites(directory):
        for record in sorted(site.glob("*.dist-info/RECORD")):
            with record.open(encoding="utf-8", newline="") as lines:
                for path, _, size in csv.reader(lines):
                    # Python writes its caches anew by itself.
                    if not path.endswith(".pyc") and not _is_there(os.path.join(site, path), size):  # noqa: PTH118 - thrice as quick for 15,000 files
                        yield path


def starts(directory: Path) -> bool:
    """Whether the environment's Python starts, and knows that it is this environment's."""
    try:
        said = subprocess.run(
            [python_of(directory), "-I", "-c", "import sys; print(sys.prefix)"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return Path(said.stdout.strip()).resolve() == directory.resolve()


def _sites(directory: Path) -> Iterator[Path]:
    return directory.glob("lib/python3*/site-packages")


def _is_there(path: str, size: str) -> bool:
    try:
        found = os.stat(path).st_size  # noqa: PTH116 - as above
    except OSError:
        return False
    return found > 0 or size in {"", "0"}


def _pip(directory: Path, arguments: Sequence[str], progress: Progress) -> None:
    """Run pip. It keeps what was made inheritable: a lock stays locked while pip writes, even if this process dies."""
    # -I: neither PYTHONPATH nor what lies in the current directory counts.
    command = [str(python_of(directory)), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    last: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,
    ) as running:
        assert running.stdout is not None  # noqa: S101 - PIPE was asked for
        for line in running.stdout:
            last.append(line)
            progress.hear(line)
    progress.end()
    if running.returncode != 0:
        raise InstallError(f"{''.join(last)}pip {arguments[0]} failed; above is what it said last.")
