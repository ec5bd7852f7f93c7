"""The warden with real processes: whatever ends, nothing below it stays."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from claude_code_api.engine.launch import WARDEN
from tests.engine.fake_site import alive
from tests.harness.waiting import BOUND_S

LONG = "1000"
# A child that nobody finds by session, group or parent.
LOST = f"setsid nohup sh -c 'sleep {LONG}' </dev/null >/dev/null 2>&1 & echo $!"
# It makes its own session before it starts its child, and then it leaves: the sleeper's parent is gone.
ORPHAN = f"setsid sh -c 'nohup sleep {LONG} </dev/null >/dev/null 2>&1 & echo $!'"


@dataclass
class Warden:
    process: subprocess.Popen[bytes]
    lifeline: int | None

    def pids(self, count: int) -> list[int]:
        """The numbers that the command prints."""
        assert self.process.stdout is not None
        return [int(self.process.stdout.readline()) for _ in range(count)]

    def let_go(self) -> None:
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None

    def child(self) -> int:
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children, encoding="ascii") as file:  # noqa: PTH123 - no Path method reads procfs better
            (pid,) = file.read().split()
        return int(pid)


@contextmanager
def warden(*command: str) -> Iterator[Warden]:
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(WARDEN), str(read_end), "--", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(read_end,),
        start_new_session=True,
    )
    os.close(read_end)
    started = Warden(process, write_end)
    with process:
        try:
            yield started
        finally:
            started.let_go()


def sh(script: str) -> tuple[str, str, str]:
    return "/bin/sh", "-c", script


def gone(pid: int, within_s: float = BOUND_S) -> bool:
    """Wait for the end of somebody else's child."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            return bool(select.select([descriptor], [], [], within_s)[0])
        finally:
            os.close(descriptor)
    return True


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (sh("exit 0"), 0),
        (sh("exit 7"), 7),
        (sh("kill -9 $$"), 128 + 9),
        (sh("kill -15 $$"), 128 + 15),
        (("/no/such/program",), 127),
    ],
)
def test_the_exit_code_is_the_commands(command: tuple[str, ...], code: int) -> None:
    with warden(*command) as started:
        assert started.process.wait(BOUND_S) == code


def test_what_cannot_start_says_so() -> None:
    with warden("/no/such/program") as started:
        assert (
            started.process.communicate(timeout=BOUND_S)[1]
            == b"cannot start /no/such/program: No such file or directory\n"
        )


def test_standard_streams_are_the_commands() -> None:
    with warden(*sh("cat; echo words >&2; exit 3")) as started:
        assert started.process.communicate(b"in and out", timeout=BOUND_S) == (b"in and out", b"words\n")
        assert started.process.returncode == 3


def test_the_end_of_the_output_is_seen_while_the_command_lives() -> None:
    with warden(*sh(f"echo $$; exec >&-; exec sleep {LONG}")) as started:
        (pid,) = started.pids(1)
        assert started.process.stdout is not None
        assert started.process.stdout.read() == b""
        assert alive(pid)


def test_the_command_gets_three_descriptors_and_no_more() -> None:
    stray, other = os.pipe()
    os.set_inheritable(stray, True)
    try:
        with warden("/bin/ls", "/proc/self/fd") as started:
            listed = started.process.communicate(timeout=BOUND_S)[0].split()
    finally:
        os.close(stray)
        os.close(other)
    # The fourth is the one with which `ls` reads the directory.
    assert listed == [b"0", b"1", b"2", b"3"]


def test_files_are_private_and_no_core_is_written() -> None:
    with warden(*sh("umask; ulimit -c")) as started:
        assert started.process.communicate(timeout=BOUND_S)[0].split() == [b"0077", b"0"]


@pytest.mark.parametrize("script", [LOST, ORPHAN, f"{LOST}; {ORPHAN}; {LOST}"])
def test_when_the_gateway_lets_go_everything_dies(script: str) -> None:
    count = script.count("echo")
    with warden(*sh(f"{script}; echo $$; exec sleep {LONG}")) as started:
        pids = started.pids(count + 1)
        assert all(map(alive, pids))
        started.let_go()
        assert started.process.wait(BOUND_S) == 128 + signal.SIGKILL
        assert not any(map(alive, pids))


@pytest.mark.parametrize("number", range(8))
def test_who_forks_while_being_killed_dies_as_well(tmp_path: Path, number: int) -> None:
    """The warden once waited for ever for a child that was born while it killed the others."""
    script = f"echo $$; while :; do (setsid nohup sh -c 'cd {tmp_path}; sleep {LONG}' >/dev/null 2>&1 &); done"
    with warden(*sh(script)) as started:
        started.pids(1)
        born = iter(lambda: len(_working_in(tmp_path)) > number, True)
        for _ in born:
            assert started.process.poll() is None
        started.let_go()
        assert started.process.wait(BOUND_S) == 128 + signal.SIGKILL
        assert _working_in(tmp_path) == []


def _working_in(directory: Path) -> list[Path]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == directory:
                found.append(entry)
    return found


@pytest.mark.parametrize("script", [LOST, ORPHAN])
def test_when_the_command_ends_by_itself_its_leftovers_die(script: str) -> None:
    with warden(*sh(f"{script}; exit 5")) as started:
        (pid,) = started.pids(1)
        assert started.process.wait(BOUND_S) == 5
        assert not alive(pid)


@pytest.mark.parametrize("script", [LOST, ORPHAN])
def test_a_sigterm_is_the_commands_and_its_leftovers_die(script: str) -> None:
    with warden(*sh(f"trap 'exit 9' TERM; {script}; echo $$; sleep {LONG} & wait")) as started:
        pids = started.pids(2)
        started.process.terminate()
        assert started.process.wait(BOUND_S) == 9
        assert not any(map(alive, pids))


def test_a_command_that_ignores_sigterm_stays_until_the_lifeline_goes() -> None:
    with warden(*sh(f"trap '' TERM; echo $$; exec sleep {LONG}")) as started:
        (pid,) = started.pids(1)
        started.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            started.process.wait(0.2)
        started.let_go()
        started.process.wait(BOUND_S)
        assert not alive(pid)


def test_a_killed_warden_takes_the_command_with_it() -> None:
    with warden(*sh(f"echo $$; exec sleep {LONG}")) as started:
        (pid,) = started.pids(1)
        started.process.kill()
        started.process.wait(BOUND_S)
        assert gone(pid)


def test_a_dead_gateway_is_a_closed_lifeline() -> None:
    """The writing end is in one process only; its death, of whatever kind, is the end."""
    parent = (
        "import os, subprocess, sys\n"
        "r, w = os.pipe()\n"
        f"command = [sys.executable, '-I', '-S', {str(WARDEN)!r}, str(r), '--', '/bin/sh', '-c', sys.argv[1]]\n"
        "process = subprocess.Popen(command, pass_fds=(r,), start_new_session=True)\n"
        "print(process.pid, flush=True)\n"
        "process.wait()\n"
    )
    script = f"{ORPHAN}; echo $$; exec sleep {LONG}"
    with subprocess.Popen([sys.executable, "-c", parent, script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = [int(process.stdout.readline()) for _ in range(3)]
        assert all(map(alive, pids))
        process.kill()
        process.wait()
        assert all(map(gone, pids))
