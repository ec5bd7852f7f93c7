"""A gateway as its users start it: the command, in a process of its own, with an environment built from nothing."""

from __future__ import annotations

import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

START_S = 15
END_S = 12


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "NO_COLOR": "1", **(more or {})}


def run(
    *arguments: str, home: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the gateway's to its end."""
    return subprocess.run(
        [sys.executable, "-m", "claude_code_api", *arguments],
        env=environment(home, env),
        cwd=cwd or home,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


class GatewayProcess:
    """`claude-code-api serve …`, from its start to its end."""

    def __init__(self, *arguments: str, home: Path, env: Mapping[str, str] | None = None) -> None:
        self.data_dir = home / "data"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "claude_code_api", *arguments],
            env=environment(home, env),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.welcome = ""
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_stderr, daemon=True),
            threading.Thread(target=self._read_stdout, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.url = self.wait_for_line(" at http").split()[-1]
        self.wait_for_line("export ANTHROPIC_AUTH_TOKEN")

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.welcome += line
            self._lines.put(line)
        self._lines.put(None)

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        self.log.extend(self._process.stdout)

    def wait_for_line(self, part: str) -> str:
        """Return the first new line of the welcome that holds `part`."""
        while (line := self._lines.get(timeout=START_S)) is not None:
            if part in line:
                return line
        raise AssertionError(f"the gateway ended: {self.welcome}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def key(self) -> str:
        return (self.data_dir / "api-key").read_text().strip()

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=START_S)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = self._process.wait(END_S)
        for reader in self._readers:
            reader.join(END_S)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(END_S)
        for reader in self._readers:
            reader.join(END_S)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


def watch(pid: int) -> int:
    """Open a descriptor that becomes readable when the process has ended."""
    return os.pidfd_open(pid)


def ended_within(watches: list[int], seconds: float) -> bool:
    """Wait until all of the watched processes have ended."""
    deadline = time.monotonic() + seconds
    waiting = list(watches)
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select(waiting, [], [], left_s)
        waiting = [descriptor for descriptor in waiting if descriptor not in ready]
    for descriptor in watches:
        os.close(descriptor)
    return not waiting


def descendants(pid: int) -> set[int]:
    """Every process below `pid`, as the kernel sees it now."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} | found
        grown, found = len(more) > len(found), more
    return found - {pid}


@contextmanager
def streaming(client: httpx2.Client, body: Mapping[str, object]) -> Iterator[Iterator[str]]:
    """Open a streamed chat completion and hand out its lines."""
    with client.stream("POST", "/v1/chat/completions", json={"stream": True, **body}) as response:
        assert response.status_code == 200, response.read()
        yield response.iter_lines()
