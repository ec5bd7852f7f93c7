"""Agents that run commands, in their jail: what they do, what holds them, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from claude_code_api.engine.bounds import find_groups
from claude_code_api.engine.options import JailSupport
from claude_code_api.standin import StandIn, ToolUse, calls
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TextBlock
from tests.real_cli.cells import cells, jail_here
from tests.real_cli.living import Mourner, everybody_below, files_below

LOCKED_IN = [Profile.SHELL, Profile.FULL]
GATEWAY = Path(__file__).with_name("locked_gateway.py")
GIB = 1024**3
# Children that nobody finds by session, group or parent, and one that is waited for.
LASTING = """
setsid nohup sh -c 'echo here > ready; exec sleep 1000' </dev/null >/dev/null 2>&1 &
setsid sh -c "nohup setsid sh -c 'echo here > ready; exec sleep 1000' </dev/null >/dev/null 2>&1 &"
sh -c 'echo here > ready; exec sleep 1000'
"""


def wait_for_three(fifo: Path) -> None:
    """Read until each of them has said that it is there."""
    # Also open for writing, so that it does not end in between.
    descriptor, said = os.open(fifo, os.O_RDWR), b""
    while said.count(b"here") < 3:
        said += os.read(descriptor, 100)
    os.close(descriptor)


def lasting(pids: set[int]) -> int:
    return sum(
        b"sleep 1000" in name(pid).replace(b"\0", b" ") and b"/run/gateway/claude" not in name(pid) for pid in pids
    )


def use(command: str, **more: object) -> ToolUse:
    return ToolUse("toolu_1", "Bash", {"command": command, **more})


@pytest.mark.parametrize("profile", LOCKED_IN)
async def test_an_agent_works_in_its_project(tmp_path: Path, upstream: StandIn, profile: Profile) -> None:
    async with cells(tmp_path, upstream, jail=jail_here()) as block:
        place = block.place()
        (place / "numbers").write_text("6\n7\n")
        command = "id -u; pwd; paste -sd* numbers | bc 2>/dev/null || echo $((6*7)); echo made > made; hostname"
        write = ToolUse("toolu_2", "Write", {"file_path": "/project/written", "content": "x"})
        done = await block.turn(place, profile, use(command), write)
        assert done.told("toolu_1").split()[:2] == ["1000", "/project"]
        assert "42" in done.told("toolu_1")
        assert "jail" in done.told("toolu_1")
        assert done.result.error is None
        assert done.text == "done"
        assert sorted(path.name for path in place.iterdir()) == ["made", "numbers", "written"]
        assert (place / "made").stat().st_uid == os.getuid()


async def test_a_conversation_goes_into_a_jail_and_out_of_it(tmp_path: Path, upstream: StandIn) -> None:
    """Where it happened does not matter to what is remembered of it."""
    async with cells(tmp_path, upstream, jail=jail_here()) as block:
        place = block.place()
        (place / "notes.txt").write_text("forty-two\n")
        said = [Message("user", (TextBlock("read"),)), Message("assistant", (TextBlock("It says forty-two."),))]
        block.history = said
        for profile, path in [(Profile.FULL, "/project"), (Profile.EDIT, str(place)), (Profile.SHELL, "/project")]:
            look = ToolUse("toolu_1", "Read", {"file_path": f"{path}/notes.txt"})
            done = await block.turn(place, profile, look, text="again")
            texts = json.dumps(done.bodies[0]["messages"])
            assert "It says forty-two." in texts
            assert "forty-two" in done.told("toolu_1")
            assert not done.denied("toolu_1")


@pytest.mark.parametrize("profile", LOCKED_IN)
async def test_item_17_nothing_survives_the_end_of_a_turn(tmp_path: Path, upstream: StandIn, profile: Profile) -> None:
    # Other tests of this process keep servers.
    before = everybody_below(os.getpid())
    async with cells(tmp_path, upstream, jail=jail_here()) as block:
        place = block.place()
        os.mkfifo(place / "ready")
        async with block.leased(place, profile, calls(use(LASTING))):
            await asyncio.to_thread(wait_for_three, place / "ready")
            below = everybody_below(os.getpid()) - before
            assert lasting(below) >= 3
            mourner, began_s = Mourner(list(below)), time.monotonic()
        # A tool that is interrupted gets a moment to end by itself.
        await asyncio.to_thread(mourner.all_gone_after_s, began_s)
        assert everybody_below(os.getpid()) & below == set()
    assert groups_left() == []


def exists(path: Path) -> bool:
    return path.exists()


def machine_wide() -> int:
    return len(list(Path("/proc").glob("[0-9]*")))


def name(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def groups_left() -> list[Path]:
    return [group for base, _ in find_groups().bases for group in base.glob(f"claude-code-api-{os.getpid()}-*")]


@pytest.mark.parametrize("profile", LOCKED_IN)
@pytest.mark.parametrize("dies", ["gateway", "warden", "cli", "jail"])
def test_item_17_nothing_survives_a_sudden_death(
    tmp_path: Path, upstream: StandIn, profile: Profile, dies: str, record_property: Callable[[str, object], None]
) -> None:
    jail_here()
    place = tmp_path / "project"
    place.mkdir()
    os.mkfifo(place / "ready")
    upstream.play(calls(use(LASTING)))
    command = [sys.executable, str(GATEWAY), upstream.base_url, str(tmp_path), profile.value]
    with subprocess.Popen(command) as gateway, killed_at_last(gateway):
        wait_for_three(place / "ready")
        below = everybody_below(gateway.pid)
        assert lasting(below) >= 3
        victim = {
            "gateway": gateway.pid,
            "warden": next(pid for pid in below if b"warden.py" in name(pid)),
            "cli": next(pid for pid in below if name(pid).startswith(b"/run/gateway/claude")),
            "jail": next(pid for pid in sorted(below) if name(pid).startswith(b"/usr/bin/bwrap")),
        }[dies]
        mourner, killed_s = Mourner([pid for pid in below if b"warden.py" not in name(pid)]), time.monotonic()
        os.kill(victim, signal.SIGKILL)
        took_s = mourner.all_gone_after_s(killed_s)
        record_property(f"{dies} killed to all gone, ms", round(took_s * 1000))


@contextmanager
def killed_at_last(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


class TestBombs:
    """Whatever goes off inside ends the jail, or only itself; the machine does not notice."""

    async def test_a_fork_bomb(self, tmp_path: Path, upstream: StandIn) -> None:
        async with cells(tmp_path, upstream, jail=jail_here(), jail_processes=64) as block:
            bomb = "for i in $(seq 500); do sleep 1000 & done 2>errors; jobs | wc -l; echo over"
            before, others = machine_wide(), everybody_below(os.getpid())
            async with block.leased(block.place(), Profile.FULL, calls(use(bomb, timeout=5000))) as lease:
                most = 0
                async for _ in lease.batches():
                    most = max(most, len(everybody_below(os.getpid()) - others))
                    if exists(block.place() / "errors"):
                        break
            assert most <= 64 + 4
            assert machine_wide() - before < 500

    async def test_a_memory_bomb(self, tmp_path: Path, upstream: StandIn) -> None:
        jail = jail_here()
        if "memory" not in find_groups().bounded:
            pytest.skip("memory is bounded by control groups alone, and there are none here")
        async with cells(tmp_path, upstream, jail=jail, jail_memory_mib=700) as block:
            bomb = "python3 -c 'held = bytearray(4 << 30); print(len(held))'; echo ended with $?"
            said = await block.bash(block.place(), bomb)
            assert "4294967296" not in said
            assert "ended with 137" in said
            assert "ok" in await block.bash(block.place(), "echo ok")

    async def test_disk_bombs(self, tmp_path: Path, upstream: StandIn) -> None:
        async with cells(tmp_path, upstream, jail=jail_here(), jail_tmp_mib=16, jail_file_mib=8) as block:
            places = ("/tmp/f", "/agent/f", "/dev/shm/f", "/project/f")
            fill = "for n in 1 2 3 4; do head -c 20M /dev/zero >> {0}$n; done"
            # Said at the end, when there is room again for what is said.
            bomb = "; ".join((fill + '; s="$s $(cat {0}[1-4] | wc -c)"; rm {0}[1-4]').format(p) for p in places)
            sizes = [
                int(word) for word in (await block.bash(block.place(), f"({bomb}; echo $s) 2>/dev/null")).split()[:4]
            ]
            assert max(sizes[:3]) <= 17 * 1024 * 1024
            assert sizes[3] == 4 * 8 * 1024 * 1024, "in the project only the size of each file is bounded"


class TestItem10:
    """Where there can be no jail, what needs one is refused, with the reason, and nothing is started."""

    @pytest.mark.parametrize("profile", LOCKED_IN)
    async def test_without_one(self, tmp_path: Path, upstream: StandIn, profile: Profile) -> None:
        without = JailSupport(reason="there is no bubblewrap here.")
        async with cells(tmp_path, upstream, jail=without) as block:
            with pytest.raises(TurnRefusedError) as refused:
                await block.turn(block.place(), profile)
            assert refused.value.error.kind is ErrorKind.ENGINE_UNAVAILABLE
            assert "there is no bubblewrap here" in refused.value.error.message
            with pytest.raises(TurnRefusedError):
                await block.turn(block.place(), Profile.EDIT, trusted=True)
            assert (await block.turn(block.place(), Profile.EDIT)).text == "done"
        assert len(upstream.messages) == 1

    async def test_full_has_to_be_switched_on(self, tmp_path: Path, upstream: StandIn) -> None:
        async with cells(tmp_path, upstream, jail=jail_here(), full_profile=False) as block:
            with pytest.raises(TurnRefusedError, match="switched off"):
                await block.turn(block.place(), Profile.FULL)
        assert len(upstream.received) == 0

    async def test_a_jail_that_does_not_come_up_is_one_refusal(self, tmp_path: Path, upstream: StandIn) -> None:
        broken = replace(jail_here(), program=Path("/usr/bin/false"))
        async with cells(tmp_path, upstream, jail=broken) as block:
            with pytest.raises(TurnRefusedError):
                await block.turn(block.place(), Profile.FULL)
        assert groups_left() == []


async def test_item_11_no_secret_is_anywhere_in_it(
    tmp_path: Path, upstream: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen from outside, with all rights: in no environment, command line, memory or file of what is in the jail."""
    key, admin = f"sk-ant-{secrets.token_hex(24)}", f"admin-{secrets.token_hex(24)}"
    monkeypatch.setenv("CLAUDE_CODE_API_KEYS", admin)
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    async with cells(tmp_path, upstream, jail=jail_here(), key=key) as block:
        place = block.place()
        os.mkfifo(place / "ready")
        command = (
            "env; cat /proc/*/environ; find / -xdev -newer /etc/passwd -type f -not -path '/proc/*' | head; cat ready"
        )
        async with block.leased(place, Profile.FULL, calls(use(command))) as lease:
            await asyncio.to_thread(write_when_read, place / "ready", lambda: look_for((key, admin), os.getpid()))
            lease.interrupt()
    assert key.encode() not in everything_in(tmp_path)
    assert {record.headers.get("x-api-key") for record in upstream.received} == {key}


