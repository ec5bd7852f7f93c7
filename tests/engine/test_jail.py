"""The jail's command line, exactly; what a machine needs for it; the filter of calls; what is kept from a shell."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_code_api.engine.bounds import Groups, find_groups
from claude_code_api.engine.jail import PROGRAM, Cell, filter_of, furnish, jail_support, jailed
from claude_code_api.engine.kept_out import KeptOut, LinkedError
from claude_code_api.engine.options import EngineOptions, JailSupport
from claude_code_api.engine.syscalls import call_filter, knows

BWRAP = Path("/usr/bin/bwrap")
SUPPORT = JailSupport(BWRAP, "", ("--ro-bind", "/proc/sys", "/proc/sys"))
CELL = Cell(
    Path("/bin/claude"),
    Path("/files"),
    Path("/projects/1"),
    door=Path("/doors/1"),
    transcript=Path("/run/1/transcript.jsonl"),
    env={"HOME": "/agent", "LANG": "C.UTF-8"},
)
SPACE = ("--size", "268435456", "--perms", "0700", "--tmpfs")


def line(cell: Cell = CELL, options: EngineOptions | None = None, support: JailSupport = SUPPORT) -> tuple[str, ...]:
    return jailed(support, cell, options or EngineOptions(), (PROGRAM, "-p"))


def usr_and_beside(words: tuple[str, ...]) -> tuple[str, ...]:
    """What shows the machine's programs; how, depends on where it keeps them."""
    first = words.index("--ro-bind")
    return words[first : words.index("--proc")]


class TestTheCommandLine:
    def test_it_is_exactly_this(self) -> None:
        words = line()
        shown = usr_and_beside(words)
        start = words.index(shown[0])
        assert words[:start] == (
            str(BWRAP),
            *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
            *("--unshare-cgroup-try", "--uid", "1000", "--gid", "1000", "--hostname", "jail"),
            *("--cap-drop", "ALL", "--die-with-parent", "--new-session"),
        )
        assert words[start + len(shown) :] == (
            *("--proc", "/proc", "--dev", "/dev"),
            *(*SPACE, "/dev/shm", *SPACE, "/tmp", *SPACE, "/agent", "--remount-ro", "/dev"),
            *("--ro-bind", "/files/etc/passwd", "/etc/passwd", "--ro-bind", "/files/etc/group", "/etc/group"),
            *("--ro-bind", "/files/etc/nsswitch.conf", "/etc/nsswitch.conf"),
            *("--ro-bind", "/files/etc/hosts", "/etc/hosts"),
            *("--ro-bind", "/bin/claude", "/run/gateway/claude"),
            *("--ro-bind", "/files/nothing", "/run/gateway/nothing"),
            *("--ro-bind", "/files/no-servers", "/run/gateway/no-servers"),
            *("--ro-bind", "/doors/1", "/run/gateway/model.sock"),
            *("--ro-bind", "/run/1/transcript.jsonl", "/run/gateway/transcript.jsonl"),
            *("--bind", "/projects/1", "/project", "--clearenv"),
            *("--setenv", "HOME", "/agent", "--setenv", "LANG", "C.UTF-8"),
            *("--ro-bind", "/proc/sys", "/proc/sys", "--remount-ro", "/", "--chdir", "/project"),
            *("--disable-userns", "--seccomp", "3", "--", "/run/gateway/claude", "-p"),
        )

    def test_of_the_machine_it_shows_programs_and_libraries_alone(self) -> None:
        shown = usr_and_beside(line())
        assert shown[:3] == ("--ro-bind", "/usr", "/usr")
        beside = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"}
        of_etc = {"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"}
        assert {word.lstrip("/") for word in shown[5::3]} <= beside | {place.lstrip("/") for place in of_etc}
        assert set(shown[::3]) <= {"--ro-bind", "--ro-bind-try", "--symlink"}

    def test_what_is_kept_out_is_mounted_from_inside(self) -> None:
        """What a project holds can be a link: outside it would lead anywhere."""
        kept = ("--ro-bind", "/project/.claude", "/project/.claude")
        words = line(Cell(Path("/bin/claude"), Path("/files"), Path("/projects/1"), kept_out=kept))
        split = words.index("--")
        outer, inner = words[:split], words[split + 1 :]
        assert "--seccomp" not in outer, "the inner one has to mount"
        assert kept[1] not in outer
        assert outer[-6:-3] == (str(BWRAP), "/run/gateway/bwrap", "--remount-ro")
        assert inner == (
            "/run/gateway/bwrap",
            *("--unshare-user", "--uid", "1000", "--gid", "1000", "--die-with-parent", "--bind", "/", "/"),
            *("--dev-bind", "/dev", "/dev", "--ro-bind", "/proc/sys", "/proc/sys", *kept, "--chdir", "/project"),
            *("--disable-userns", "--seccomp", "3", "--", "/run/gateway/claude", "-p"),
        )

    def test_sizes_are_settings(self) -> None:
        words = line(options=EngineOptions(jail_tmp_mib=1))
        assert [words[n + 1] for n, word in enumerate(words) if word == "--size"] == ["1048576"] * 3

    def test_without_support_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="for some reason"):
            line(support=JailSupport(reason="for some reason"))

    def test_its_small_files(self, tmp_path: Path) -> None:
        furnish(tmp_path / "files")
        assert (tmp_path / "files/etc/passwd").read_text().startswith("agent:x:1000:1000:")
        assert filter_of(tmp_path / "files").read_bytes() == call_filter()
        assert list((tmp_path / "files/nothing").iterdir()) == []


