"""The agent's own Bash, profile full, tries to get out of its jail and to get something out of it: nothing does."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.doorway import MAX_CONNECTIONS
from claude_code_api.standin import StandIn, ToolUse
from claude_code_api.turn.profile import Profile
from tests.real_cli.cells import Cells, cells, jail_here
from tests.real_cli.rig import MODEL

ATTEMPTS = Path(__file__).parent / "escapes" / "attempts.py"
AT_LEAST = 40
# Of the machine's own: what they say before is what they say after.
WATCHED = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory")


@dataclass
class Outside:
    """Everything on this side of the wall that something could be brought to, or taken from."""

    marker: Path
    words: list[str]
    listeners: list[socket.socket] = field(default_factory=list)
    targets: dict[str, Any] = field(default_factory=dict)

    def reached(self) -> list[socket.socket]:
        """The sockets that somebody came to; bytes or connections, both count."""
        return [one for one in self.listeners if _came(one)]


def _came(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        if one.type == socket.SOCK_DGRAM:
            one.recv(1)
        else:
            one.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@contextmanager
def outside(directory: Path, upstream: StandIn, key: str) -> Iterator[Outside]:
    marker = directory / f"marker-{secrets.token_hex(8)}"
    words = [f"MARK-{secrets.token_hex(16)}", key]
    marker.write_text(words[0])
    abstract, named = f"claude-code-api-{secrets.token_hex(8)}", directory / "named.sock"
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("0.0.0.0", 0)))
        six = stack.enter_context(socket.socket(socket.AF_INET6))
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::1", tcp.getsockname()[1]))
        six.listen()
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("0.0.0.0", 0))
        unix = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for one, address in zip(unix, ("\0" + abstract, str(named)), strict=True):
            one.bind(address)
            one.listen()
        found = Outside(marker, words, [tcp, six, udp, *unix])
        found.targets = {
            # What they begin with: the whole of them is nowhere in the jail, so that finding it means something.
            "secrets": [word[:14] for word in words],
            "keys": [key[:14]],
            "marker": str(marker),
            "host_paths": [str(directory / "run"), str(directory / "other"), str(marker), str(Path.home()), "/var/lib"],
            "gateway_pid": os.getpid(),
            "shared_memory": "",
            "tcp_port": tcp.getsockname()[1],
            "udp_port": udp.getsockname()[1],
            "upstream_port": int(upstream.base_url.rpartition(":")[2]),
            "addresses": sorted(
                {address[4][0] for address in socket.getaddrinfo(socket.gethostname(), 1, socket.AF_INET)}
                - {"127.0.0.1"}
            ),
            "abstract": abstract,
            "sockets": [str(named)],
            "connections": MAX_CONNECTIONS,
            "body": {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "from inside"}]},
        }
        yield found


def watched() -> list[str]:
    return [Path(path).read_text() for path in WATCHED]


def unchanged(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, stat.S_IMODE(state.st_mode)


async def escape(block: Cells, upstream: StandIn, free: Outside, profile: Profile) -> list[Any]:
    place = block.place()
    (place / "attempts.py").write_bytes(ATTEMPTS.read_bytes())
    (place / "targets.json").write_text(json.dumps(free.targets))
    other = block.place("other")
    (other / "secret.txt").write_text(free.words[0])
    upstream.always("ok")
    run = "/usr/bin/python3 attempts.py targets.json; cat report.json | head -c 100"
    done = await block.turn(
        place, profile, ToolUse("toolu_1", "Bash", {"command": run, "timeout": 60000}), models=frozenset({MODEL})
    )
    sys.stdout.write(done.told("toolu_1"))
    everything = json.dumps([record.body for record in upstream.received])
    for word in free.words:
        assert word not in everything
        for left in (path for path in place.rglob("*") if path.is_file() and not path.is_symlink()):
            assert word.encode() not in left.read_bytes(), left
    report: list[Any] = json.loads((place / "report.json").read_text())
    return report


@pytest.mark.parametrize("profile", [Profile.FULL, Profile.SHELL])
async def test_nothing_gets_out(
    tmp_path: Path, upstream: StandIn, monkeypatch: pytest.MonkeyPatch, profile: Profile
) -> None:
    jail, key = jail_here(), f"sk-ant-{secrets.token_hex(24)}"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
    before, binary = watched(), None
    with outside(tmp_path, upstream, key) as free:
        async with cells(tmp_path, upstream, jail=jail, key=key) as block:
            binary = block.engine.site.binary
            state = unchanged(binary)
            report = await escape(block, upstream, free, profile)
        assert [row for row in report if not row["held"]] == []
        assert len(report) >= AT_LEAST
        assert free.reached() == [], "0 bytes by network"
    assert unchanged(binary) == state
    assert watched() == before
    # What the relay let through is what it may let through, with our key and nothing of theirs.
    assert {record.path for record in upstream.received} == {"/v1/messages"}
    assert {record.headers.get("x-api-key") for record in upstream.received} == {key}
    assert not any("planted" in str(record.headers.values()) for record in upstream.received)
    assert not any("web_fetch" in json.dumps(record.body) for record in upstream.received)
    assert {record.body["model"] for record in upstream.messages} == {MODEL}


async def test_the_attempts_themselves_work(tmp_path: Path, upstream: StandIn) -> None:
    """Outside of a jail the same program does get things: the test above can fail."""
    key = "sk-ant-outside-of-the-jail"
    with outside(tmp_path, upstream, key) as free:
        script = ATTEMPTS.read_text().replace("/project", str(tmp_path))
        (tmp_path / "attempts.py").write_text(script)
        (tmp_path / "targets.json").write_text(json.dumps(free.targets))
        names = [
            "read_the_marker_by_its_path",
            "connect_to_loopback",
            "connect_to_an_abstract_socket",
            "signal_the_gateway",
        ]
        chosen = f"ATTEMPTS = {{name: ATTEMPTS[name] for name in {names!r}}}\nmain()\n"
        (tmp_path / "attempts.py").write_text(script.replace("\nmain()\n", "\n" + chosen))
        await _run(tmp_path)
        report = json.loads((tmp_path / "report.json").read_text())
        assert [row["attempt"] for row in report if not row["held"]] == names
        assert len(free.reached()) == 2


async def _run(directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "attempts.py", "targets.json", cwd=directory)
    assert await process.wait() == 0
