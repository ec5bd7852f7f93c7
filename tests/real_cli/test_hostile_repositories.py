"""A corpus of hostile repositories, each under every profile: nothing of it runs, nothing of it reaches the model."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from claude_code_api.standin import StandIn, ToolUse
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.profile import Profile
from tests.real_cli.cells import Cells, cells, jail_here
from tests.real_cli.hostile.repositories import REPOSITORIES, TRACE, WORD, Ground

AT_LEAST = 20
AT_ONCE = 3
PROFILES = [Profile.READ, Profile.EDIT, Profile.SHELL, Profile.FULL]


def built(directory: Path, name: str) -> Ground:
    root = directory / name.replace(" ", "-")
    ground = Ground(root / "above" / "project", root / "outside")
    ground.place.mkdir(parents=True)
    ground.outside.mkdir()
    REPOSITORIES[name](ground)
    (ground.place / "honest").write_text("honest")
    return ground


def traces(ground: Ground) -> list[str]:
    places = (ground.place, ground.outside, ground.place.parent)
    return sorted({path.name for place in places for path in place.glob(f"{TRACE}*")})


async def visited(block: Cells, ground: Ground, profile: Profile) -> str:
    """Have an agent work there for a turn; says what was wrong, if anything."""
    place = "/project" if profile in {Profile.SHELL, Profile.FULL} else str(ground.place)
    # Each repository has its own words with the model, though all of them are talked about at once.
    uses = [ToolUse("toolu_1", "Read", {"file_path": f"{place}/honest"})]
    if "Bash" in block.tools(profile):
        uses.append(ToolUse("toolu_2", "Bash", {"command": "/bin/echo at work"}))
    try:
        said = await block.apart(ground.place, profile, *uses)
    except TurnRefusedError as refusal:
        linked = refusal.error.kind is ErrorKind.CONFLICT and profile is Profile.SHELL
        return "" if linked and (ground.place / ".claude").is_symlink() else f"refused: {refusal.error.message}"
    ran, injected = traces(ground), WORD in said
    worked = "honest" in said and ("at work" in said or len(uses) == 1)
    return f"{ran} ran, injected: {injected}, worked: {worked}" if ran or injected or not worked else ""


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.value)
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.corpus)], ids=["a share", "all"])
async def test_item_08_all_of_them_are_inert(tmp_path: Path, upstream: StandIn, profile: Profile, every: bool) -> None:
    assert len(REPOSITORIES) >= AT_LEAST
    # Each of them in one profile; `make corpus` has all of them in all.
    share = list(REPOSITORIES)[PROFILES.index(profile) :: len(PROFILES)]
    grounds = {name: built(tmp_path, name) for name in (REPOSITORIES if every else share)}
    at_once = asyncio.Semaphore(AT_ONCE)

    async def judged(block: Cells, name: str) -> str:
        async with at_once:
            return await visited(block, grounds[name], profile)

    async with cells(tmp_path, upstream, jail=jail_here()) as block:
        found = await asyncio.gather(*(judged(block, name) for name in grounds))
    assert {name: wrong for name, wrong in zip(grounds, found, strict=True) if wrong} == {}
    assert {record.path for record in upstream.received} == {"/v1/messages"}
    assert not any("x-planted" in record.headers for record in upstream.received)


class TestTrusted:
    """What an administrator has called trusted is loaded, and its code is run inside of the jail."""

    @pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.value)
    async def test_its_own_settings_count(self, tmp_path: Path, upstream: StandIn, profile: Profile) -> None:
        ground = built(tmp_path, "instructions")
        look = "id -u > /tmp/who; test -e /project/honest && test ! -e " + str(ground.outside) + " && echo in-jail"
        hook = {"hooks": [{"type": "command", "command": f"{look}; {ground.leaves('hook')}"}]}
        ground.settings({"hooks": {"SessionStart": [hook]}})
        async with cells(tmp_path, upstream, jail=jail_here()) as block:
            place = ToolUse("toolu_1", "Read", {"file_path": "/project/honest"})
            done = await block.turn(ground.place, profile, place, trusted=True)
        first = json.dumps(done.bodies[0])
        assert WORD in first, "CLAUDE.md is read"
        assert "honest" in done.told("toolu_1")
        assert "in-jail" in first, "the hook ran, in there"
        assert not list(ground.outside.glob(f"{TRACE}*"))
        # With `read` the project is not writable at all.
        assert bool(list(ground.place.glob(f"{TRACE}*"))) is (profile is not Profile.READ)

    async def test_its_servers_run_inside(self, tmp_path: Path, upstream: StandIn) -> None:
        ground = built(tmp_path, "servers")
        async with cells(tmp_path, upstream, jail=jail_here()) as block:
            await block.turn(ground.place, Profile.EDIT, trusted=True)
        assert not list(ground.outside.glob(f"{TRACE}*"))
        assert list(ground.place.glob(f"{TRACE}server"))

    @pytest.mark.parametrize("profile", [Profile.READ, Profile.EDIT, Profile.SHELL], ids=lambda profile: profile.value)
    async def test_trust_does_not_raise_the_profile(self, tmp_path: Path, upstream: StandIn, profile: Profile) -> None:
        ground = built(tmp_path, "permissions")
        tried = [
            ToolUse("toolu_1", "Read", {"file_path": str(ground.outside / "secret")}),
            ToolUse("toolu_2", "Write", {"file_path": str(ground.outside / "written"), "content": "x"}),
            ToolUse("toolu_3", "WebFetch", {"url": "http://127.0.0.1/", "prompt": "x"}),
        ]
        async with cells(tmp_path, upstream, jail=jail_here()) as block:
            done = await block.turn(ground.place, profile, *tried, trusted=True)
            assert done.offered == block.tools(profile)
        assert WORD not in done.told("toolu_1")
        assert done.denied("toolu_3")
        assert sorted(path.name for path in ground.outside.iterdir()) == ["secret"]