class TestSupport:
    """Whether a machine can, and why not: each reason is a sentence that an operator can act on."""

    @pytest.fixture(autouse=True)
    def _anew(self) -> Iterator[None]:
        jail_support.cache_clear()
        yield
        jail_support.cache_clear()

    @pytest.fixture
    def native(self) -> Path:
        return Path("/bin/true").resolve()

    def impostor(self, directory: Path, words: str) -> str:
        program = directory / "bwrap"
        program.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
        program.chmod(0o755)
        return str(directory)

    def test_item_10_no_bubblewrap(self, tmp_path: Path, native: Path) -> None:
        found = jail_support(native, tmp_path, str(tmp_path))
        assert found.program is None
        assert found.reason.startswith("there is no bubblewrap here. Install bubblewrap")

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("bwrap: Unknown option --disable-userns", "this bubblewrap is too old"),
            ("bwrap: No permissions to create a new namespace", "namespaces of an ordinary user are switched off"),
            ("bwrap: setting up uid map: Permission denied", "namespaces of an ordinary user are switched off"),
            ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "namespaces of an ordinary user"),
            ("bwrap: something else", "a jail did not start: bwrap: something else"),
        ],
    )
    def test_item_10_one_that_does_not_work(self, tmp_path: Path, native: Path, said: str, reason: str) -> None:
        found = jail_support(native, tmp_path, self.impostor(tmp_path, said))
        assert found.program is None
        assert found.reason.startswith(reason)

    def test_a_script_is_no_program_of_its_own(self, tmp_path: Path) -> None:
        script = tmp_path / "claude"
        script.write_text("#!/usr/bin/env node\n")
        found = jail_support(script, tmp_path, self.impostor(tmp_path, "never asked"))
        assert "the CLI's native program alone" in found.reason

    def test_data_that_a_jail_would_show(self, tmp_path: Path, native: Path) -> None:
        found = jail_support(native, Path("/usr/local/share/data"), self.impostor(tmp_path, "never asked"))
        assert "choose another data directory" in found.reason

    def test_it_is_looked_for_once(self, tmp_path: Path, native: Path) -> None:
        place = self.impostor(tmp_path, "bwrap: broken")
        first = jail_support(native, tmp_path, place)
        (tmp_path / "bwrap").unlink()
        assert jail_support(native, tmp_path, place) is first


def answer(program: bytes, machine: int, number: int, first: int = 0, second: int = 0) -> int:
    """Run the filter as the kernel does; only what it uses."""
    data = struct.pack("=IIQQQ", number, machine, 0, first, second)
    steps = [struct.unpack("=HBBI", program[n : n + 8]) for n in range(0, len(program), 8)]
    at, held = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        if code == 0x06:
            return int(value)
        if code == 0x20:
            (held,) = struct.unpack_from("=I", data, value)
        else:
            at += if_true if (held == value if code == 0x15 else held >= value) else if_false
        at += 1


ALLOWED = 0x7FFF0000
REFUSED = 0x00050000


class TestTheFilter:
    @pytest.mark.parametrize(
        ("name", "machine", "numbers"),
        [
            (
                "x86_64",
                0xC000003E,
                {"mount": 165, "ptrace": 101, "keyctl": 250, "bpf": 321, "unshare": 272, "iopl": 172},
            ),
            ("aarch64", 0xC00000B7, {"mount": 40, "ptrace": 117, "keyctl": 219, "bpf": 280, "unshare": 97}),
        ],
    )
    def test_what_it_refuses(self, name: str, machine: int, numbers: dict[str, int]) -> None:
        program = call_filter(name)
        for number in numbers.values():
            assert answer(program, machine, number) == REFUSED | errno.EPERM
        # Reading, writing, opening, starting programs, waiting: what everybody does.
        usual = {
            "x86_64": (0, 1, 2, 56, 57, 59, 61, 202, 257, 435),
            "aarch64": (56, 57, 63, 64, 98, 220, 221, 260, 435),
        }
        assert {answer(program, machine, number) for number in usual[name]} == {ALLOWED}

    @pytest.mark.parametrize(("name", "machine", "number"), [("x86_64", 0xC000003E, 41), ("aarch64", 0xC00000B7, 198)])
    def test_which_sockets_there_are(self, name: str, machine: int, number: int) -> None:
        program = call_filter(name)
        allowed = [family for family in range(64) if answer(program, machine, number, family) == ALLOWED]
        assert allowed == [1, 2, 10, 16], (
            "and none that leads past the network namespace, such as a machine's to its host"
        )
        assert answer(program, machine, number, 40) == REFUSED | errno.EAFNOSUPPORT

    def test_nobody_types_into_a_terminal(self) -> None:
        program = call_filter("x86_64")
        assert [answer(program, 0xC000003E, 16, 0, word) for word in (0x5412, 0x541C)] == [REFUSED | errno.EPERM] * 2
        assert answer(program, 0xC000003E, 16, 0, 0x5413) == ALLOWED

    def test_calls_of_other_machines_are_none(self) -> None:
        program = call_filter("x86_64")
        assert answer(program, 0x40000003, 1) == REFUSED | errno.ENOSYS
        assert answer(program, 0xC000003E, 0x40000001) == REFUSED | errno.ENOSYS

    def test_machines(self) -> None:
        assert (knows("x86_64"), knows("aarch64"), knows("riscv64")) == (True, True, False)


