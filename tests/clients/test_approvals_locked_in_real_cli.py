"""A person decides about an agent that is locked in: it knows its project by another name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import StandIn, ToolUse, calls, says
from tests.clients.test_agent_real_cli import make, results_upstream
from tests.clients.test_approvals_real_cli import Worker, wanted
from tests.clients.whole_way import whole_way
from tests.http.test_live import socket, told_until
from tests.real_cli.cells import jail_here

pytestmark = pytest.mark.real_cli


@asynccontextmanager
async def locked_in(tmp_path: Path, upstream: StandIn, mode: str, profile: str = "shell") -> AsyncIterator[Worker]:
    jail_here()
    make(tmp_path / "run")
    more: dict[str, Any] = {"jail": True, "full_profile": True}
    async with whole_way(tmp_path / "run", upstream, data_dir=tmp_path / "data", **more) as (gateway, _):
        body = {"name": "p", "profile": profile, "mode": mode}
        project = (await gateway.http.post("/v1/projects", json=body)).json()
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()["id"]
        yield Worker(gateway, upstream, Path(project["path"]), session)


def runs(command: str, id_: str = "toolu_1") -> ToolUse:
    return ToolUse(id_, "Bash", {"command": command, "description": "d"})


def writes(name: str, id_: str) -> ToolUse:
    return ToolUse(id_, "Write", {"file_path": f"/project/{name}", "content": "new\n"})


@pytest.mark.parametrize("profile", ["shell", "full"])
async def test_a_command_waits(tmp_path: Path, upstream: StandIn, profile: str) -> None:
    async with locked_in(tmp_path, upstream, "ask", profile) as work, socket(work.gateway, work.session) as talk:
        for id_ in ("toolu_1", "toolu_2"):
            upstream.play(calls(runs("echo ran >> out.txt", id_)))
        upstream.play(calls(runs("echo other >> out.txt", "toolu_3")))
        upstream.play(says("Done."))
        await talk.send("run")
        asked = await wanted(talk)
        assert asked["shown"] == {"kind": "command", "command": "echo ran >> out.txt"}
        assert work.holds() is None
        await work.answer(asked["approval_id"], "allow_always")
        asked = await wanted(talk)
        while asked["arguments"]["command"] == "echo ran >> out.txt":
            asked = await wanted(talk)
        assert asked["arguments"]["command"] == "echo other >> out.txt"
        await work.answer(asked["approval_id"], "deny")
        await told_until(talk, "complete", "error")
        assert work.holds() == "ran\nran\n"


async def test_where_nobody_is_asked_commands_run(tmp_path: Path, upstream: StandIn) -> None:
    async with locked_in(tmp_path, upstream, "auto") as work, socket(work.gateway, work.session) as talk:
        upstream.play(calls(runs("echo ran > out.txt; cp out.txt /tmp/x")))
        upstream.play(says("Done."))
        await talk.send("run")
        assert (await told_until(talk, "complete", "error", "approval_wanted"))[-1]["type"] == "complete"
        assert work.holds() == "ran\n"
        await talk.send(json.dumps({"type": "mode", "mode": "plan"}))
        upstream.play(calls(runs("echo more > out.txt", "toolu_2")))
        upstream.play(says("I could not."))
        await talk.send("run")
        assert (await told_until(talk, "complete", "error", "approval_wanted"))[-1]["type"] == "complete"
        assert work.holds() == "ran\n"


@pytest.mark.parametrize(("profile", "mode"), [("shell", "ask"), ("shell", "auto"), ("full", "auto")])
async def test_what_it_writes_is_shown_and_undone_under_its_name_here(
    tmp_path: Path, upstream: StandIn, profile: str, mode: str
) -> None:
    async with locked_in(tmp_path, upstream, mode, profile) as work, socket(work.gateway, work.session) as talk:
        upstream.play(calls(writes("out.txt", "toolu_1")))
        upstream.play(calls(writes("../tmp/planted", "toolu_2"), writes(".mcp.json", "toolu_3")))
        upstream.play(says("Done."))
        await talk.send("write")
        if mode == "ask":
            asked = await wanted(talk)
            assert asked["shown"]["path"] == "out.txt"
            await work.answer(asked["approval_id"], "allow")
        told = await told_until(talk, "complete", "error", "approval_wanted")
        assert told[-1]["type"] == "complete"
        if profile == "shell":
            assert [result.get("is_error", False) for result in results_upstream(upstream)] == [False, True, True]
        assert work.holds() == "new\n"
        path = f"/v1/sessions/{work.session}"
        changed = (await work.gateway.http.get(f"{path}/files")).json()["data"]
        assert "out.txt" in [one["path"] for one in changed]
        turn = {"turn_id": told[-1]["turn_id"]}
        assert "out.txt" in (await work.gateway.http.post(f"{path}/rewind", json=turn)).json()["files_changed"]
        assert work.holds() is None
