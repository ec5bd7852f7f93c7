"""What an agent did to files can be undone, whatever became of the agent and of the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import Answer, Gate, StandIn, Text, ToolUse, calls, says
from tests.clients.test_agent_real_cli import ask, at_work
from tests.http.loopback import SOME_ID, Running
from tests.http.test_live import socket, told_until

pytestmark = pytest.mark.real_cli


async def works(gateway: Running, upstream: StandIn, session: str, *uses: ToolUse) -> str:
    """Have a turn of these calls, each in a step of its own; returns the turn's id."""
    for use in uses:
        upstream.play(calls(use))
    upstream.play(says("Done."))
    answer = await ask(gateway, "work", session=session)
    assert answer.json()["choices"][0]["message"]["content"] == "Done.", answer.text
    said = (await gateway.http.get(f"/v1/sessions/{session}/messages", params={"order": "desc"})).json()["data"]
    return str(said[0]["turn_id"])


def writes(path: Path, content: str, id_: str) -> ToolUse:
    return ToolUse(id_, "Write", {"file_path": str(path), "content": content})


def reads(path: Path, id_: str) -> ToolUse:
    return ToolUse(id_, "Read", {"file_path": str(path)})


def edits(path: Path, old: str, new: str, id_: str) -> ToolUse:
    return ToolUse(id_, "Edit", {"file_path": str(path), "old_string": old, "new_string": new})


async def rewind(gateway: Running, session: str, **body: Any) -> Any:
    return await gateway.http.post(f"/v1/sessions/{session}/rewind", json=body)