class TestKeptOut:
    def test_what_is_there_is_mounted_over_itself(self, tmp_path: Path) -> None:
        (tmp_path / ".claude").mkdir()
        (tmp_path / ".git/hooks").mkdir(parents=True)
        assert KeptOut().enter(tmp_path) == (
            *("--ro-bind", "/project/.claude", "/project/.claude"),
            *("--ro-bind", "/run/gateway/no-servers", "/project/.mcp.json"),
            *("--bind", "/project/.git", "/project/.git"),
            *("--ro-bind", "/project/.git/hooks", "/project/.git/hooks"),
        )

    @pytest.mark.parametrize("name", [".claude", ".mcp.json", ".git", ".git/hooks", ".git/config"])
    def test_a_link_is_refused(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path)
        with pytest.raises(LinkedError):
            KeptOut().enter(tmp_path)

    def test_what_stood_in_goes_with_the_last_jail(self, tmp_path: Path) -> None:
        kept = KeptOut()
        kept.enter(tmp_path)
        kept.enter(tmp_path)
        # As bubblewrap makes them, to have something to mount on.
        (tmp_path / ".claude").mkdir()
        (tmp_path / ".mcp.json").touch()
        kept.leave(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        kept.leave(tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_what_holds_something_stays(self, tmp_path: Path) -> None:
        kept = KeptOut()
        kept.enter(tmp_path)
        (tmp_path / ".claude").mkdir()
        (tmp_path / ".claude/settings.json").write_text("{}")
        (tmp_path / ".mcp.json").write_text("{}")
        kept.leave(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [".claude", ".mcp.json"]


MOUNTS_V1 = "cgroup {0}/{1} cgroup rw,nosuid,{1} 0 0\n"


class TestGroups:
    def v1(self, root: Path) -> Groups:
        for name in ("pids", "memory", "cpu"):
            (root / name / "own").mkdir(parents=True)
        mounts = "".join(MOUNTS_V1.format(root, name) for name in ("pids", "memory", "cpu", "freezer"))
        return find_groups("3:pids:/own\n2:memory:/own\n1:cpu:/own\n0::/\n", mounts)

    def test_version_one_below_the_gateway_s_own(self, tmp_path: Path) -> None:
        groups = self.v1(tmp_path)
        assert groups.version == 1
        assert groups.bounded == {"pids", "memory", "cpu"}
        made = groups.make(EngineOptions(jail_processes=7, jail_memory_mib=3, jail_cpu_percent=50))
        assert {path.parent for path in made} == {tmp_path / name / "own" for name in ("pids", "memory", "cpu")}
        held = {file.name: file.read_text() for path in made for file in path.iterdir()}
        assert held == {
            "pids.max": "7",
            "memory.limit_in_bytes": "3145728",
            "memory.memsw.limit_in_bytes": "3145728",
            "cpu.shares": "512",
        }

    def test_version_two_where_the_group_above_is_ours(self, tmp_path: Path) -> None:
        above = tmp_path / "service"
        (above / "gateway").mkdir(parents=True)
        (above / "cgroup.procs").write_text("")
        groups = find_groups("0::/service/gateway\n", f"cgroup2 {tmp_path} cgroup2 rw 0 0\n")
        assert (groups.version, groups.bases[0][0]) == (2, above)
        assert (above / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
        (made,) = groups.make(EngineOptions(jail_processes=7, jail_memory_mib=3))
        held = {file.name: file.read_text() for file in made.iterdir()}
        assert held == {"pids.max": "7", "memory.max": "3145728", "memory.swap.max": "0", "cpu.weight": "50"}

    def test_version_two_where_others_are_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "service").mkdir()
        (tmp_path / "cgroup.procs").write_text("1\n")
        assert find_groups("0::/service\n", f"cgroup2 {tmp_path} cgroup2 rw 0 0\n") == Groups()

    def test_none(self) -> None:
        assert find_groups("0::/\n", "") == Groups()
        assert Groups().make(EngineOptions()) == ()

    def test_those_of_the_dead_are_swept_away(self, tmp_path: Path) -> None:
        groups = self.v1(tmp_path)
        own = tmp_path / "pids/own"
        nobody = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
        for name in (f"claude-code-api-{nobody}-1", f"claude-code-api-{os.getpid()}-1", "somebody-else"):
            (own / name).mkdir()
        groups.sweep()
        assert sorted(path.name for path in own.iterdir()) == [f"claude-code-api-{os.getpid()}-1", "somebody-else"]
