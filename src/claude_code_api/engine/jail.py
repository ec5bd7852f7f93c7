"""The jail of an agent that runs commands: the command line that makes it, and whether this machine can.

Everything that the process sees is named here. It has a root of its own, another user, its own processes, no network,
no capability, and one way out: the socket of its relay, behind which the gateway adds the key and asks the model.
Nothing in here knows what the process in the jail does.
"""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from claude_code_api.engine.options import EngineOptions, JailSupport
from claude_code_api.engine.syscalls import call_filter, knows

PROGRAM: Final = "/run/gateway/claude"
HOME: Final = "/agent"
PROJECT: Final = "/project"
TMP: Final = "/tmp"  # noqa: S108 - the jail's own
_RUN: Final = "/run/gateway"
NOTHING: Final = f"{_RUN}/nothing"
NO_SERVERS: Final = f"{_RUN}/no-servers"
_INNER: Final = f"{_RUN}/bwrap"
DOOR: Final = f"{_RUN}/model.sock"
TRANSCRIPT: Final = f"{_RUN}/transcript.jsonl"
INSTALL: Final = "Install bubblewrap 0.8 or newer (on Debian and Ubuntu: apt-get install bubblewrap)."

# What is written here is gone with the jail.
_SPACES: Final = ("/dev/shm", TMP, HOME)  # noqa: S108 - the jail's own
_UID: Final = "1000"
_MIB: Final = 1024 * 1024
_FILTER_FD: Final = "3"
_SERVERS: Final = '{"mcpServers": {}}\n'
# Bound before the program starts, and from inside: outside, everybody's processes would count.
_COUNTED: Final = 'ulimit -u "$0" 2>/dev/null || ulimit -p "$0" || exit 126; exec "$@"'
# Programs and libraries stand in /usr; where these are links to there, they are links in the jail.
_BESIDE_USR: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Which of several programs of one purpose is used; where libraries are.
_OF_ETC: Final = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
_MADE_ETC: Final = {
    "passwd": f"agent:x:{_UID}:{_UID}:agent:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": f"agent:x:{_UID}:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
# Where the gateway is root, the jail's user owns these files of the kernel's, and they belong to the whole machine.
_READ_ONLY_PROC: Final = ("sys", "sysrq-trigger", "irq", "bus", "fs", "pressure", "acpi", "scsi", "mtrr")
_HIDDEN_PROC: Final = (
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kallsyms",
    "kpagecount",
    "kpageflags",
    "kpagecgroup",
    "latency_stats",
    "pagetypeinfo",
    "sched_debug",
    "slabinfo",
    "timer_list",
    "timer_stats",
    "vmallocinfo",
    "cmdline",
    "config.gz",
)
# A jail that does not come up in this time never will; it takes a hundredth of a second.
_TRIAL_S: Final = 10.0
_ELF: Final = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one process finds in its jail, beside what every process does."""

    binary: Path
    # Where `furnish` has put its small files.
    files: Path
    project: Path
    writable: bool = True
    door: Path | None = None
    transcript: Path | None = None
    # What stands at the top of the project, and is not to be changed from inside: see `engine/kept_out.py`.
    kept_out: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    # How many processes the jail may have, where no control group counts them.
    processes: int | None = None


def furnish(files: Path) -> None:
    """Make the small files that a jail shows."""
    (files / "etc").mkdir(mode=0o700, parents=True)
    for name, text in _MADE_ETC.items():
        (files / "etc" / name).write_text(text, encoding="ascii")
    (files / "nothing").mkdir(mode=0o700)
    (files / "no-servers").write_text(_SERVERS, encoding="ascii")
    filter_of(files).write_bytes(call_filter())


def filter_of(files: Path) -> Path:
    """Where the filter of its calls is."""
    return files / "calls"


def jailed(support: JailSupport, cell: Cell, options: EngineOptions, command: Sequence[str]) -> tuple[str, ...]:
    """Return the command line that runs `command` in a jail. Descriptor 3 has to be the filter of its calls."""
    if support.program is None:
        raise ValueError(support.reason)
    if cell.processes is not None:
        command = ("/bin/sh", "-c", _COUNTED, str(cell.processes), *command)
    outer = (str(support.program), *_NAMESPACES, *_system(), *_kernel(options), *_own(cell))
    if not cell.kept_out:
        return (*outer, *support.masks, "--remount-ro", "/", "--chdir", PROJECT, *_LAST, *command)
    # The project is the process's to change, also while another process is being locked in. So what is looked up in it
    # is looked up from inside of a jail, where a link leads nowhere but to what that jail may see anyway.
    again = ("--unshare-user", "--uid", _UID, "--gid", _UID, "--die-with-parent", "--bind", "/", "/")
    inner = (_INNER, *again, "--dev-bind", "/dev", "/dev", *support.masks, *cell.kept_out, "--chdir", PROJECT, *_LAST)
    bound = ("--ro-bind", str(support.program), _INNER)
    return (*outer, *bound, "--remount-ro", "/", "--chdir", PROJECT, "--", *inner, *command)


_NAMESPACES: Final = (
    *(f"--unshare-{kind}" for kind in ("user", "pid", "net", "ipc", "uts")),
    "--unshare-cgroup-try",
    *("--uid", _UID, "--gid", _UID, "--hostname", "jail"),
    *("--cap-drop", "ALL", "--die-with-parent", "--new-session"),
)
# No namespaces below this one, and no call that the filter refuses.
_LAST: Final = ("--disable-userns", "--seccomp", _FILTER_FD, "--")


def _system() -> tuple[str, ...]:
    """Programs and libraries, and no more of the machine's own files."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in _BESIDE_USR:
        place = Path("/", name)
        if place.is_symlink():
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        elif place.is_dir():
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    for shown in _OF_ETC:
        words += ["--ro-bind-try", shown, shown]
    return tuple(words)


def _kernel(options: EngineOptions) -> tuple[str, ...]:
    size = str(options.jail_tmp_mib * _MIB)
    spaces = [w for place in _SPACES for w in ("--size", size, "--perms", "0700", "--tmpfs", place)]
    return ("--proc", "/proc", "--dev", "/dev", *spaces, "--remount-ro", "/dev")


def _own(cell: Cell) -> tuple[str, ...]:
    words = [w for name in _MADE_ETC for w in ("--ro-bind", str(cell.files / "etc" / name), f"/etc/{name}")]
    words += ["--ro-bind", str(cell.binary), PROGRAM]
    words += ["--ro-bind", str(cell.files / "nothing"), NOTHING]
    words += ["--ro-bind", str(cell.files / "no-servers"), NO_SERVERS]
    if cell.door is not None:
        words += ["--ro-bind", str(cell.door), DOOR]
    if cell.transcript is not None:
        words += ["--ro-bind", str(cell.transcript), TRANSCRIPT]
    words += ["--bind" if cell.writable else "--ro-bind", str(cell.project), PROJECT]
    words += ["--clearenv", *(w for name, value in cell.env.items() for w in ("--setenv", name, value))]
    return tuple(words)


# Whether this machine can


@functools.cache
def jail_support(binary: Path, secret: Path, search: str | None = None) -> JailSupport:
    """Look, once, whether `binary` can be locked in here; `secret` is the directory that no jail may show.

    `search`: where to look for bubblewrap; None: in PATH.
    """
    found = shutil.which("bwrap", path=search)
    reason = _plainly_missing(found, binary, secret)
    if reason or found is None:
        return JailSupport(reason=reason)
    support = JailSupport(Path(found).resolve(), "", _masks(Path("/proc")))
    with tempfile.TemporaryDirectory(prefix="claude-code-api-jail-") as place:
        reason = _tried(support, Path(place))
    return support if not reason else JailSupport(reason=reason)


def _plainly_missing(found: str | None, binary: Path, secret: Path) -> str:
    if sys.platform != "linux":
        return "only Linux can make a jail: it takes namespaces."
    if not knows(platform.machine()):
        return f"a jail filters system calls, and there is no filter for {platform.machine()} yet."
    if found is None:
        return f"there is no bubblewrap here. {INSTALL}"
    if secret.resolve().is_relative_to("/usr"):
        return f"{secret} lies in /usr, which a jail shows; choose another data directory."
    try:
        with binary.open("rb") as file:
            native = file.read(len(_ELF)) == _ELF
    except OSError as error:
        return f"{binary} cannot be read: {error.strerror}."
    return "" if native else f"{binary} is a script, and a jail takes the CLI's native program alone."


def _masks(proc: Path) -> tuple[str, ...]:
    words: list[str] = []
    for name in _READ_ONLY_PROC:
        if (proc / name).exists():
            words += ["--ro-bind", f"/proc/{name}", f"/proc/{name}"]
    for name in _HIDDEN_PROC:
        if (proc / name).exists():
            words += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    return tuple(words)


def _tried(support: JailSupport, place: Path) -> str:
    """Start a jail in which nothing is done, with everything that one can have; why it did not work."""
    files, project, door, options = place / "files", place / "project", place / "door", EngineOptions()
    furnish(files)
    project.mkdir()
    door.touch()
    program = Path(shutil.which("true") or "/bin/true").resolve()
    kept_out = ("--ro-bind", NOTHING, f"{PROJECT}/kept")
    cell = Cell(program, files, project, door=door, kept_out=kept_out, processes=options.jail_processes)
    line = jailed(support, cell, options, (PROGRAM,))
    opened = ("/bin/sh", "-c", f'exec {_FILTER_FD}<"$0" && exec "$@"', str(filter_of(files)), *line)
    try:
        done = subprocess.run(opened, capture_output=True, check=False, timeout=_TRIAL_S, env={})  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"a jail did not start: {error}."
    return "" if done.returncode == 0 else _why(done.stderr.decode(errors="replace").strip())


def _why(said: str) -> str:
    last = said.splitlines()[-1] if said else "it said nothing"
    if "nknown option" in said:
        return f"this bubblewrap is too old ({last}). {INSTALL}"
    if "namespace" in said or "setting up uid map" in said or "RTM_NEWADDR" in said:
        return f"namespaces of an ordinary user are switched off here ({last}); an administrator has to allow them."
    return f"a jail did not start: {last}."
