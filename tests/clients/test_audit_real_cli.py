"""What an agent does is on record, the whole way: each call before it is made, and who decided about it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.flow.audit_records import Chain
from claude_code_api.standin import StandIn, ToolUse, calls, says
from tests.clients.test_agent_real_cli import ask, at_work, results_upstream
from tests.clients.test_approvals_real_cli import wanted, worker
from tests.clients.test_locked_in_real_cli import gateway_at, project
from tests.http.loopback import Running
from tests.http.test_live import socket, told_until

pytestmark = pytest.mark.real_cli


def database_in(data_dir: Path) -> Path:
    (found,) = data_dir.glob("*.db")
    return found


async def record(gateway: Running, **query: Any) -> list[Any]:
    """What is on record, oldest first; the chain holds."""
    entries = await gateway.store.chain(after=0, limit=1000)
    chain = Chain()
    assert [chain.follow(entry) for entry in entries] == [None] * len(entries)
    said = await gateway.http.get("/v1/audit", params={"order": "asc", "limit": 100, **query})
    assert said.status_code == 200, said.text
    return said.json()["data"]  # type: ignore[no-any-return]


def decided(entries: list[Any]) -> dict[str, tuple[Any, ...]]:
    what = [one["what"] for one in entries if one["kind"] == "call.end"]
    return {one["tool_id"]: (one["tool"], one["decision"], one["by"], one["outcome"]) for one in what}


def called(entries: list[Any]) -> dict[str, Any]:
    return {one["what"]["tool_id"]: one["what"] for one in entries if one["kind"] == "call"}


async def test_each_call_is_there_with_who_decided(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        place = Path(project["path"])
        for use in (
            ToolUse("t-write", "Write", {"file_path": str(place / "a.txt"), "content": "the-content"}),
            ToolUse("t-read", "Read", {"file_path": str(place / "a.txt")}),
            ToolUse("t-outside", "Write", {"file_path": str(tmp_path / "planted"), "content": "x"}),
            ToolUse("t-missing", "Read", {"file_path": str(place / "nothing")}),
            ToolUse("t-shell", "Bash", {"command": "id"}),
            ToolUse("t-bad", "Write", {"content": "no path"}),
        ):
            upstream.play(calls(use))
        upstream.play(says("Done."))
        answer = await ask(gateway, "work", project["id"])
        assert answer.status_code == 200, answer.text
        entries = await record(gateway)
        assert decided(entries) == {
            "t-write": ("Write", "allow", "profile", "ended"),
            "t-read": ("Read", "allow", "profile", "ended"),
            "t-outside": ("Write", "deny", "profile", "denied"),
            "t-missing": ("Read", "allow", "profile", "error"),
            "t-shell": ("Bash", "deny", "program", "denied"),
            "t-bad": ("Write", "deny", "program", "denied"),
        }
        begun = called(entries)
        assert set(begun) == set(decided(entries))
        first = begun["t-write"]
        assert (first["profile"], first["mode"], first["project"]) == ("edit", "auto", project["id"])
        assert first["session"] == answer.headers["x-session-id"]
        assert first["shown"] == str(place / "a.txt")
        assert len(bytes.fromhex(first["input_sha256"])) == 32
        assert begun["t-shell"]["shown"] == "id"
        assert {one["key"] for one in entries} == {"tests"}
        assert "the-content" not in json.dumps(entries)
        assert [one["kind"] for one in entries if one["what"].get("tool_id") == "t-write"] == ["call", "call.end"]
        assert not (tmp_path / "planted").exists()


async def test_what_a_person_decided_is_there(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        for number in range(4):
            work.will_write(f"{number}.txt", tool_id=f"t-{number}")
        upstream.play(says("Done."))
        await talk.send("write")
        other = {"file_path": str(work.place / "1.txt"), "content": "a person's own"}
        for body in (
            {"decision": "deny"},
            {"decision": "allow", "input": other},
            {"decision": "allow_always"},
        ):
            asked = await wanted(talk)
            assert (await work.answer(asked["approval_id"], **body)).status_code == 200
        assert (await told_until(talk, "complete", "error"))[-1]["type"] == "complete"
        entries = await record(work.gateway)
        assert decided(entries) == {
            "t-0": ("Write", "deny", "person", "denied"),
            "t-1": ("Write", "allow", "person", "ended"),
            "t-2": ("Write", "allow_always", "person", "ended"),
            "t-3": ("Write", "allow", "rule", "ended"),
        }
        edited = [one["what"] for one in entries if "made_with" in one["what"]]
        assert [one["tool_id"] for one in edited] == ["t-1"]
        assert edited[0]["made_with"]["input_sha256"] != called(entries)["t-1"]["input_sha256"]
        assert called(entries)["t-0"]["mode"] == "ask"


async def test_nobody_answering_is_a_denial_by_time(tmp_path: Path, upstream: StandIn) -> None:
    async with (
        worker(tmp_path, upstream, approval_s=0.05) as work,
        socket(work.gateway, work.session) as talk,
    ):
        work.will_write()
        upstream.play(says("Then not."))
        await talk.send("write")
        assert (await told_until(talk, "complete", "error"))[-1]["type"] == "complete"
        assert decided(await record(work.gateway)) == {"toolu_1": ("Write", "deny", "time", "denied")}


async def test_a_call_is_on_record_while_it_waits_and_after_the_turn_was_cut(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        work.will_write()
        await talk.send("write")
        await wanted(talk)
        entries = await record(work.gateway)
        assert set(called(entries)) == {"toolu_1"}
        assert decided(entries) == {}
        await work.gateway.http.post(f"/v1/sessions/{work.session}/interrupt")
        await told_until(talk, "error")
        assert decided(await record(work.gateway)) == {"toolu_1": ("Write", "deny", "end", "denied")}


async def test_what_cannot_be_put_on_record_is_not_done(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        made = Path(project["path"]) / "a.txt"
        # A database that takes everything but this.
        with closing(sqlite3.connect(database_in(tmp_path / "data"))) as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON audit WHEN NEW.kind = 'call' BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        upstream.play(calls(ToolUse("t-1", "Write", {"file_path": str(made), "content": "x"})))
        upstream.play(says("Then not."))
        answer = await ask(gateway, "write", project["id"])
        assert answer.json()["choices"][0]["message"]["content"] == "Then not.", answer.text
        assert not made.exists()
        (told,) = results_upstream(upstream)
        assert "on record" in json.dumps(told)
        entries = await record(gateway)
        assert called(entries) == {}
        assert decided(entries) == {"t-1": ("Write", "deny", "gateway", "denied")}


async def test_a_turn_of_plain_chat_leaves_nothing_on_record(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        before = await record(gateway)
        assert [(one["kind"], one["what"]) for one in before] == [
            ("project.created", {"id": project["id"], "profile": "edit", "mode": "auto", "trusted": False})
        ]
        upstream.play(says("Hello."))
        assert (await ask(gateway, "hi")).status_code == 200
        assert await record(gateway) == before


@pytest.mark.parametrize("profile", ["shell", "full"])
async def test_in_a_jail_too(tmp_path: Path, upstream: StandIn, profile: str) -> None:
    async with gateway_at(tmp_path, upstream) as gateway:
        made = await project(gateway, profile)
        upstream.play(calls(ToolUse("t-1", "Bash", {"command": "echo hello > a.txt"})))
        upstream.play(calls(ToolUse("t-2", "Write", {"file_path": "/etc/planted", "content": "x"})))
        upstream.play(says("Done."))
        answer = await ask(gateway, "work", made["id"])
        assert answer.status_code == 200, answer.text
        entries = await record(gateway)
        assert decided(entries)["t-1"] == ("Bash", "allow", "profile", "ended")
        assert (called(entries)["t-1"]["profile"], called(entries)["t-1"]["shown"]) == (profile, "echo hello > a.txt")
        tool, decision, by, outcome = decided(entries)["t-2"]
        # `full` may do anything in there, and the jail has no such file.
        assert (tool, by) == ("Write", "profile")
        assert (decision, outcome) == (("deny", "denied") if profile == "shell" else ("allow", "error"))


async def test_what_reading_alone_denies(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data", "read") as (gateway, made):
        (tmp_path / "secret").write_text("s")
        upstream.play(calls(ToolUse("t-1", "Read", {"file_path": str(tmp_path / "secret")})))
        upstream.play(says("Then not."))
        assert (await ask(gateway, "read", made["id"])).status_code == 200
        assert decided(await record(gateway))["t-1"] == ("Read", "deny", "profile", "denied")


async def test_a_rewind_is_there(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, made):
        path = Path(made["path"]) / "a.txt"
        upstream.play(calls(ToolUse("t-1", "Write", {"file_path": str(path), "content": "x"})))
        upstream.play(says("Done."))
        session = (await ask(gateway, "write", made["id"])).headers["x-session-id"]
        turn = (await record(gateway))[-1]["what"]["turn"]
        for dry in (True, False):
            body = {"turn_id": turn, "dry_run": dry}
            assert (await gateway.http.post(f"/v1/sessions/{session}/rewind", json=body)).status_code == 200
        rewound = [one for one in await record(gateway) if one["kind"] == "session.rewound"]
        assert [one["what"] for one in rewound] == [{"session": session, "turn": turn}]
