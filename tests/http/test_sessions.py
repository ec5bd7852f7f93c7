"""Sessions over HTTP: which one a turn belongs to, and what can be done with them."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step, WaitFor
from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Ended, EndReason, Failed, PartDelta, PartEnded, PartKind, PartStarted, Started
from claude_code_api.turn.request import Message, TextBlock
from tests.flow.talk import call, claude, result, thought, you
from tests.http.loopback import CHAT, KEY, SOME_ID, Door, Running, answer_events, running, says

OTHER_KEY = "cca-somebody-elses"
TWO_TENANTS = Access(
    {digest_of(KEY): Caller("tests", admin=False), digest_of(OTHER_KEY): Caller("others", admin=False)}
)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def echoes() -> ScriptedEngine:
    """Answers "re: " and the last words."""
    return ScriptedEngine(lambda plan: answer_events(plan, "re: ", words(plan.request.messages[-1])))


def words(message: Message) -> str:
    return "".join(block.text for block in message.blocks if isinstance(block, TextBlock))


async def say(
    gateway: Running,
    *messages: Message,
    session: str | None = None,
    client: httpx2.AsyncClient | None = None,
    **more: Any,
) -> httpx2.Response:
    headers = {"x-session-id": session} if session is not None else {}
    body = {"model": "sonnet", "messages": [plainly(message) for message in messages], **more}
    return await (client or gateway.http).post(CHAT, json=body, headers=headers)


def plainly(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": words(message)}


def last_plan(gateway: Running) -> Plan:
    plan: Plan = gateway.engine.plans[-1]
    return plan


async def get(gateway: Running, path: str, **params: Any) -> Any:
    answer = await gateway.http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestWhichSession:
    async def test_every_turn_has_one(self) -> None:
        async with running(echoes()) as gateway:
            first, second = await say(gateway, you("a")), await say(gateway, you("b"), stream=True)
            ids = {answer.headers["x-session-id"] for answer in (first, second)}
            assert len(ids) == 2
            assert all(UUID.fullmatch(id_) for id_ in ids)

    async def test_the_server_holds_the_history(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            again = await say(gateway, you("b"), session=session)
            assert again.headers["x-session-id"] == session
            assert last_plan(gateway).request.messages == (you("a"), claude("re: a"), you("b"))

    async def test_what_is_sent_again_is_not_doubled(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            again = await say(gateway, you("a"), claude("re: a"), you("b"), session=session)
            assert again.headers["x-session-id"] == session
            assert last_plan(gateway).request.messages == (you("a"), claude("re: a"), you("b"))
            assert (await get(gateway, f"/v1/sessions/{session}"))["message_count"] == 4

    async def test_a_history_finds_its_session(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            again = await say(gateway, you("a"), claude(" re: a\n"), you("b"))
            assert again.headers["x-session-id"] == session
            third = await say(gateway, you("a"), claude("re: a"), you("b"), claude("re: b"), you("c"))
            assert third.headers["x-session-id"] == session
            assert (await get(gateway, f"/v1/sessions/{session}"))["turn_count"] == 3

    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param((you("a"),), id="the same question"),
            pytest.param((you("A"), claude("re: a"), you("b")), id="an edited question"),
            pytest.param((you("a"), claude("no"), you("b")), id="an edited answer"),
            pytest.param((you("x"), claude("y"), you("b")), id="something else"),
        ],
    )
    async def test_any_other_history_begins_one(self, sent: tuple[Message, ...]) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            again = await say(gateway, *sent)
            assert again.headers["x-session-id"] != session
            assert last_plan(gateway).request.messages == sent

    async def test_an_edited_history_leaves_the_named_session_as_it_is(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            again = await say(gateway, you("a"), claude("edited"), you("b"), session=session)
            assert again.headers["x-session-id"] != session
            assert last_plan(gateway).request.messages == (you("a"), claude("edited"), you("b"))
            assert (await get(gateway, f"/v1/sessions/{session}"))["message_count"] == 2

    @pytest.mark.parametrize("session", [SOME_ID, "lost", "'; drop table sessions", "x" * 5000])
    async def test_an_unknown_id_begins_one(self, session: str) -> None:
        async with running(echoes()) as gateway:
            answer = await say(gateway, you("a"), session=session)
            assert answer.status_code == 200
            assert UUID.fullmatch(answer.headers["x-session-id"])
            assert answer.headers["x-session-id"] != session

    async def test_somebody_elses_is_like_an_unknown_one(self) -> None:
        async with running(echoes(), access=TWO_TENANTS) as gateway:
            session = (await say(gateway, you("secret"))).headers["x-session-id"]
            async with gateway.client(authorization=f"Bearer {OTHER_KEY}") as other:
                by_id = await say(gateway, you("b"), session=session, client=other)
                by_history = await say(gateway, you("secret"), claude("re: secret"), you("c"), client=other)
                assert len({session, by_id.headers["x-session-id"], by_history.headers["x-session-id"]}) == 3
                assert gateway.engine.plans[1].request.messages == (you("b"),)
                for method, path in [
                    ("GET", ""),
                    ("PATCH", ""),
                    ("DELETE", ""),
                    ("GET", "/messages"),
                    ("POST", "/fork"),
                    ("POST", "/interrupt"),
                    ("GET", "/export"),
                ]:
                    body: dict[str, Any] | None = {} if method in ("POST", "PATCH") else None
                    foreign = await other.request(method, f"/v1/sessions/{session}{path}", json=body)
                    unknown = await other.request(method, f"/v1/sessions/{SOME_ID}{path}", json=body)
                    assert foreign.status_code == 404, (method, path)
                    assert foreign.content == unknown.content
                assert session not in (await other.get("/v1/sessions")).text
            assert (await get(gateway, f"/v1/sessions/{session}"))["message_count"] == 2

    async def test_an_expired_one_is_no_longer_continued_until_it_is_extended(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            path = f"/v1/sessions/{session}"
            assert (await gateway.http.patch(path, json={"expires_after": 1e-6})).json()["is_active"] is False
            assert (await say(gateway, you("b"), session=session)).headers["x-session-id"] != session
            assert (await say(gateway, you("a"), claude("re: a"), you("b"))).headers["x-session-id"] != session
            assert session not in {one["id"] for one in (await get(gateway, "/v1/sessions"))["data"]}
            assert session in {one["id"] for one in (await get(gateway, "/v1/sessions", expired=True))["data"]}
            assert (await gateway.http.patch(path, json={"expires_after": None})).json()["expires_at"] is None
            assert (await say(gateway, you("b"), session=session)).headers["x-session-id"] == session

    async def test_model_and_system_prompt_may_change(self) -> None:
        async with running(echoes()) as gateway:
            first = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "a"}]
            answer = await gateway.http.post(CHAT, json={"model": "sonnet", "messages": first})
            session = answer.headers["x-session-id"]
            await say(gateway, you("b"), session=session)
            assert last_plan(gateway).request.system == (TextBlock("be brief"),)
            second = [{"role": "system", "content": "be long"}, {"role": "user", "content": "c"}]
            body = {"model": "opus", "messages": second, "session_id": session}
            assert (await gateway.http.post(CHAT, json=body)).headers["x-session-id"] == session
            assert last_plan(gateway).request.system == (TextBlock("be long"),)
            described = await get(gateway, f"/v1/sessions/{session}")
            assert (described["model"], described["system_prompt"]) == ("opus", "be long")

    async def test_it_goes_on_after_the_gateway_has_gone(self, tmp_path: Path) -> None:
        async with running(echoes(), data_dir=tmp_path / "here") as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
        (tmp_path / "here").rename(tmp_path / "there")
        async with running(echoes(), data_dir=tmp_path / "there") as gateway:
            assert (await say(gateway, you("b"), session=session)).headers["x-session-id"] == session
            assert last_plan(gateway).request.messages == (you("a"), claude("re: a"), you("b"))


class TestThoughtsAndCalls:
    """What a client of this dialect cannot carry goes back to the model from the session."""

    @staticmethod
    def calls_after_thinking() -> ScriptedEngine:
        def script(plan: Plan) -> list[Step]:
            if len(plan.request.messages) > 1:
                return answer_events(plan, "it is 42")
            return [
                Started(plan.turn_id, plan.model, plan.created_s),
                PartStarted(0, PartKind.THINKING),
                PartDelta(0, "hm"),
                PartEnded(0, "signature of hm"),
                PartStarted(1, PartKind.TOOL, "toolu_1", "lookup"),
                PartDelta(1, '{"a": "b"}'),
                PartEnded(1),
                Ended(EndReason.TOOL_USE),
            ]

        return ScriptedEngine(script)

    @pytest.mark.parametrize("whole", [True, False])
    async def test_the_thought_comes_back_before_the_call(self, whole: bool) -> None:
        async with running(self.calls_after_thinking()) as gateway:
            first = await say(gateway, you("what is it?"))
            message = first.json()["choices"][0]["message"]
            assert message["tool_calls"][0]["id"] == "toolu_1"
            answered = {"role": "tool", "tool_call_id": "toolu_1", "content": "42"}
            history = [{"role": "user", "content": "what is it?"}, message] if whole else []
            session = first.headers["x-session-id"]
            headers = {} if whole else {"x-session-id": session}
            body = {"model": "sonnet", "messages": [*history, answered]}
            second = await gateway.http.post(CHAT, json=body, headers=headers)
            assert second.headers["x-session-id"] == session
            assert last_plan(gateway).request.messages == (
                you("what is it?"),
                claude(thought("hm"), call("toolu_1", a="b")),
                you(result("toolu_1", "42")),
            )
            kept = (await get(gateway, f"/v1/sessions/{session}/messages"))["data"]
            assert [block["type"] for block in kept[1]["content"]] == ["thinking", "tool_use"]

    async def test_results_that_answer_nothing_are_refused_with_their_id(self) -> None:
        async with running(self.calls_after_thinking()) as gateway:
            session = (await say(gateway, you("what is it?"))).headers["x-session-id"]
            for wrong, message in [
                ([{"role": "tool", "tool_call_id": "toolu_9", "content": "42"}], '"toolu_9" answers no call'),
                ([{"role": "user", "content": "never mind"}], 'waits for the results of these calls: "toolu_1"'),
            ]:
                body = {"model": "sonnet", "messages": wrong}
                answer = await gateway.http.post(CHAT, json=body, headers={"x-session-id": session})
                assert answer.status_code == 400
                assert message in answer.json()["error"]["message"]
            assert len(gateway.engine.plans) == 1
            assert (await get(gateway, f"/v1/sessions/{session}"))["message_count"] == 2


class TestOneWriter:
    async def test_a_second_request_waits_for_the_first(self) -> None:
        door = Door()

        def script(plan: Plan) -> list[Step]:
            steps = answer_events(plan, "re: ", words(plan.request.messages[-1]))
            return [*steps[:1], WaitFor(door), *steps[1:]] if len(plan.request.messages) == 3 else steps

        async with running(ScriptedEngine(script)) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            second = asyncio.create_task(say(gateway, you("b"), session=session))
            await door.reached.wait()
            third = asyncio.create_task(say(gateway, you("c"), session=session))
            door.set()
            assert (await second).headers["x-session-id"] == (await third).headers["x-session-id"] == session
            assert last_plan(gateway).request.messages == (
                you("a"),
                claude("re: a"),
                you("b"),
                claude("re: b"),
                you("c"),
            )

    async def test_who_would_wait_too_long_is_told_to_come_back(self) -> None:
        door = Door()
        steps = ScriptedEngine(lambda plan: [answer_events(plan)[0], WaitFor(door), *answer_events(plan, "x")[1:]])
        async with running(steps, flow=FlowOptions(session_max_waiting=0)) as gateway:
            made = (await gateway.http.post("/v1/sessions", json={})).json()["id"]
            first = asyncio.create_task(say(gateway, you("a"), session=made))
            await door.reached.wait()
            refused = await say(gateway, you("b"), session=made)
            assert (refused.status_code, refused.headers["retry-after"]) == (409, "5")
            assert refused.json()["error"]["code"] == "conflict"
            door.set()
            assert (await first).status_code == 200

    async def test_two_clients_take_turns(self) -> None:
        async with running(echoes(), flow=FlowOptions(session_max_waiting=100)) as gateway:
            made = (await gateway.http.post("/v1/sessions", json={})).json()["id"]

            async def talk(name: str) -> list[str]:
                return [
                    (await say(gateway, you(f"{name}{n}"), session=made)).json()["choices"][0]["message"]["content"]
                    for n in range(20)
                ]

            answers = await asyncio.gather(talk("a"), talk("b"))
            assert list(answers) == [[f"re: {name}{n}" for n in range(20)] for name in "ab"]
            kept = await all_messages(gateway, made)
            assert len(kept) == 80
            assert [one["number"] for one in kept] == list(range(1, 81))
            asked, said = kept[0::2], kept[1::2]
            assert [f"re: {one['text']}" for one in asked] == [one["text"] for one in said]
            for name in "ab":
                assert [one["text"] for one in asked if one["text"][0] == name] == [f"{name}{n}" for n in range(20)]
            histories = [len(plan.request.messages) for plan in gateway.engine.plans]
            assert histories == list(range(1, 81, 2)), "each turn saw everything before it"


async def all_messages(gateway: Running, session: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = {"after": found[-1]["id"]} if found else {}
        part = await get(gateway, f"/v1/sessions/{session}/messages", limit=33, **after)
        found += part["data"]
        if not part["has_more"]:
            assert part["total"] == len(found)
            return found


class TestAcceptance:
    async def test_the_question_is_kept_before_anything_is_answered(self) -> None:
        door = Door()
        engine = ScriptedEngine(lambda plan: [WaitFor(door), *answer_events(plan, "x")])
        async with running(engine) as gateway:
            asked = asyncio.create_task(say(gateway, you("a"), stream=True))
            await door.reached.wait()
            (session,) = (await get(gateway, "/v1/sessions"))["data"]
            assert (session["message_count"], session["title"]) == (1, "a")
            door.set()
            assert (await asked).headers["x-session-id"] == session["id"]

    async def test_a_question_whose_answer_failed_is_kept_and_comes_again(self) -> None:
        failing = True

        def script(plan: Plan) -> list[Step]:
            busy = Failed(TurnError(ErrorKind.UPSTREAM_OVERLOADED, "busy", source="upstream"))
            return [busy] if failing else answer_events(plan, "at last")

        async with running(ScriptedEngine(script)) as gateway:
            refused = await say(gateway, you("a"))
            assert refused.status_code == 503
            session = refused.headers["x-session-id"]
            failing = False
            again = await say(gateway, you("a"))
            assert again.headers["x-session-id"] == session
            kept = (await get(gateway, f"/v1/sessions/{session}/messages"))["data"]
            assert [one["text"] for one in kept] == ["a", "at last"]

    async def test_what_was_said_before_the_client_left_is_kept(self) -> None:
        door = Door()
        engine = ScriptedEngine(lambda plan: [*answer_events(plan, "half ", "and")[:3], WaitFor(door)])
        async with running(engine) as gateway:
            body = {"model": "sonnet", "messages": [plainly(you("a"))], "stream": True}
            async with gateway.http.stream("POST", CHAT, json=body) as response:
                session = response.headers["x-session-id"]
                await door.reached.wait()
            await gateway.logs.request()
            _, answer = (await get(gateway, f"/v1/sessions/{session}/messages"))["data"]
            assert (answer["text"], answer["truncated"], answer["in_history"]) == ("half ", True, True)
            usage = (await get(gateway, "/v1/usage"))["data"]
            assert (usage[0]["turns"], usage[0]["failed_turns"]) == (1, 0)

    async def test_of_a_stream_that_broke_a_prefix_of_what_is_kept_was_sent(self) -> None:
        broken = Failed(TurnError(ErrorKind.UPSTREAM_ERROR, "gone", source="upstream"))
        engine = ScriptedEngine(lambda plan: [*answer_events(plan, "half ", "of it")[:4], broken])
        async with running(engine) as gateway:
            response = await say(gateway, you("a"), stream=True)
            told = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
            sent = "".join(one["choices"][0]["delta"].get("content") or "" for one in told if "choices" in one)
            assert told[-1]["error"]["code"] == "upstream_error"
            kept = (await get(gateway, f"/v1/sessions/{response.headers['x-session-id']}/messages"))["data"]
            assert kept[1]["text"] == sent == "half of it"
            assert kept[1]["truncated"] is True


class TestSameRequestAgain:
    async def test_fifty_at_once_are_one_turn(self) -> None:
        async with running(echoes()) as gateway:
            body = {"model": "sonnet", "messages": [plainly(you("a"))]}
            key = {"idempotency-key": "order-66"}
            answers = await asyncio.gather(*(gateway.http.post(CHAT, json=body, headers=key) for _ in range(50)))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.headers["x-session-id"] for answer in answers}) == 1
            assert len({answer.content for answer in answers}) == 1
            assert len(gateway.engine.plans) == 1
            later = await gateway.http.post(CHAT, json=body, headers=key)
            assert later.content == answers[0].content
            assert len(gateway.engine.plans) == 1

    async def test_streams_tell_the_same(self) -> None:
        async with running(echoes()) as gateway:
            key = {"idempotency-key": "s"}
            body = {"model": "sonnet", "messages": [plainly(you("a"))], "stream": True}
            first, second = [await gateway.http.post(CHAT, json=body, headers=key) for _ in range(2)]
            assert first.text == second.text
            assert "[DONE]" in first.text

    async def test_another_request_under_the_same_key_is_refused(self) -> None:
        async with running(echoes()) as gateway:
            key = {"idempotency-key": "k"}
            for at, (text, status) in enumerate([("a", 200), ("b", 409), ("a", 200)]):
                body = {"model": "sonnet", "messages": [plainly(you(text))]}
                answer = await gateway.http.post(CHAT, json=body, headers=key)
                assert answer.status_code == status, at
            assert len(gateway.engine.plans) == 1

    async def test_several_answers_too(self) -> None:
        async with running(echoes()) as gateway:
            key = {"idempotency-key": "k"}
            body = {"model": "sonnet", "messages": [plainly(you("a"))], "n": 3}
            first, second = [await gateway.http.post(CHAT, json=body, headers=key) for _ in range(2)]
            assert first.content == second.content
            assert len(gateway.engine.plans) == 3

    async def test_it_runs_on_when_the_client_leaves(self) -> None:
        door = Door()
        engine = ScriptedEngine(
            lambda plan: [*answer_events(plan, "a")[:3], WaitFor(door), *answer_events(plan, "a")[3:]]
        )
        async with running(engine) as gateway:
            key = {"idempotency-key": "k"}
            body = {"model": "sonnet", "messages": [plainly(you("a"))], "stream": True}
            async with gateway.http.stream("POST", CHAT, json=body, headers=key):
                await door.reached.wait()
            door.set()
            again = await gateway.http.post(CHAT, json=body, headers=key)
            assert "[DONE]" in again.text
            assert len(gateway.engine.plans) == 1

    async def test_it_is_remembered_by_the_next_gateway(self, tmp_path: Path) -> None:
        body, key = {"model": "sonnet", "messages": [plainly(you("a"))]}, {"idempotency-key": "k"}
        async with running(echoes(), data_dir=tmp_path) as gateway:
            first = await gateway.http.post(CHAT, json=body, headers=key)
        async with running(echoes(), data_dir=tmp_path) as gateway:
            assert (await gateway.http.post(CHAT, json=body, headers=key)).content == first.content
            assert gateway.engine.plans == []

    @pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
    async def test_a_key_that_is_none(self, gateway: Running, key: str) -> None:
        body = {"model": "sonnet", "messages": [plainly(you("a"))]}
        answer = await gateway.http.post(CHAT, json=body, headers={"idempotency-key": key})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "idempotency-key"


class TestWhatCanBeDone:
    async def test_it_is_described(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("what is\n  this?"))).headers["x-session-id"]
            described = await get(gateway, f"/v1/sessions/{session}")
            times = {name: described.pop(name) for name in ("created_at", "updated_at", "last_used_at", "expires_at")}
            assert all(isinstance(value, int) for value in times.values())
            assert times["expires_at"] - times["last_used_at"] == 86400
            assert described == {
                "id": session,
                "object": "session",
                "project_id": None,
                "title": "what is this?",
                "model": "sonnet",
                "system_prompt": None,
                "profile": "chat",
                "mode": "auto",
                "message_count": 2,
                "turn_count": 1,
                "total_tokens": 55,
                "total_cost": 0.25,
                "usage": {
                    "input_tokens": 12,
                    "cached_tokens": 30,
                    "cache_creation_tokens": 8,
                    "output_tokens": 5,
                    "reasoning_tokens": 0,
                },
                "is_active": True,
                "forked_from": None,
                "forked_at": None,
            }

    async def test_an_empty_one_is_made_and_spoken_in(self) -> None:
        async with running(echoes()) as gateway:
            wanted = {"title": "Plans", "system_prompt": "be brief", "model": "opus", "expires_after": 60}
            made = (await gateway.http.post("/v1/sessions", json=wanted)).json()
            assert (made["title"], made["model"], made["message_count"]) == ("Plans", "opus", 0)
            assert made["expires_at"] - made["last_used_at"] == 60
            await say(gateway, you("a"), session=made["id"])
            assert last_plan(gateway).request.system == (TextBlock("be brief"),)
            assert (await get(gateway, f"/v1/sessions/{made['id']}"))["title"] == "Plans"

    async def test_one_without_a_title_is_called_by_its_first_words(self) -> None:
        async with running(echoes()) as gateway:
            made = (await gateway.http.post("/v1/sessions", json={})).json()["id"]
            for text in ("about cats", "about dogs"):
                await say(gateway, you(text), session=made)
            assert (await get(gateway, f"/v1/sessions/{made}"))["title"] == "about cats"

    async def test_what_runs_in_it_ends_before_it_is_deleted_and_is_on_the_bill(self) -> None:
        door = Door()
        engine = ScriptedEngine(lambda plan: [*answer_events(plan, "half ", "and")[:3], WaitFor(door)])
        async with running(engine) as gateway:
            asked = asyncio.create_task(say(gateway, you("a"), stream=True))
            await door.reached.wait()
            (session,) = (await get(gateway, "/v1/sessions"))["data"]
            assert (await gateway.http.delete(f"/v1/sessions/{session['id']}")).status_code == 200
            assert '"code":"interrupted"' in (await asked).text
            (used,) = (await get(gateway, "/v1/usage"))["data"]
            assert (used["turns"], used["failed_turns"]) == (1, 1)

    async def test_pages(self) -> None:
        async with running(echoes()) as gateway:
            made = [(await say(gateway, you(f"q{n}"))).headers["x-session-id"] for n in range(5)]
            first = await get(gateway, "/v1/sessions", limit=2)
            assert [one["id"] for one in first["data"]] == made[:2:-1]
            assert (first["object"], first["has_more"], first["total"]) == ("list", True, 5)
            assert (first["first_id"], first["last_id"]) == (made[4], made[3])
            rest = await get(gateway, "/v1/sessions", limit=100, after=first["last_id"])
            assert [one["id"] for one in rest["data"]] == made[2::-1]
            assert rest["has_more"] is False

    async def test_search(self) -> None:
        async with running(echoes()) as gateway:
            await say(gateway, you("about Cats"))
            await say(gateway, you("about dogs"))
            titles = [one["title"] for one in (await get(gateway, "/v1/sessions", search="cats"))["data"]]
            assert titles == ["about Cats"]
            said = [one["title"] for one in (await get(gateway, "/v1/sessions", search="re: about d"))["data"]]
            assert said == ["about dogs"]

    async def test_a_fork_goes_its_own_way(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            await say(gateway, you("b"), session=session)
            kept = (await get(gateway, f"/v1/sessions/{session}/messages"))["data"]
            wanted = {"message_id": kept[1]["id"], "title": "other way"}
            fork = (await gateway.http.post(f"/v1/sessions/{session}/fork", json=wanted)).json()
            assert (fork["forked_from"], fork["forked_at"], fork["message_count"]) == (session, 2, 2)
            await say(gateway, you("c"), session=fork["id"])
            assert last_plan(gateway).request.messages == (you("a"), claude("re: a"), you("c"))
            await say(gateway, you("d"), session=session)
            assert len(last_plan(gateway).request.messages) == 5
            whole = (await gateway.http.post(f"/v1/sessions/{session}/fork")).json()
            assert whole["message_count"] == 6
            lost = await gateway.http.post(f"/v1/sessions/{session}/fork", json={"message_id": SOME_ID})
            assert lost.status_code == 404

    async def test_a_turn_is_interrupted(self) -> None:
        door = Door()
        engine = ScriptedEngine(lambda plan: [*answer_events(plan, "half ", "and")[:3], WaitFor(door)])
        async with running(engine) as gateway:
            asked = asyncio.create_task(say(gateway, you("a"), stream=True))
            await door.reached.wait()
            (session,) = (await get(gateway, "/v1/sessions"))["data"]
            path = f"/v1/sessions/{session['id']}/interrupt"
            assert (await gateway.http.post(path)).json()["interrupted"] == 1
            assert '"code":"interrupted"' in (await asked).text
            assert (await gateway.http.post(path)).json()["interrupted"] == 0
            kept = (await get(gateway, f"/v1/sessions/{session['id']}/messages"))["data"]
            assert [(one["text"], one["truncated"]) for one in kept] == [("a", False), ("half ", True)]

    async def test_out_and_in_again(self) -> None:
        async with running(TestThoughtsAndCalls.calls_after_thinking()) as gateway:
            session = (await say(gateway, you("what is it?"))).headers["x-session-id"]
            answered = {"role": "tool", "tool_call_id": "toolu_1", "content": "42"}
            await gateway.http.post(
                CHAT, json={"model": "sonnet", "messages": [answered]}, headers={"x-session-id": session}
            )
            out = await gateway.http.get(f"/v1/sessions/{session}/export")
            assert out.headers["content-disposition"] == f'attachment; filename="{session}.jsonl"'
            made = await gateway.http.post("/v1/sessions/import", json={"transcript": out.text})
            assert made.status_code == 201
            assert made.json()["title"] == "what is it?"
            assert made.json()["id"] != session
            await say(gateway, you("sure?"), session=made.json()["id"])
            assert last_plan(gateway).request.messages == (
                you("what is it?"),
                claude(thought("hm"), call("toolu_1", a="b")),
                you(result("toolu_1", "42")),
                claude("it is 42"),
                you("sure?"),
            )
            page = await gateway.http.get(f"/v1/sessions/{session}/export", params={"format": "markdown"})
            assert page.headers["content-type"] == "text/markdown; charset=utf-8"
            assert page.text.startswith("# what is it?")
            wrong = await gateway.http.post("/v1/sessions/import", json={"transcript": "{"})
            assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "transcript")

    async def test_it_is_deleted_and_stays_on_the_bill(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            gone = await gateway.http.delete(f"/v1/sessions/{session}")
            assert gone.json() == {"id": session, "object": "session.deleted", "deleted": True}
            assert (await gateway.http.get(f"/v1/sessions/{session}")).status_code == 404
            assert (await gateway.http.delete(f"/v1/sessions/{session}")).status_code == 404
            assert (await get(gateway, "/v1/usage"))["total"]["total_cost"] == 0.25

    async def test_numbers(self) -> None:
        async with running(echoes()) as gateway:
            session = (await say(gateway, you("a"))).headers["x-session-id"]
            await say(gateway, you("b"), session=session)
            await say(gateway, you("other"))
            stats = await get(gateway, "/v1/sessions/stats")
            assert {name: stats[name] for name in stats if name.startswith(("total", "active"))} == {
                "total_sessions": 2,
                "active_sessions": 2,
                "total_messages": 6,
                "total_turns": 3,
                "total_tokens": 165,
                "total_cost": 0.75,
            }

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"titel": "secret"}, "titel"),
            ({"title": 5}, "title"),
            ({"title": "x" * 201}, "title"),
            ({"expires_after": 0}, "expires_after"),
            ({"profile": "root"}, "profile"),
            ({"mode": "root"}, "mode"),
            ({"model": ""}, "model"),
        ],
    )
    async def test_what_is_not_right_is_named_and_not_echoed(
        self, gateway: Running, body: dict[str, Any], field: str
    ) -> None:
        answer = await gateway.http.post("/v1/sessions", json=body)
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert (error["param"], error["code"]) == (field, "invalid_request")
        assert "secret" not in answer.text
        assert "xxx" not in answer.text

    @pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"order": "up"}])
    async def test_pages_that_are_none(self, gateway: Running, params: dict[str, Any]) -> None:
        assert (await gateway.http.get("/v1/sessions", params=params)).status_code == 422


async def test_ids_are_random() -> None:
    async with running(says("x")) as gateway:
        made = [(await gateway.http.post("/v1/sessions", json={})).json()["id"] for _ in range(5)]
        assert {uuid.UUID(id_).version for id_ in made} == {4}
