"""Programs that tests start: run to their end, or talked with, and ended with everything below them.

A program is the leader of a session of its own. When it has to go, its group goes, and every process that descends from
it, in whatever group that is. Nothing here knows the gateway.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.waiting import BOUND_S, NeverCameError, until


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    typed: str | None = None,
    within_s: float = BOUND_S,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code. One that never ends is ended, and what it said is told."""
    with Program(command, cwd=cwd, env=env, typed=typed) as program:
        code = program.wait(within_s)
        return subprocess.CompletedProcess(list(map(str, command)), code, program.stdout.text, program.stderr.text)


class Output:
    """What a program has written to one of its streams; a test can wait for a line of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: list[str] = []
        self._taken = 0
        self._over = False
        self._changed = threading.Condition()

    @property
    def text(self) -> str:
        with self._changed:
            return "".join(self._lines)

    @property
    def lines(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def read(self, stream: Iterator[str]) -> None:
        """Read all of it; runs in a thread of its own."""
        for line in stream:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def line(self, part: str, within_s: float = BOUND_S) -> str:
        """Return the first line that holds `part` and was not passed before."""
        with self._changed:
            came = self._changed.wait_for(lambda: self._found(part) is not None or self._over, within_s)
            found = self._found(part)
            if found is None:
                ended = " before the program closed it" if came else ""
                raise NeverCameError(f"{part!r} on {self._name}{ended}", within_s, "".join(self._lines))
            self._taken = found + 1
            return self._lines[found]

    def _found(self, part: str) -> int | None:
        later = range(self._taken, len(self._lines))
        return next((number for number in later if part in self._lines[number]), None)


class Program:
    """A program from its start to its end."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        typed: str | None = None,
    ) -> None:
        self.command = " ".join(map(str, command))
        self.stdout, self.stderr = Output("standard output"), Output("standard error")
        self._process = subprocess.Popen(
            list(map(str, command)),
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE if typed is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=output.read, args=(stream,), daemon=True)
            for output, stream in ((self.stdout, self._process.stdout), (self.stderr, self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        if typed is not None:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.write(typed)
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, within_s: float = BOUND_S) -> int:
        """Wait for its end, and for the end of what it said; returns its exit code."""
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise NeverCameError(f"the end of `{self.command}`", within_s, self._said()) from None
        for reader in self._readers:
            reader.join(within_s)
            if reader.is_alive():
                raise NeverCameError(
                    f"the end of what `{self.command}` says, after its own end", within_s, self._said()
                )
        return code

    def _said(self) -> str:
        return f"\n--- standard output\n{self.stdout.text}\n--- standard error\n{self.stderr.text}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end_all(self._process)
        for reader in self._readers:
            reader.join(BOUND_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def end_all(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a program that leads a group: itself, its group and every process below it."""
    with held(below(process.pid)) as descriptors:
        # The group outlives its leader, and while it has a member its number is given to no other.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for descriptor in descriptors:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        process.wait(BOUND_S)
        all_ended(descriptors)


# Processes of others


def below(pid: int) -> set[int]:
    """Every process that descends from `pid`, as the kernel sees it now; only Linux tells."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir() if Path("/proc/self/stat").exists() else ():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


@contextmanager
def held(pids: set[int]) -> Iterator[list[int]]:
    """Hold on to processes by descriptors: their ends can be waited for, and no other process is taken for them."""
    descriptors = []
    for pid in sorted(pids):
        with suppress(ProcessLookupError):
            descriptors.append(os.pidfd_open(pid))
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def all_ended(descriptors: Sequence[int], within_s: float = BOUND_S) -> None:
    """Wait until all of the processes that are held have ended."""
    waiting = list(descriptors)

    def over() -> bool:
        ready, _, _ = select.select(waiting, [], [], 0)
        waiting[:] = [descriptor for descriptor in waiting if descriptor not in ready]
        return not waiting

    until(over, "the end of every process", seen=lambda: f"{len(waiting)} of them are left", within_s=within_s)
