"""Ends the gateway that listens on a TCP port, and nothing else.

A process is ended only when it belongs to this user and was started as claude-code-api. Linux is read through /proc;
elsewhere lsof and ps are asked.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

LISTEN = "0A"  # the state column of /proc/net/tcp
WAIT_S = 15.0  # longer than the gateway's own drain
STEP_S = 0.1


def main(argv: list[str]) -> int:
    """Exit status: 0 ended or nothing there, 1 refused or still alive, 2 wrong usage."""
    if len(argv) != 1 or not argv[0].isdecimal():
        print("usage: kill_gateway.py PORT", file=sys.stderr)
        return 2
    port = int(argv[0])
    pids = listeners(port)
    if not pids:
        print(f"no process of this user listens on port {port}")
        return 0
    return max(end(pid, port) for pid in sorted(pids))


def end(pid: int, port: int) -> int:
    """Ask one process to stop and wait until it has."""
    command = command_line(pid)
    if not is_gateway(command):
        print(f"process {pid} on port {port} is not claude-code-api; left alone", file=sys.stderr)
        return 1
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return 0
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if not is_gateway(command_line(pid)):
            print(f"ended process {pid} on port {port}")
            return 0
        time.sleep(STEP_S)
    print(f"process {pid} is still stopping after {WAIT_S:.0f} s", file=sys.stderr)
    return 1


def is_gateway(command: list[str]) -> bool:
    """Recognise `claude-code-api …`, `python …/claude-code-api …` and `python -m claude_code_api …`."""
    head = command[:4]
    if any(Path(word).name == "claude-code-api" for word in head[:2]):
        return True
    return ("-m", "claude_code_api") in pairwise(head)


def listeners(port: int) -> set[int]:
    """Processes of this user that listen on the port."""
    if Path("/proc/net/tcp").exists():
        return proc_listeners(port)
    found = output(["lsof", "-nP", "-a", "-u", str(os.getuid()), f"-iTCP:{port}", "-sTCP:LISTEN", "-t"])
    return {int(word) for word in found.split()}


def proc_listeners(port: int) -> set[int]:
    """Match the listening sockets of the port with the open files of this user's processes."""
    sockets = {f"socket:[{inode}]" for inode in listening_inodes(port)}
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            if folder.stat().st_uid == os.getuid() and any(
                str(link.readlink()) in sockets for link in (folder / "fd").iterdir()
            ):
                found.add(int(folder.name))
        except OSError:  # ended in between, or not ours to look at
            continue
    return found


def listening_inodes(port: int) -> set[str]:
    """Inodes of the sockets that listen on the port, from the kernel's own tables."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def command_line(pid: int) -> list[str]:
    """The words a process was started with; empty when it has ended."""
    path = Path(f"/proc/{pid}/cmdline")
    if not Path("/proc/net/tcp").exists():
        return shlex.split(output(["ps", "-o", "command=", "-p", str(pid)]))
    try:
        return path.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def output(command: list[str]) -> str:
    """What a system tool prints; empty when it is absent."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