async def files(gateway: Running, session: str, since: str | None = None) -> list[Any]:
    params = {"since": since} if since is not None else {}
    answer = await gateway.http.get(f"/v1/sessions/{session}/files", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


def is_link(path: Path) -> bool:
    return path.is_symlink()


def text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


async def test_files_go_back_to_what_they_were_before_a_turn(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "one", upstream, tmp_path / "data") as (gateway, project):
        place = Path(project["path"])
        old, made = place / "old.txt", place / "deep" / "made.txt"
        old.write_text("one\ntwo\n")
        old.chmod(0o640)
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()["id"]
        first = await works(
            gateway,
            upstream,
            session,
            reads(old, "toolu_0"),
            edits(old, "two", "2", "toolu_1"),
            edits(old, "one", "1", "toolu_2"),
        )
        second = await works(gateway, upstream, session, writes(made, "new\n", "toolu_3"))
        third = await works(
            gateway,
            upstream,
            session,
            reads(old, "toolu_4"),
            edits(old, "2", "two!", "toolu_5"),
            reads(made, "toolu_6"),
            writes(made, "newer\n", "toolu_7"),
        )
    async with at_work(tmp_path / "two", upstream, tmp_path / "data") as (gateway, _):
        assert (text(old), text(made)) == ("1\ntwo!\n", "newer\n")
        changed = {one["path"]: one for one in await files(gateway, session)}
        assert {path: one["change"] for path, one in changed.items()} == {
            "old.txt": "modified",
            "deep/made.txt": "created",
        }
        assert changed["old.txt"]["diff"] == ("--- a/old.txt\n+++ b/old.txt\n@@ -1,2 +1,2 @@\n-one\n-two\n+1\n+two!\n")
        assert {one["path"] for one in await files(gateway, session, second)} == {"deep/made.txt", "old.txt"}
        would = (await rewind(gateway, session, turn_id=third, dry_run=True)).json()
        assert (sorted(would["files_changed"]), would["insertions"], would["deletions"]) == (
            ["deep/made.txt", "old.txt"],
            2,
            2,
        )
        assert text(made) == "newer\n"
        did = (await rewind(gateway, session, turn_id=third)).json()
        assert {**did, "dry_run": True} == would
        assert (text(old), text(made)) == ("1\n2\n", "new\n")
        assert await files(gateway, session, third) == []
        assert (await rewind(gateway, session, turn_id=second)).json()["files_changed"] == ["deep/made.txt"]
        assert text(made) is None
        said = (await gateway.http.get(f"/v1/sessions/{session}/messages")).json()["data"]
        question = next(one["id"] for one in said if one["turn_id"] == first and one["role"] == "user")
        assert (await rewind(gateway, session, message_id=question)).json()["turn_id"] == first
        assert (text(old), old.stat().st_mode & 0o777) == ("one\ntwo\n", 0o640)
        again = (await gateway.http.get(f"/v1/sessions/{session}/messages")).json()["data"]
        assert again == said, "what was said stays"


async def test_what_was_denied_or_failed_is_no_change(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        place = Path(project["path"])
        (place / "old.txt").write_text("x\n")
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()["id"]
        await works(
            gateway,
            upstream,
            session,
            writes(tmp_path / "planted", "x", "toolu_1"),
            edits(place / "old.txt", "not there", "y", "toolu_2"),
        )
        assert await files(gateway, session) == []
        assert not any("planted" in str(path) for path in (tmp_path / "data" / "checkpoints").rglob("*"))


async def test_a_link_that_was_put_in_the_way_is_not_followed(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        place, outside = Path(project["path"]), tmp_path / "outside"
        (place / "a.txt").write_text("before\n")
        (place / "deep").mkdir()
        (place / "deep" / "b.txt").write_text("before\n")
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()["id"]
        turn = await works(
            gateway,
            upstream,
            session,
            reads(place / "a.txt", "toolu_0"),
            writes(place / "a.txt", "after\n", "toolu_1"),
            reads(place / "deep" / "b.txt", "toolu_2"),
            writes(place / "deep" / "b.txt", "after\n", "toolu_3"),
        )
        outside.mkdir()
        for name in ("a.txt", "b.txt"):
            (outside / name).write_text("secret\n")
        (place / "a.txt").unlink()
        (place / "a.txt").symlink_to(outside / "a.txt")
        (place / "deep").rename(place / "shallow")
        (place / "deep").symlink_to(outside)
        assert "secret" not in str(await files(gateway, session))
        did = (await rewind(gateway, session, turn_id=turn)).json()
        assert (did["files_changed"], did["not_restored"]) == (["a.txt"], ["deep/b.txt"])
        assert not is_link(place / "a.txt")
        assert (place / "a.txt").read_text() == "before\n"
        assert [(outside / name).read_text() for name in ("a.txt", "b.txt")] == ["secret\n"] * 2


async def test_what_cannot_be_gone_back_to(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()["id"]
        nowhere = (await gateway.http.post("/v1/sessions", json={})).json()["id"]
        turn = await works(gateway, upstream, session, writes(Path(project["path"]) / "a", "x", "toolu_1"))
        assert (await rewind(gateway, session)).status_code == 400
        assert (await rewind(gateway, session, turn_id=turn, message_id=SOME_ID)).status_code == 400
        for body in ({"turn_id": SOME_ID}, {"message_id": SOME_ID}):
            assert (await rewind(gateway, session, **body)).status_code == 404
        assert (await rewind(gateway, nowhere, turn_id=turn)).status_code == 404
        assert (await gateway.http.get(f"/v1/sessions/{nowhere}/files")).status_code == 400
        await gateway.http.patch(f"/v1/sessions/{session}", json={"profile": "read"})
        assert (await rewind(gateway, session, turn_id=turn)).status_code == 403
        checkpoints = tmp_path / "data" / "checkpoints"
        assert len(list(checkpoints.iterdir())) == 1
        await gateway.http.delete(f"/v1/sessions/{session}")
        assert list(checkpoints.iterdir()) == []


async def test_a_turn_that_was_cut_can_be_undone_too(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        made = Path(project["path"]) / "made.txt"
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()["id"]
        upstream.play(calls(writes(made, "x\n", "toolu_1")))
        upstream.play(Answer((Text(pieces=("hel", Gate("held"), "lo")),)))
        async with socket(gateway, session) as talk:
            await talk.send("work")
            told = await told_until(talk, "delta")
            assert text(made) == "x\n"
            running = await rewind(gateway, session, turn_id=told[0]["turn_id"])
            assert (running.status_code, running.json()["error"]["code"]) == (409, "conflict")
            assert (await files(gateway, session))[0]["change"] == "created"
            await gateway.http.post(f"/v1/sessions/{session}/interrupt")
            await told_until(talk, "error")
        assert (await rewind(gateway, session, turn_id=told[0]["turn_id"])).json()["files_changed"] == ["made.txt"]
        assert text(made) is None
