"""A person decides about an agent's calls, the whole way: what is on the disk afterwards is what counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.flow.options import FlowOptions
from claude_code_api.standin import StandIn, ToolUse, calls, says
from tests.clients.test_agent_real_cli import ask, make, offered_upstream, results_upstream
from tests.clients.whole_way import whole_way
from tests.engine.impatient import Impatient
from tests.http.loopback import SOME_ID, Running
from tests.http.test_live import socket, told_until

pytestmark = pytest.mark.real_cli


class Worker:
    """One session in a project, whose agent asks."""

    def __init__(self, gateway: Running, upstream: StandIn, place: Path, session: str) -> None:
        self.gateway, self.upstream, self.place, self.session = gateway, upstream, place, session

    def will_write(self, name: str = "out.txt", content: str = "new\n", tool_id: str = "toolu_1") -> None:
        self.upstream.play(calls(ToolUse(tool_id, "Write", {"file_path": str(self.place / name), "content": content})))

    def holds(self, name: str = "out.txt") -> str | None:
        path = self.place / name
        return path.read_text() if path.exists() else None

    @property
    def told(self) -> list[Any]:
        """What the model is told of its calls, without what the CLI reminds some models of (their tokens left)."""
        contents = [result["content"] for result in results_upstream(self.upstream)]
        return [said.partition("\n\n<system-reminder>")[0] if isinstance(said, str) else said for said in contents]

    async def answer(self, approval_id: str, decision: str, **more: Any) -> Any:
        path = f"/v1/sessions/{self.session}/approvals/{approval_id}"
        return await self.gateway.http.post(path, json={"decision": decision, **more})

    async def waiting(self) -> list[Any]:
        return (await self.gateway.http.get(f"/v1/sessions/{self.session}/approvals")).json()["data"]  # type: ignore[no-any-return]

    async def mode(self) -> str:
        return (await self.gateway.http.get(f"/v1/sessions/{self.session}")).json()["mode"]  # type: ignore[no-any-return]


@asynccontextmanager
async def worker(
    tmp_path: Path, upstream: StandIn, mode: str = "ask", profile: str = "edit", **flow: Any
) -> AsyncIterator[Worker]:
    make(tmp_path / "run")
    options = FlowOptions(**flow)
    async with whole_way(tmp_path / "run", upstream, data_dir=tmp_path / "data", flow=options) as (gateway, _):
        project = await gateway.http.post("/v1/projects", json={"name": "p", "profile": profile, "mode": mode})
        assert project.status_code == 201, project.text
        made = await gateway.http.post("/v1/sessions", json={"project_id": project.json()["id"]})
        assert made.json()["mode"] == mode
        yield Worker(gateway, upstream, Path(project.json()["path"]), made.json()["id"])


async def wanted(talk: Any) -> dict[str, Any]:
    return (await told_until(talk, "approval_wanted", "complete", "error"))[-1]


async def test_a_write_is_asked_for_and_made_once_it_is_allowed(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        (work.place / "out.txt").write_text("old\nsame\n")
        upstream.play(calls(ToolUse("toolu_0", "Read", {"file_path": str(work.place / "out.txt")})))
        work.will_write(content="new\nsame\n")
        upstream.play(says("Done."))
        await talk.send("write")
        asked = await wanted(talk)
        assert (asked["tool_name"], asked["tool_id"], asked["always"]) == ("Write", "toolu_1", "Write")
        assert asked["shown"] == {
            "kind": "diff",
            "path": "out.txt",
            "diff": "--- a/out.txt\n+++ b/out.txt\n@@ -1,2 +1,2 @@\n-old\n+new\n same\n",
            "truncated": False,
        }
        (listed,) = await work.waiting()
        assert listed["id"] == asked["approval_id"]
        assert listed["turn_id"] == asked["turn_id"]
        assert work.holds() == "old\nsame\n"
        answer = await work.answer(asked["approval_id"], "allow")
        assert (answer.status_code, answer.json()["decision"]) == (200, "allow")
        rest = await told_until(talk, "complete", "error")
        (settled,) = [one for one in rest if one["type"] == "approval_settled"]
        assert (settled["decision"], settled["by"], settled["edited"]) == ("allow", "person", False)
        assert rest[-1]["type"] == "complete"
        assert work.holds() == "new\nsame\n"
        assert await work.waiting() == []
        again = await work.answer(asked["approval_id"], "deny")
        assert again.status_code == 409


async def test_a_denial_reaches_the_model_in_the_persons_words(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        work.will_write()
        upstream.play(says("Then not."))
        await talk.send("write")
        asked = await wanted(talk)
        assert (await work.answer(asked["approval_id"], "deny", message="not this file")).status_code == 200
        assert (await told_until(talk, "complete", "error"))[-1]["type"] == "complete"
        assert work.holds() is None
        assert work.told == ["not this file"]


async def test_edited_input_is_what_is_done(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        work.will_write()
        upstream.play(says("Done."))
        await talk.send("write")
        id_ = (await wanted(talk))["approval_id"]
        outside = {"file_path": str(tmp_path / "planted"), "content": "x"}
        protected = {"file_path": str(work.place / ".claude/settings.json"), "content": "x"}
        for arguments in (outside, protected):
            refused = await work.answer(id_, "allow", input=arguments)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")
        edited = {"file_path": str(work.place / "out.txt"), "content": "edited\n"}
        assert (await work.answer(id_, "allow", input=edited)).json()["edited"] is True
        await told_until(talk, "complete", "error")
        assert work.holds() == "edited\n"
        assert not (tmp_path / "planted").exists()


async def test_allowed_for_good_it_is_not_asked_again_in_this_session(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        work.will_write("one.txt")
        work.will_write("two.txt", tool_id="toolu_2")
        upstream.play(says("Done."))
        await talk.send("write")
        await work.answer((await wanted(talk))["approval_id"], "allow-always")
        told = await told_until(talk, "complete", "error")
        assert [one["by"] for one in told if one["type"] == "approval_settled"] == ["person", "rule"]
        # The next turn is another process.
        work.will_write("three.txt", tool_id="toolu_3")
        upstream.play(says("Done."))
        await talk.send("again")
        await told_until(talk, "complete", "error")
        assert [work.holds(name) for name in ("one.txt", "two.txt", "three.txt")] == ["new\n"] * 3
        assert sorted(path.name for path in work.place.iterdir()) == ["one.txt", "three.txt", "two.txt"]


async def test_nobody_answering_is_a_denial(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream, approval_s=0.2) as work:
        work.will_write()
        upstream.play(says("Then not."))
        answer = await ask(work.gateway, "write", session=work.session)
        assert answer.json()["choices"][0]["message"]["content"] == "Then not."
        assert work.holds() is None
        assert work.told == ["Nobody answered within 0.2 seconds, so this call is denied."]


async def test_an_interrupt_settles_what_is_open(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        work.will_write()
        await talk.send("write")
        id_ = (await wanted(talk))["approval_id"]
        await work.gateway.http.post(f"/v1/sessions/{work.session}/interrupt")
        told = await told_until(talk, "error")
        (settled,) = [one for one in told if one["type"] == "approval_settled"]
        assert (settled["approval_id"], settled["decision"], settled["by"]) == (id_, "deny", "end")
        assert (await work.answer(id_, "allow")).status_code == 409
        assert work.holds() is None


async def test_it_survives_a_reconnect(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work:
        work.will_write()
        upstream.play(says("Done."))
        async with socket(work.gateway, work.session) as talk:
            await talk.send("write")
            before = await told_until(talk, "approval_wanted")
        async with socket(work.gateway, work.session) as talk:
            await talk.send(json.dumps({"type": "resume", "after": before[-2]["id"]}))
            asked = await wanted(talk)
            assert asked == before[-1]
            await talk.send(json.dumps({"type": "approval", "id": asked["approval_id"], "decision": "allow"}))
            told = await told_until(talk, "complete", "error")
            assert {"approval_answered", "approval_settled"} <= {one["type"] for one in told}
        assert work.holds() == "new\n"


async def test_a_plain_stream_stays_open_until_somebody_decides(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session):
        work.will_write()
        upstream.play(says("Done."))
        asking = asyncio.create_task(ask(work.gateway, "write", session=work.session, stream=True))
        while not (waiting := await work.waiting()):
            assert not asking.done()
        await work.answer(waiting[0]["id"], "allow")
        answer = await asking
        assert "Done." in answer.text
        assert work.holds() == "new\n"


async def test_what_the_profile_does_not_have_is_never_asked_for(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        upstream.play(
            calls(
                ToolUse("toolu_1", "Bash", {"command": "touch x"}),
                ToolUse("toolu_2", "Write", {"file_path": str(tmp_path / "planted"), "content": "x"}),
                ToolUse("toolu_3", "Write", {"file_path": str(work.place / ".claude/settings.json"), "content": "{}"}),
                ToolUse("toolu_4", "Write", {"file_path": str(work.place / ".mcp.json"), "content": "{}"}),
                ToolUse("toolu_5", "Write", {"file_path": str(work.place / ".git/hooks/pre-commit"), "content": "x"}),
            )
        )
        upstream.play(says("I could not."))
        await talk.send("try")
        told = await told_until(talk, "complete", "error", "approval_wanted")
        assert told[-1]["type"] == "complete"
        assert [result["is_error"] for result in results_upstream(upstream)] == [True] * 5
        assert list(work.place.iterdir()) == []
        assert not (tmp_path / "planted").exists()


async def test_a_question_is_answered_like_a_call(tmp_path: Path, upstream: StandIn) -> None:
    option = [{"label": label, "description": label} for label in ("red", "blue")]
    question = {"question": "Which colour?", "header": "Colour", "multiSelect": False, "options": option}
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        upstream.play(calls(ToolUse("toolu_1", "AskUserQuestion", {"questions": [question]})))
        upstream.play(says("Blue it is."))
        await talk.send("choose")
        asked = await wanted(talk)
        assert asked["shown"] == {"kind": "questions", "questions": asked["arguments"]["questions"]}
        assert asked["always"] is None
        refused = await work.answer(asked["approval_id"], "allow_always")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "decision")
        answers = {**asked["arguments"], "answers": {"Which colour?": "blue"}}
        await work.answer(asked["approval_id"], "allow", input=answers)
        await told_until(talk, "complete", "error")
        assert '"Which colour?"="blue"' in work.told[0]


async def test_a_plan_is_approved_and_then_carried_out(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream, "plan") as work, socket(work.gateway, work.session) as talk:
        work.will_write("early.txt")
        upstream.play(calls(ToolUse("toolu_2", "ExitPlanMode", {"plan": "1. write"})))
        work.will_write(tool_id="toolu_3")
        upstream.play(says("Done."))
        await talk.send("plan")
        asked = await wanted(talk)
        assert asked["shown"] == {"kind": "plan", "plan": "1. write"}
        assert work.holds("early.txt") is None
        assert "plan mode" in work.told[0]
        await work.answer(asked["approval_id"], "allow")
        assert (await told_until(talk, "complete", "error", "approval_wanted"))[-1]["type"] == "complete"
        assert work.holds() == "new\n"
        assert await work.mode() == "accept_edits"


async def test_the_mode_changes_in_the_middle_of_a_turn(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        work.will_write("one.txt")
        work.will_write("two.txt", tool_id="toolu_2")
        upstream.play(says("Done."))
        await talk.send("write")
        asked = await wanted(talk)
        changed = await work.gateway.http.post(f"/v1/sessions/{work.session}/mode", json={"mode": "accept_edits"})
        assert (changed.status_code, changed.json()["running_turns"]) == (200, 1)
        await work.answer(asked["approval_id"], "deny")
        assert (await told_until(talk, "complete", "error", "approval_wanted"))[-1]["type"] == "complete"
        assert (work.holds("one.txt"), work.holds("two.txt")) == (None, "new\n")
        assert await work.mode() == "accept_edits"


async def test_a_turn_that_began_without_asking_can_be_told_to_ask(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream, "auto") as work, socket(work.gateway, work.session) as talk:
        work.will_write("one.txt")
        upstream.play(says("Done."))
        await talk.send("write")
        assert (await told_until(talk, "complete", "error", "approval_wanted"))[-1]["type"] == "complete"
        assert offered_upstream(upstream) == {"Read", "Edit", "Write"}
        assert work.holds("one.txt") == "new\n"
        await talk.send(json.dumps({"type": "mode", "mode": "ask"}))
        assert (await told_until(talk, "mode"))[-1]["mode"] == "ask"
        work.will_write("two.txt", tool_id="toolu_2")
        upstream.play(says("Done."))
        await talk.send("write")
        await work.answer((await wanted(talk))["approval_id"], "allow")
        await told_until(talk, "complete", "error")
        assert offered_upstream(upstream) == {"Read", "Edit", "Write", "ExitPlanMode", "AskUserQuestion"}
        assert work.holds("two.txt") == "new\n"


async def test_a_person_who_thinks_is_not_the_models_silence(
    tmp_path: Path, upstream: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdogs = Impatient.over_all(monkeypatch)
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        work.will_write()
        upstream.play(says("Done."))
        await talk.send("write")
        asked = await wanted(talk)
        # The person thinks, ten times as long as the model may be silent.
        for _ in range(10):
            for dog in watchdogs:
                dog.run_out()
        await work.answer(asked["approval_id"], "allow")
        assert (await told_until(talk, "complete", "error"))[-1]["type"] == "complete"
        assert work.holds() == "new\n"


async def test_ids_of_others_and_ids_of_nobody(tmp_path: Path, upstream: StandIn) -> None:
    async with worker(tmp_path, upstream) as work, socket(work.gateway, work.session) as talk:
        work.will_write()
        upstream.play(says("Done."))
        await talk.send("write")
        asked = await wanted(talk)
        other = (await work.gateway.http.post("/v1/sessions", json={})).json()["id"]
        for session, id_ in ((work.session, SOME_ID), (other, asked["approval_id"]), (SOME_ID, asked["approval_id"])):
            path = f"/v1/sessions/{session}/approvals/{id_}"
            assert (await work.gateway.http.post(path, json={"decision": "allow"})).status_code == 404
        assert len(await work.waiting()) == 1
        await work.answer(asked["approval_id"], "deny")
        await told_until(talk, "complete", "error")
