"""The live stream and the WebSocket: turns that belong to their session, read from any event on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.typing import Subprotocol

from claude_code_api.dialects.native import event_id, place_of
from claude_code_api.engine.scripted import ScriptedEngine, WaitFor
from claude_code_api.flow.access import Access
from claude_code_api.http import live_socket
from tests.flow.talk import claude, you
from tests.http.loopback import KEY, SOME_ID, Door, Running, answer_events, running, says
from tests.http.test_sessions import OTHER_KEY, TWO_TENANTS, echoes, get, last_plan, words


def frames(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each with the id of its frame."""
    found = []
    for frame in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
        if lines:
            told = json.loads(lines["data"])
            assert told["id"] == int(lines["id"])
            found.append(told)
    return found


def text_of(told: Sequence[dict[str, Any]]) -> str:
    return "".join(one["content"] for one in told if one["type"] == "delta")


class TestStream:
    async def test_a_question_and_its_answer(self) -> None:
        async with running(echoes()) as gateway:
            answer = await gateway.http.get(f"/claude/stream/{SOME_ID}", params={"query": "/help @me"})
            assert answer.headers["content-type"].startswith("text/event-stream")
            told = frames(answer.text)
            session = answer.headers["x-session-id"]
            assert [(one["type"], one.get("content"), one["session_id"]) for one in told] == [
                ("delta", "re: ", session),
                ("delta", "/help @me", session),
                ("complete", None, session),
            ]
            assert session != SOME_ID
            again = await gateway.http.get(f"/claude/stream/{session}", params={"query": "more"})
            assert again.headers["x-session-id"] == session
            assert last_plan(gateway).request.messages == (you("/help @me"), claude("re: /help @me"), you("more"))
            assert frames(again.text)[0]["id"] > told[-1]["id"]

    async def test_whoever_comes_back_loses_and_doubles_nothing(self) -> None:
        door = Door()
        engine = ScriptedEngine(lambda plan: [*(steps := answer_events(plan, *"abcd"))[:4], WaitFor(door), *steps[4:]])
        async with running(engine) as gateway:
            path, params = f"/claude/stream/{SOME_ID}", {"query": "hi"}
            async with gateway.http.stream("GET", path, params=params) as response:
                session = response.headers["x-session-id"]
                lines = response.aiter_lines()
                seen = [await anext(lines) for _ in range(3)]
            assert json.loads(seen[1][6:])["content"] == "a"
            first_id = seen[0].removeprefix("id: ")
            back = asyncio.create_task(
                gateway.http.get(f"/claude/stream/{session}", params=params, headers={"last-event-id": first_id})
            )
            await door.reached.wait()
            door.set()
            told = frames((await back).text)
            assert text_of(told) == "bcd"
            assert told[-1]["type"] == "complete"
            assert len(gateway.engine.plans) == 1
            later = await gateway.http.get(f"/claude/stream/{session}", headers={"last-event-id": first_id})
            assert frames(later.text) == told
            last_id = str(told[-1]["id"])
            over = await gateway.http.get(f"/claude/stream/{session}", headers={"last-event-id": last_id})
            assert (over.status_code, over.content) == (204, b"")

    @pytest.mark.parametrize("id_", ["0", "5", "9000000000001"])
    async def test_an_event_that_never_was(self, id_: str) -> None:
        async with running(echoes(), access=TWO_TENANTS) as gateway:
            session = (await gateway.post()).headers["x-session-id"]
            answer = await gateway.http.get(f"/claude/stream/{session}", headers={"last-event-id": id_})
            assert answer.status_code == 404
            async with gateway.client(authorization=f"Bearer {OTHER_KEY}") as other:
                foreign = await other.get(f"/claude/stream/{session}", headers={"last-event-id": str(event_id(1, 1))})
            assert foreign.status_code == 404

    @pytest.mark.parametrize(
        ("params", "headers", "status"),
        [
            ({}, {}, 400),
            ({"query": "  "}, {}, 400),
            ({"query": "x" * 50_001}, {}, 422),
            ({}, {"last-event-id": "x"}, 422),
            ({}, {"last-event-id": str(2**63)}, 422),
        ],
    )
    async def test_what_is_no_question(
        self, gateway: Running, params: dict[str, str], headers: dict[str, str], status: int
    ) -> None:
        answer = await gateway.http.get(f"/claude/stream/{SOME_ID}", params=params, headers=headers)
        assert answer.status_code == status
        assert gateway.engine.plans == []

    async def test_what_was_told_in_another_dialect_is_told_again(self) -> None:
        async with running(echoes()) as gateway:
            session = (await gateway.post("hello")).headers["x-session-id"]
            headers = {"last-event-id": str(event_id(1, 0))}
            told = frames((await gateway.http.get(f"/claude/stream/{session}", headers=headers)).text)
            assert text_of(told) == "re: hello"
            assert told[-1]["reason"] == "stop"