def everything_in(directory: Path) -> bytes:
    return b"".join(text for _, text in files_below(directory))


def write_when_read(fifo: Path, look: Callable[[], list[str]]) -> None:
    with fifo.open("w"):
        assert look() == []


def look_for(words: tuple[str, ...], pid: int) -> list[str]:
    found = []
    locked = [one for one in everybody_below(pid) if mounts_of(one) != mounts_of(pid)]
    assert len(locked) >= 4, "the jail's first process, the CLI, its shell and a command"
    for one in locked:
        for file in ("environ", "cmdline"):
            held = Path(f"/proc/{one}/{file}").read_bytes()
            found += [f"{file} of {name(one)[:40]!r}" for word in words if word.encode() in held]
        if name(one).startswith(b"/run/gateway/claude"):
            found += [f"memory of {name(one)[:40]!r}" for word in words if in_memory(one, word.encode())]
    return found


def mounts_of(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def in_memory(pid: int, word: bytes) -> bool:
    regions = [
        line.split()[0].split("-") for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if " rw" in line
    ]
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for start, end in ((int(a, 16), int(b, 16)) for a, b in regions):
            if end - start > GIB:
                continue
            memory.seek(start)
            try:
                if word in memory.read(end - start):
                    return True
            except OSError:
                continue
    return False


async def test_what_others_run_is_not_writable_by_a_shell(tmp_path: Path, upstream: StandIn) -> None:
    async with cells(tmp_path, upstream, jail=jail_here()) as block:
        place = block.place()
        (place / ".git/hooks").mkdir(parents=True)
        (place / ".git/config").write_text("[core]\n")
        tries = (
            "echo x > .git/hooks/post-checkout", "echo x > .claude/settings.json", "echo x > .mcp.json",
            "echo x >> .git/config", "mv .git other", "rm -rf .git/hooks", "rm .mcp.json", "mv .claude other",
            "git config core.fsmonitor ./x", "ln -sf /project/x .git/config", "chmod 777 .git/hooks",
        )  # fmt: skip
        said = await block.bash(
            place, "; ".join(f"({one}) 2>/dev/null && echo DID {one!r}" for one in tries), Profile.SHELL
        )
        assert "DID" not in said
        assert sorted(path.name for path in place.iterdir()) == [".git"], "and what stood in for them is gone"
        assert (place / ".git/config").read_text() == "[core]\n"
        commit = "git init -q x && cd x && git -c user.name=a -c user.email=b commit -q --allow-empty -m c; git log"
        assert " c" in await block.bash(place, commit, Profile.SHELL)


async def test_a_link_in_the_place_of_what_is_protected_is_refused(tmp_path: Path, upstream: StandIn) -> None:
    async with cells(tmp_path, upstream, jail=jail_here()) as block:
        place = block.place()
        (place / ".claude").symlink_to(tmp_path)
        with pytest.raises(TurnRefusedError, match="is a link"):
            await block.turn(place, Profile.SHELL)
        assert (await block.turn(place, Profile.FULL)).text == "done"
    assert groups_left() == []


async def test_two_jails_do_not_see_each_other(tmp_path: Path, upstream: StandIn) -> None:
    """A22: no session reaches another one, also not in the same project."""
    async with cells(tmp_path, upstream, jail=jail_here()) as block:
        one, two = block.place("one"), block.place("two")
        (one / "secret").write_text("of one")
        os.mkfifo(one / "ready")
        hold = "echo of one > /tmp/left; echo here > ready; sleep 1000"
        async with block.leased(one, Profile.FULL, calls(use(hold))) as held:
            await asyncio.to_thread((one / "ready").read_text)
            said = await block.bash(two, f"ls /tmp /project {one} 2>&1; ps aux; cat /tmp/left 2>&1; ls /tmp/cc-socks")
            assert "of one" not in said
            assert "sleep 1000" not in said
            assert "secret" not in said
            held.interrupt()
