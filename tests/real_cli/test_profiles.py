"""The table of profiles: twelve calls in each of them, and what came of them on this side of the jail."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from claude_code_api.flow.ports import Plan
from claude_code_api.standin import StandIn, ToolUse, calls
from claude_code_api.turn.events import TurnEvent
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from tests.real_cli.cells import Done, cells, jail_here
from tests.real_cli.rig import MODEL

INSIDE, OUTSIDE = "word-from-inside", "word-from-outside"
R, E, S, F = Profile.READ, Profile.EDIT, Profile.SHELL, Profile.FULL
# In which profiles each of the calls comes to what it wants.
TABLE = {
    "read a file": {R, E, S, F},
    "read outside": set[Profile](),
    "read through a link": set[Profile](),
    "write a file": {E, S, F},
    "write outside": set[Profile](),
    "write settings": {F},
    "write a hook": {F},
    "look by a command": {S, F},
    "write by a command": {S, F},
    "write outside by a command": set[Profile](),
    "connect by a command": set[Profile](),
    "fetch a page": set[Profile](),
}
OFFERED = {
    R: {"Read"},
    E: {"Read", "Edit", "Write"},
    S: {"Read", "Edit", "Write", "Bash"},
    F: {
        *("Read", "Edit", "Write", "NotebookEdit", "Glob", "Grep", "Bash"),
        *("TaskCreate", "TaskUpdate", "TaskList", "TaskGet"),
    },
}


@dataclass
class Tried:
    """The calls, in a directory of a profile's own."""

    here: Path
    outside: Path
    # Where the agent believes its project to be.
    place: str
    port: int

    def uses(self) -> list[ToolUse]:
        inputs = [
            ("Read", {"file_path": f"{self.place}/inside"}),
            ("Read", {"file_path": str(self.outside / "secret")}),
            ("Read", {"file_path": f"{self.place}/link"}),
            ("Write", {"file_path": f"{self.place}/written", "content": "x"}),
            ("Write", {"file_path": str(self.outside / "written"), "content": "x"}),
            ("Write", {"file_path": f"{self.place}/.claude/settings.json", "content": "{}"}),
            ("Write", {"file_path": f"{self.place}/.git/hooks/post-checkout", "content": "x"}),
            ("Bash", {"command": "head -c 4 inside"}),
            ("Bash", {"command": 'echo x > by-command; python3 -c \'open("by-program", "w")\''}),
            ("Bash", {"command": f"echo x > {self.outside}/by-command"}),
            ("Bash", {"command": f"exec 3<>/dev/tcp/127.0.0.1/{self.port} && echo connected"}),
            ("WebFetch", {"url": f"http://127.0.0.1:{self.port}/", "prompt": "read"}),
        ]
        return [ToolUse(f"toolu_{n}", name, given) for n, (name, given) in enumerate(inputs)]

    def came_to(self, done: Done, listener: socket.socket) -> dict[str, bool]:
        told = [done.told(f"toolu_{n}") for n in range(12)]
        return dict(
            zip(
                TABLE,
                (
                    INSIDE in told[0],
                    OUTSIDE in told[1],
                    OUTSIDE in told[2],
                    (self.here / "written").exists(),
                    (self.outside / "written").exists(),
                    (self.here / ".claude/settings.json").exists(),
                    (self.here / ".git/hooks/post-checkout").exists(),
                    told[7].startswith(INSIDE[:4]),
                    (self.here / "by-command").exists() and (self.here / "by-program").exists(),
                    (self.outside / "by-command").exists(),
                    "connected" in told[10] or came(listener),
                    came(listener),
                ),
                strict=True,
            )
        )


def came(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def furnish(directory: Path) -> tuple[Path, Path]:
    here, outside = directory / "project", directory / "outside"
    (here / ".git/hooks").mkdir(parents=True)
    (here / "inside").write_text(INSIDE)
    outside.mkdir()
    (outside / "secret").write_text(OUTSIDE)
    (here / "link").symlink_to(outside / "secret")
    return here, outside


@pytest.mark.parametrize("profile", OFFERED, ids=lambda profile: profile.value)
async def test_item_09_twelve_calls(tmp_path: Path, upstream: StandIn, profile: Profile) -> None:
    here, outside = furnish(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = "/project" if profile in {S, F} else str(here)
        tried = Tried(here, outside, place, listener.getsockname()[1])
        async with cells(tmp_path, upstream, jail=jail_here()) as block:
            done = await block.turn(here, profile, *tried.uses())
        assert tried.came_to(done, listener) == {call: profile in where for call, where in TABLE.items()}
        assert done.offered == OFFERED[profile]
    assert OUTSIDE not in str([record.body for record in upstream.received])


async def test_item_09_chat_has_no_tools(tmp_path: Path, upstream: StandIn) -> None:
    here, outside = furnish(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tried = Tried(here, outside, str(here), listener.getsockname()[1])
        upstream.play(calls(*tried.uses()))
        request = TurnRequest(MODEL, (Message("user", (TextBlock("go"),)),))
        events: list[TurnEvent] = []
        plan = Plan("t", 1, MODEL, request)
        async with cells(tmp_path, upstream, jail=jail_here()) as block, block.engine.lease(plan) as lease:
            async for batch in lease.batches():
                events.extend(batch)
        assert not came(listener)
    assert [record.body.get("tools", []) for record in upstream.messages] == [[]]
    assert sorted(path.name for path in here.iterdir()) == [".git", "inside", "link"]
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