def test_ids_grow_through_a_session_and_say_their_place() -> None:
    assert event_id(1, 999) < event_id(2, 0) < event_id(2, 1)
    assert place_of(event_id(7, 3)) == (7, 3)
    assert event_id(9_000_000, 1) < 2**53


@asynccontextmanager
async def socket(
    gateway: Running,
    session: str = SOME_ID,
    *,
    key: str | None = KEY,
    more_headers: dict[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[ClientConnection]:
    headers = {"authorization": f"Bearer {key}"} if key is not None else {}
    headers |= more_headers or {}
    url = f"ws://127.0.0.1:{gateway.port}/claude/ws/{session}"
    async with connect(url, additional_headers=headers, proxy=None, **more) as connection:
        yield connection


async def told_until(connection: ClientConnection, *types: str) -> list[dict[str, Any]]:
    found = []
    async for text in connection:
        found.append(json.loads(text))
        if found[-1]["type"] in types:
            return found
    raise AssertionError(found)


class TestSocket:
    async def test_plain_text_in_and_the_answer_out(self) -> None:
        async with running(echoes()) as gateway, socket(gateway) as talk:
            await talk.send("/help @me")
            told = await told_until(talk, "complete")
            assert text_of(told) == "re: /help @me"
            assert [one["type"] for one in told] == [
                "started",
                "part_started",
                "delta",
                "delta",
                "part_ended",
                "usage",
                "complete",
            ]
            ids = [one["id"] for one in told]
            assert ids == list(range(ids[0], ids[0] + 7))
            assert len({one["session_id"] for one in told}) == 1
            await talk.send("more")
            again = await told_until(talk, "complete")
            assert again[0]["id"] > ids[-1]
            assert last_plan(gateway).request.messages == (you("/help @me"), claude("re: /help @me"), you("more"))

    async def test_a_prompt_with_blocks_a_model_and_a_system_prompt(self) -> None:
        async with running(echoes()) as gateway, socket(gateway) as talk:
            content = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
            await talk.send(json.dumps({"type": "prompt", "content": content, "model": "opus", "system": "be brief"}))
            assert text_of(await told_until(talk, "complete")) == "re: ab"
            request = last_plan(gateway).request
            assert (request.model, request.system[0].text) == ("opus", "be brief")
            assert [words(message) for message in request.messages] == ["ab"]

    async def test_an_interrupt_while_the_answer_comes(self) -> None:
        door = Door()
        engine = ScriptedEngine(lambda plan: [*answer_events(plan, "half ", "and")[:3], WaitFor(door)])
        async with running(engine) as gateway, socket(gateway) as talk:
            await talk.send("hi")
            await told_until(talk, "delta")
            await talk.send('{"type": "interrupt"}')
            told = await told_until(talk, "error")
            assert told[-1]["code"] == "interrupted"

    async def test_a_ping_and_what_is_wrong(self) -> None:
        async with running(echoes()) as gateway, socket(gateway) as talk:
            for sent, expected in [
                ('{"type": "ping"}', {"type": "pong"}),
                ('{"type": "dance"}', {"type": "error", "param": "type"}),
                ("{", {"type": "error", "code": "invalid_json"}),
                ("  ", {"type": "error", "code": "invalid_request"}),
                ('{"type": "prompt"}', {"type": "error", "param": "text"}),
                ('{"type": "prompt", "text": 5}', {"type": "error"}),
                ('{"type": "resume", "after": "x"}', {"type": "error", "param": "after"}),
                ('{"type": "resume", "after": true}', {"type": "error", "param": "after"}),
            ]:
                await talk.send(sent)
                answer = json.loads(await talk.recv())
                assert {name: answer.get(name) for name in expected} == expected, sent
            await talk.send("still here")
            assert text_of(await told_until(talk, "complete")) == "re: still here"

    async def test_whoever_comes_back_loses_and_doubles_nothing(self) -> None:
        door = Door()
        engine = ScriptedEngine(lambda plan: [*(steps := answer_events(plan, *"abcd"))[:4], WaitFor(door), *steps[4:]])
        async with running(engine) as gateway:
            async with socket(gateway) as talk:
                await talk.send("hi")
                seen = await told_until(talk, "delta")
            session = seen[-1]["session_id"]
            async with socket(gateway, session) as talk:
                await talk.send(json.dumps({"type": "resume", "after": seen[-1]["id"]}))
                await door.reached.wait()
                door.set()
                rest = await told_until(talk, "complete")
            assert text_of([*seen, *rest]) == "abcd"
            ids = [one["id"] for one in (*seen, *rest)]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            async with socket(gateway, session) as talk:
                await talk.send('{"type": "resume", "after": 0}')
                assert await told_until(talk, "complete") == [*seen, *rest]
            assert len(gateway.engine.plans) == 1

    async def test_everybody_in_the_session_sees_a_turn(self) -> None:
        async with running(echoes()) as gateway:
            made = (await gateway.http.post("/v1/sessions", json={})).json()["id"]
            async with socket(gateway, made) as one, socket(gateway, made) as other:
                await one.send('{"type": "ping"}')
                await other.send('{"type": "ping"}')
                assert (await one.recv(), await other.recv()) == ('{"type":"pong"}', '{"type":"pong"}')
                await one.send("hello")
                assert await told_until(one, "complete") == await told_until(other, "complete")

    async def test_prompts_wait_for_each_other(self) -> None:
        async with running(echoes()) as gateway:
            made = (await gateway.http.post("/v1/sessions", json={})).json()["id"]
            async with socket(gateway, made) as talk:
                for text in "abc":
                    await talk.send(text)
                told = [await told_until(talk, "complete") for _ in range(3)]
                assert [text_of(one) for one in told] == ["re: a", "re: b", "re: c"]
            assert (await get(gateway, f"/v1/sessions/{made}"))["message_count"] == 6

    async def test_a_turn_goes_on_when_everybody_has_gone(self) -> None:
        door = Door()
        engine = ScriptedEngine(lambda plan: [*(steps := answer_events(plan, *"ab"))[:3], WaitFor(door), *steps[3:]])
        async with running(engine) as gateway:
            async with socket(gateway) as talk:
                await talk.send("hi")
                session = (await told_until(talk, "delta"))[-1]["session_id"]
            await gateway.logs.request()
            door.set()
            async with socket(gateway, session) as talk:
                await talk.send('{"type": "resume", "after": 0}')
                assert text_of(await told_until(talk, "complete")) == "ab"
            kept = (await get(gateway, f"/v1/sessions/{session}/messages"))["data"]
            assert [(one["text"], one["truncated"]) for one in kept] == [("hi", False), ("ab", False)]

    async def test_somebody_elses_session_is_like_an_unknown_one(self) -> None:
        async with running(echoes(), access=TWO_TENANTS) as gateway:
            session = (await gateway.post("secret")).headers["x-session-id"]
            async with socket(gateway, session, key=OTHER_KEY) as talk:
                await talk.send('{"type": "resume", "after": 0}')
                await talk.send('{"type": "interrupt"}')
                assert json.loads(await talk.recv())["count"] == 0
                await talk.send("hi")
                told = await told_until(talk, "complete")
                assert told[0]["session_id"] != session
                assert last_plan(gateway).request.messages == (you("hi"),)

    async def test_who_does_not_keep_up_is_let_go_with_a_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live_socket, "SEND_WAIT_S", 0.05)
        engine = says(*["x" * 100_000] * 400)
        async with running(engine) as gateway, socket(gateway, max_queue=1) as talk:
            await talk.send("hi")
            await gateway.logs.line("live_socket_too_slow")
            with pytest.raises(ConnectionClosedError) as closed:
                async for _ in talk:
                    pass
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
            assert "come back" in closed.value.rcvd.reason


class TestWhoMayTalk:
    async def test_a_key_in_the_subprotocol(self, gateway: Running) -> None:
        offered = [Subprotocol("claude-code-api"), Subprotocol(f"key.{KEY}")]
        async with socket(gateway, key=None, subprotocols=offered) as talk:
            assert talk.subprotocol == "claude-code-api"
            await talk.send("hi")
            assert text_of(await told_until(talk, "complete")) == "Hello!"

    async def test_a_key_in_the_first_message(self, gateway: Running) -> None:
        async with socket(gateway, key=None) as talk:
            await talk.send(json.dumps({"type": "auth", "key": KEY}))
            await talk.send("hi")
            assert text_of(await told_until(talk, "complete")) == "Hello!"

    @pytest.mark.parametrize(
        ("key", "first"),
        [
            ("wrong", None),
            (None, "hi"),
            (None, '{"type": "prompt", "text": "hi"}'),
            (None, '{"type": "auth", "key": "wrong"}'),
            (None, '{"type": "auth"}'),
            (None, "{"),
            (None, b"bytes"),
        ],
    )
    async def test_nobody_else(self, gateway: Running, key: str | None, first: str | bytes | None) -> None:
        async with socket(gateway, key=key) as talk:
            if first is not None:
                await talk.send(first)
            with pytest.raises(ConnectionClosedError) as closed:
                await talk.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
        assert gateway.engine.plans == []

    async def test_who_says_nothing_is_not_waited_for(self, gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live_socket, "KEY_WAIT_S", 0.01)
        async with socket(gateway, key=None) as talk:
            with pytest.raises(ConnectionClosedError):
                await talk.recv()

    async def test_a_key_in_the_address_is_no_key(self, gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live_socket, "KEY_WAIT_S", 0.01)
        async with socket(gateway, f"{SOME_ID}?key={KEY}", key=None) as talk:
            with pytest.raises(ConnectionClosedError):
                await talk.recv()

    async def test_a_page_of_another_origin_does_not_even_shake_hands(self, gateway: Running) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(gateway, origin="http://evil.test"):
                pass
        assert refused.value.response.status_code == 403

    async def test_without_keys_nobody_is_asked(self) -> None:
        async with running(access=Access(None)) as gateway, socket(gateway, key=None) as talk:
            await talk.send("hi")
            assert text_of(await told_until(talk, "complete")) == "Hello!"


async def test_bytes_are_refused(gateway: Running) -> None:
    async with socket(gateway) as talk:
        await talk.send(b"hi")
        with pytest.raises(ConnectionClosedError) as closed:
            await talk.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


async def test_the_gateways_end_waits_for_a_turn_without_readers() -> None:
    door = Door()
    engine = ScriptedEngine(lambda plan: [*(steps := answer_events(plan, "a"))[:3], WaitFor(door), *steps[3:]])
    async with running(engine) as gateway:
        async with socket(gateway) as talk:
            await talk.send("hi")
            await told_until(talk, "delta")
        drained = asyncio.create_task(gateway.runner.drain(10))
        door.set()
        await drained
        assert gateway.runner.admission.running == 0
