"""Approvals over REST and the WebSocket, of a scripted agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.engine.scripted import AskFor, ScriptedEngine, Step
from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.flow.key_records import Scope
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Plan
from claude_code_api.flow.records import Mode
from claude_code_api.turn.approvals import Decision, Settler, Verdict
from claude_code_api.turn.events import ApprovalWanted, PartDelta, PartEnded, PartKind, PartStarted
from claude_code_api.turn.profile import Profile
from tests.http.loopback import KEY, SOME_ID, Running, answer_events, asking, running, says
from tests.http.test_live import socket, told_until

OTHER_KEY = "cca-somebody-elses"
TENANTS = Access(
    {
        digest_of(key): Caller(name, admin=False, highest=Profile.FULL)
        for key, name in ((KEY, "tests"), (OTHER_KEY, "others"))
    }
)
PLAN = {"kind": "plan", "plan": "1. write"}


def says_(index: int, text: str) -> list[Any]:
    return [PartStarted(index, PartKind.TEXT), PartDelta(index, text), PartEnded(index)]


def agent(always: str = "Write", shown: dict[str, Any] | None = None) -> ScriptedEngine:
    """Wants to write, and says what became of that."""

    def script(plan: Plan) -> Sequence[Step]:
        first, *_, usage, ended = answer_events(plan)
        wanted = ApprovalWanted(
            f"approval-of-{plan.turn_id}", "toolu_1", "Write", {"file_path": "a"}, shown or {"kind": "diff"}, always
        )
        return [first, AskFor(wanted, says_(0, "written"), says_(0, "not written")), usage, ended]

    return ScriptedEngine(script)


@asynccontextmanager
async def at_work(engine: ScriptedEngine, *, mode: str = "ask", **flow: Any) -> AsyncIterator[tuple[Running, str]]:
    async with running(engine, access=TENANTS, flow=FlowOptions(**flow)) as gateway:
        body = {"name": "p", "profile": "edit", "mode": mode}
        project = (await gateway.http.post("/v1/projects", json=body)).json()
        assert project["mode"] == mode
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()
        assert session["mode"] == mode
        yield gateway, session["id"]


async def asked(gateway: Running, session: str) -> dict[str, Any]:
    """Wait for the one question of a session."""
    while True:
        found = (await gateway.http.get(f"/v1/sessions/{session}/approvals")).json()
        if found["data"]:
            assert (found["object"], found["has_more"], found["total"]) == ("list", False, 1)
            return found["data"][0]  # type: ignore[no-any-return]


def path_of(session: str, id_: str) -> str:
    return f"/v1/sessions/{session}/approvals/{id_}"


@pytest.mark.parametrize(
    ("decision", "answer"),
    [("allow", "written"), ("deny", "not written"), ("allow_always", "written"), ("allow-always", "written")],
)
async def test_a_plain_client_waits_for_what_a_person_says(decision: str, answer: str) -> None:
    async with at_work(agent()) as (gateway, session):
        headers = {"x-session-id": session}
        turn = asyncio.create_task(gateway.http.post("/v1/chat/completions", json=asking(), headers=headers))
        question = await asked(gateway, session)
        assert (question["object"], question["tool_name"], question["always"]) == ("approval", "Write", "Write")
        answered = await gateway.http.post(path_of(session, question["id"]), json={"decision": decision})
        expected = {"decision": decision.replace("-", "_"), "edited": False}
        assert answered.json() == {"id": question["id"], "object": "approval", **expected}
        assert (await turn).json()["choices"][0]["message"]["content"] == answer
        assert (await turn).headers["x-session-id"] == session


async def test_what_a_person_says_reaches_the_engine_once() -> None:
    engine = agent()
    async with at_work(engine) as (gateway, session), socket(gateway, session) as talk:
        await talk.send("go")
        wanted = (await told_until(talk, "approval_wanted"))[-1]
        body = {"decision": "allow", "input": {"file_path": "b"}, "message": "m"}
        answers = await asyncio.gather(
            *(gateway.http.post(path_of(session, wanted["approval_id"]), json=body) for _ in range(8))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        told = await told_until(talk, "complete")
        assert engine.verdicts == [Verdict(Decision.ALLOW, message="m", arguments={"file_path": "b"})]
        (settled,) = [one for one in told if one["type"] == "approval_settled"]
        assert (settled["edited"], settled["by"], settled["tool_id"]) == (True, "person", "toolu_1")


async def test_over_the_socket() -> None:
    async with at_work(agent()) as (gateway, session), socket(gateway, session) as talk:
        await talk.send("go")
        wanted = (await told_until(talk, "approval_wanted"))[-1]
        for wrong, param in (
            ({"decision": "perhaps"}, "decision"),
            ({}, "decision"),
            ({"decision": "allow", "input": []}, "input"),
            ({"decision": "allow", "id": SOME_ID}, "approval_id"),
        ):
            await talk.send(json.dumps({"type": "approval", "id": wanted["approval_id"], **wrong}))
            assert (await told_until(talk, "error"))[-1]["param"] == param
        message = {"type": "approval", "id": wanted["approval_id"], "decision": "deny", "message": "no"}
        await talk.send(json.dumps(message))
        told = await told_until(talk, "complete")
        answered = next(one for one in told if one["type"] == "approval_answered")
        assert (answered["approval_id"], answered["decision"]) == (wanted["approval_id"], "deny")
        await talk.send(json.dumps(message))
        assert (await told_until(talk, "error"))[-1]["code"] == "conflict"


async def test_whoever_comes_back_sees_what_waits_and_what_was_decided() -> None:
    async with at_work(agent()) as (gateway, session):
        async with socket(gateway, session) as talk:
            await talk.send("go")
            wanted = (await told_until(talk, "approval_wanted"))[-1]
        async with socket(gateway, session) as talk:
            await talk.send(json.dumps({"type": "resume", "after": wanted["id"] - 1}))
            assert (await told_until(talk, "approval_wanted")) == [wanted]
        await gateway.http.post(path_of(session, wanted["approval_id"]), json={"decision": "allow"})
        async with socket(gateway, session) as talk:
            await talk.send(json.dumps({"type": "resume", "after": wanted["id"] - 1}))
            told = await told_until(talk, "complete")
            assert [one["type"] for one in told[:2]] == ["approval_wanted", "approval_settled"]
            assert told[0] == wanted


async def test_nobody_answering_is_a_denial_after_the_stated_time() -> None:
    engine = agent()
    async with at_work(engine, approval_s=0.05) as (gateway, session):
        answer = await gateway.http.post("/v1/chat/completions", json=asking(), headers={"x-session-id": session})
        assert answer.json()["choices"][0]["message"]["content"] == "not written"
        assert [verdict.by for verdict in engine.verdicts] == [Settler.TIME]


async def test_the_turns_own_limit_stays() -> None:
    async with at_work(agent(), turn_s=0.1) as (gateway, session), socket(gateway, session) as talk:
        await talk.send("go")
        told = await told_until(talk, "error")
        assert [one["type"] for one in told][-3:] == ["approval_wanted", "approval_settled", "error"]
        assert (told[-2]["decision"], told[-2]["by"]) == ("deny", "end")
        assert "longer than 0.1 seconds" in told[-1]["error"]


async def test_an_interrupt_settles_what_waits() -> None:
    async with at_work(agent()) as (gateway, session), socket(gateway, session) as talk:
        await talk.send("go")
        wanted = (await told_until(talk, "approval_wanted"))[-1]
        await gateway.http.post(f"/v1/sessions/{session}/interrupt")
        assert [one["type"] for one in await told_until(talk, "error")] == ["approval_settled", "error"]
        late = await gateway.http.post(path_of(session, wanted["approval_id"]), json={"decision": "allow"})
        assert late.status_code == 409


async def test_a_plain_client_that_leaves_takes_its_question_with_it() -> None:
    async with at_work(agent()) as (gateway, session):
        headers = {"x-session-id": session}
        turn = asyncio.create_task(gateway.http.post("/v1/chat/completions", json=asking(), headers=headers))
        question = await asked(gateway, session)
        turn.cancel()
        await asyncio.wait([turn])
        while gateway.engine.running:
            await gateway.http.get(f"/v1/sessions/{session}")
        assert (await gateway.http.get(f"/v1/sessions/{session}/approvals")).json()["data"] == []
        late = await gateway.http.post(path_of(session, question["id"]), json={"decision": "allow"})
        assert late.status_code == 409


async def test_what_is_somebody_elses_is_like_what_never_was() -> None:
    async with at_work(agent()) as (gateway, session), socket(gateway, session) as talk:
        await talk.send("go")
        wanted = (await told_until(talk, "approval_wanted"))[-1]
        id_ = wanted["approval_id"]
        async with gateway.client(authorization=f"Bearer {OTHER_KEY}") as other:
            own = (await other.post("/v1/sessions", json={})).json()["id"]
            assert _same(
                await other.get(f"/v1/sessions/{session}/approvals"),
                await other.get(f"/v1/sessions/{SOME_ID}/approvals"),
            )
            for session_id in (session, own, SOME_ID):
                for body in ({"decision": "allow"}, {"decision": "deny"}):
                    theirs = await other.post(path_of(session_id, id_), json=body)
                    nobodys = await other.post(path_of(session_id, SOME_ID), json=body)
                    assert _same(theirs, nobodys)
                    assert theirs.status_code == 404
            turn = {"turn_id": wanted["turn_id"]}
            for rest in ("/rewind", "/files"):
                method, sent = ("POST", turn) if rest == "/rewind" else ("GET", None)
                theirs = await other.request(method, f"/v1/sessions/{session}{rest}", json=sent)
                nobodys = await other.request(method, f"/v1/sessions/{SOME_ID}{rest}", json=sent)
                assert _same(theirs, nobodys)
                assert theirs.status_code == 404
            in_own = await other.post(f"/v1/sessions/{own}/rewind", json=turn)
            assert _same(in_own, await other.post(f"/v1/sessions/{own}/rewind", json={"turn_id": SOME_ID}))
            mode = {"mode": "auto"}
            assert _same(
                await other.post(f"/v1/sessions/{session}/mode", json=mode),
                await other.post(f"/v1/sessions/{SOME_ID}/mode", json=mode),
            )
        assert gateway.engine.modes == []
        await gateway.http.post(path_of(session, id_), json={"decision": "allow"})
        await told_until(talk, "complete")


def _same(one: httpx2.Response, other: httpx2.Response) -> bool:
    return (one.status_code, one.content) == (other.status_code, other.content)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "maybe"},
        {"decision": "allow", "input": "x"},
        {"decision": "allow", "more": 1},
        {"decision": "allow", "input": {"content": "\ud800"}},
        {"decision": "allow", "input": {"content": 2**64}},
        {"decision": "deny", "message": "\ud800"},
        {"decision": "deny", "message": "x" * 10_001},
    ],
)
async def test_what_is_no_decision(body: dict[str, Any]) -> None:
    engine = agent()
    async with at_work(engine) as (gateway, session), socket(gateway, session) as talk:
        await talk.send("go")
        id_ = (await told_until(talk, "approval_wanted"))[-1]["approval_id"]
        headers = {"content-type": "application/json"}
        answer = await gateway.http.post(path_of(session, id_), content=json.dumps(body), headers=headers)
        assert answer.status_code in (400, 422)
        await talk.send(json.dumps({"type": "approval", "id": id_, **body, "more": 1}))
        if "more" not in body:
            assert (await told_until(talk, "error"))[-1]["code"] in {"invalid_request", "invalid_json"}
            assert engine.verdicts == []
        await gateway.http.post(path_of(session, id_), json={"decision": "deny"})
        await told_until(talk, "complete")


class TestModes:
    async def test_an_agent_is_told_whom_to_ask(self) -> None:
        engine = says("x")
        async with at_work(engine) as (gateway, session):
            for mode in ("plan", "accept_edits", "auto"):
                answer = await gateway.http.post(f"/v1/sessions/{session}/mode", json={"mode": mode})
                expected = {"id": session, "object": "session.mode", "mode": mode, "running_turns": 0}
                assert answer.json() == expected
                await gateway.http.post("/v1/chat/completions", json=asking(), headers={"x-session-id": session})
            assert [plan.mode for plan in engine.plans] == [Mode.PLAN, Mode.ACCEPT_EDITS, Mode.AUTO]

    async def test_it_can_be_patched_forked_and_is_auto_unless_said(self) -> None:
        async with at_work(says("x")) as (gateway, session):
            patched = await gateway.http.patch(f"/v1/sessions/{session}", json={"mode": "plan"})
            assert patched.json()["mode"] == "plan"
            fork = await gateway.http.post(f"/v1/sessions/{session}/fork", json={})
            assert fork.json()["mode"] == "plan"
            assert (await gateway.http.post("/v1/sessions", json={})).json()["mode"] == "auto"
            assert (await gateway.http.post("/v1/projects", json={"name": "q"})).json()["mode"] == "auto"
            project = (await gateway.http.get("/v1/projects")).json()["data"][0]["id"]
            changed = await gateway.http.patch(f"/v1/projects/{project}", json={"mode": "ask"})
            assert changed.json()["mode"] == "ask"
            for wrong in ({"mode": "bypassPermissions"}, {}):
                assert (await gateway.http.post(f"/v1/sessions/{session}/mode", json=wrong)).status_code == 422

    async def test_a_running_turn_changes_too(self) -> None:
        engine = agent()
        async with at_work(engine) as (gateway, session), socket(gateway, session) as talk:
            await talk.send("go")
            wanted = (await told_until(talk, "approval_wanted"))[-1]
            await talk.send(json.dumps({"type": "mode", "mode": "accept_edits"}))
            told = (await told_until(talk, "mode"))[-1]
            assert told == {"type": "mode", "mode": "accept_edits", "running_turns": 1, "session_id": session}
            assert engine.modes == [Mode.ACCEPT_EDITS]
            await talk.send(json.dumps({"type": "mode", "mode": "none"}))
            assert (await told_until(talk, "error"))[-1]["param"] == "mode"
            await gateway.http.post(path_of(session, wanted["approval_id"]), json={"decision": "deny"})
            await told_until(talk, "complete")

    @pytest.mark.parametrize(("decision", "mode"), [("allow", "accept_edits"), ("deny", "plan")])
    async def test_an_approved_plan_is_carried_out(self, decision: str, mode: str) -> None:
        async with at_work(agent("", PLAN), mode="plan") as (gateway, session), socket(gateway, session) as talk:
            await talk.send("go")
            wanted = (await told_until(talk, "approval_wanted"))[-1]
            assert wanted["shown"] == PLAN
            await gateway.http.post(path_of(session, wanted["approval_id"]), json={"decision": decision})
            await told_until(talk, "complete")
            assert (await gateway.http.get(f"/v1/sessions/{session}")).json()["mode"] == mode


@pytest.mark.parametrize("scopes", [{Scope.TURNS}, {Scope.TURNS, Scope.USAGE}])
async def test_who_may_only_speak_decides_nothing(scopes: set[Scope]) -> None:
    speaker = Caller("tests", admin=False, highest=Profile.FULL, scopes=frozenset(scopes))
    access = Access({digest_of(KEY): Caller("tests", admin=False, highest=Profile.FULL), digest_of("s"): speaker})
    engine = agent()
    async with running(engine, access=access) as gateway:
        project = (await gateway.http.post("/v1/projects", json={"name": "p", "profile": "edit", "mode": "ask"})).json()
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()["id"]
        async with socket(gateway, session, key="s") as talk, gateway.client(authorization="Bearer s") as client:
            await talk.send("go")
            id_ = (await told_until(talk, "approval_wanted"))[-1]["approval_id"]
            for message in ({"type": "approval", "id": id_, "decision": "allow"}, {"type": "mode", "mode": "auto"}):
                await talk.send(json.dumps(message))
                assert (await told_until(talk, "error"))[-1]["code"] == "forbidden"
            assert (await client.post(path_of(session, id_), json={"decision": "allow"})).status_code == 403
            assert (await client.get(f"/v1/sessions/{session}/approvals")).status_code == 403
            assert (await client.post(f"/v1/sessions/{session}/mode", json={"mode": "auto"})).status_code == 403
            assert (engine.verdicts, engine.modes) == ([], [])
            await gateway.http.post(path_of(session, id_), json={"decision": "deny"})
            await told_until(talk, "complete")


async def test_modes_and_profiles_are_kept(tmp_path: Path) -> None:
    async with running(says("x"), data_dir=tmp_path) as gateway:
        session = (await gateway.http.post("/v1/sessions", json={"mode": "plan"})).json()["id"]
    async with running(says("x"), data_dir=tmp_path) as gateway:
        assert (await gateway.http.get(f"/v1/sessions/{session}")).json()["mode"] == "plan"
