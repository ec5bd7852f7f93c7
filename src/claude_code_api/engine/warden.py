"""The process between the gateway and one CLI: it ends the CLI with everything that the CLI ever started.

Run as a script by path, with the standard library alone: `python -I -S warden.py <lifeline fd> [option…] --
<command…>`. It imports nothing of the gateway's and is imported by nobody. The options are for a command that makes a
jail:
`--group=<directory>` (a control group to start it in, and to remove in the end), `--limit=<resource>:<number>`, and
`--filter=<file>`, which the command finds open under the number 3.

The lifeline is the reading end of a pipe whose writing end only the gateway holds. When it closes, because the
gateway let go of it or because the gateway is dead, however it died, everything below the warden is killed. On Linux
the warden is the "child subreaper", so that a tool which left its session and its parent is still found below it. If
the warden itself is killed, the kernel kills the CLI (parent-death signal).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Where both want a core, the gateway goes first: one CLI of many may be late, but the gateway serves all of them.
NICENESS = 5
COULD_NOT_START = 127
SIGNALLED = 128
FILTER_FD = 3
# A group is empty when its last process has been collected; some kernels need a moment longer to see it.
GROUP_TRIES = 200
GROUP_PAUSE_MS = 10
ON_LINUX = sys.platform == "linux"


def _prctl(option: int, value: int) -> None:
    if ON_LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _step_back() -> None:
    os.nice(NICENESS)
    # Where the kernel shares the cores out by session, the above counts within this one only. It may also refuse, or
    # share them out otherwise; then all that is lost is the gateway's precedence.
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as file:  # noqa: PTH123 - as below
        file.write(str(NICENESS))


def _close_all_but(lifeline: int) -> None:
    """Whatever else came down from the gateway is none of the CLI's business (uvloop lets its own ends through)."""
    os.closerange(3, lifeline)
    os.closerange(lifeline + 1, os.sysconf("SC_OPEN_MAX"))


class Options:
    """What is to be done for the command before it starts."""

    def __init__(self, words: list[str]) -> None:
        """Take the options apart."""
        pairs = [word.removeprefix("--").split("=", 1) for word in words]
        self.groups = [value for name, value in pairs if name == "group"]
        self.limits = [value.split(":") for name, value in pairs if name == "limit"]
        self.filters = [value for name, value in pairs if name == "filter"]

    def prepare(self) -> None:
        """Do it, in the process that becomes the command."""
        for group in self.groups:
            with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib costs 10 ms
                file.write("0")
        for name, number in self.limits:
            _limit(getattr(resource, f"RLIMIT_{name}"), int(number))
        for path in self.filters:
            os.dup2(os.open(path, os.O_RDONLY), FILTER_FD)
            os.set_inheritable(FILTER_FD, True)  # noqa: FBT003 - its only parameter

    def remove_groups(self) -> None:
        """Nobody is in them any more."""
        for group in self.groups:
            for _ in range(GROUP_TRIES):
                try:
                    os.rmdir(group)  # noqa: PTH106 - as above
                except FileNotFoundError:
                    break
                except OSError:
                    select.poll().poll(GROUP_PAUSE_MS)
                else:
                    break


def _limit(which: int, number: int) -> None:
    """A limit that is lower already stays."""
    _, most = resource.getrlimit(which)
    number = number if most == resource.RLIM_INFINITY else min(number, most)
    resource.setrlimit(which, (number, number))


def _start(command: list[str], lifeline: int, options: Options) -> int:
    """Fork and become the command in the child; returns its pid in the parent."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(lifeline)
        options.prepare()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execv(command[0], command)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
    os._exit(COULD_NOT_START)


def _parents() -> dict[int, int]:
    """Every process of the machine with its parent."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib costs 10 ms of every start
        if not name.isdigit():
            continue
        # A process may end while it is being looked at.
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                # The command name is in brackets and may hold anything, so count from its end.
                fields = file.read().rpartition(b")")[2].split()
            found[int(name)] = int(fields[1])
    return found


def _descendants() -> set[int]:
    parents = _parents()
    mine = {os.getpid()}
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in mine} | mine
        grown = len(below) > len(mine)
        mine = below
    return mine - {os.getpid()}


def _kill_all(child: int) -> None:
    """Kill until nothing is left: a process that forks while it is being killed is found in the next round."""
    while True:
        targets = _descendants() if ON_LINUX else {child}
        for pid in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            # Wait for one of them and collect the others that are dead; never wait for one that was not found yet.
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNALLED - code


def _reap(child: int) -> int | None:
    """Collect what ended; the child's status once it has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                return status
            if pid == 0:
                break
    return None


def _watch(child: int, lifeline: int, wakeup: int) -> int:
    """Wait for the child's end or the lifeline's; whichever comes, leave nothing behind."""
    waiting = select.poll()
    waiting.register(lifeline, select.POLLIN | select.POLLHUP)
    waiting.register(wakeup, select.POLLIN)
    while True:
        ready = {fd for fd, _ in waiting.poll()}
        if lifeline in ready:
            _kill_all(child)
            return SIGNALLED + signal.SIGKILL
        for number in os.read(wakeup, 512):
            if number != signal.SIGCHLD:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, number)
        status = _reap(child)
        if status is not None:
            _kill_all(child)
            return _exit_code(status)


def main(arguments: list[str]) -> NoReturn:
    """Start the command and stay until it and all that it started are gone."""
    split = arguments.index("--")
    lifeline, options, command = int(arguments[0]), Options(arguments[1:split]), arguments[split + 1 :]
    _close_all_but(lifeline)
    os.umask(0o077)
    _step_back()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    wakeup, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    child = _start(command, lifeline, options)
    # The gateway has to see the end of the CLI's output when the CLI closes it, not when the warden ends.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    code = _watch(child, lifeline, wakeup)
    options.remove_groups()
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
