"""/v1/responses over HTTP: which conversation it goes on with, and what can be asked of a response afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import orjson
import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.block_json import blocks_json
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Ended, EndReason, Failed, PartDelta, PartEnded, PartKind, PartStarted, Started
from claude_code_api.turn.request import Message, TextBlock
from tests.http.loopback import CHAT, KEY, SOME_ID, Door, Running, answer_events, plays, running, says, stops_at

RESPONSES = "/v1/responses"
OTHER_KEY = "cca-somebody-elses"
TWO_TENANTS = Access(
    {digest_of(KEY): Caller("tests", admin=False), digest_of(OTHER_KEY): Caller("others", admin=False)}
)
TOOL = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}


def words(message: Message) -> str:
    return "".join(block.text for block in message.blocks if isinstance(block, TextBlock))


def echoes() -> ScriptedEngine:
    """Answers "re: " and the last words."""
    return ScriptedEngine(lambda plan: answer_events(plan, "re: ", words(plan.request.messages[-1])))


def told(gateway: Running) -> list[tuple[str, str]]:
    """What the model was told last."""
    plan: Plan = gateway.engine.plans[-1]
    return [(message.role, words(message)) for message in plan.request.messages]


def above(gateway: Running) -> list[str]:
    plan: Plan = gateway.engine.plans[-1]
    return [block.text for block in plan.request.system]


async def ask(gateway: Running, said: Any, *, client: httpx2.AsyncClient | None = None, **more: Any) -> Any:
    answer = await (client or gateway.http).post(RESPONSES, json={"model": "sonnet", "input": said, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(gateway: Running, said: Any, **more: Any) -> tuple[int, Any]:
    answer = await gateway.http.post(RESPONSES, json={"model": "sonnet", "input": said, **more})
    return answer.status_code, answer.json()["error"]


async def get(gateway: Running, id_: str, more: str = "") -> tuple[int, Any]:
    answer = await gateway.http.get(f"{RESPONSES}/{id_}{more}")
    return answer.status_code, answer.json()


def frames(stream: str) -> list[dict[str, Any]]:
    found = []
    for frame in stream.split("\n\n")[:-1]:
        if frame != ": ":
            name, data = frame.split("\n")
            body = orjson.loads(data.removeprefix("data: "))
            assert name == f"event: {body['type']}"
            found.append(body)
    return found


# Conversations


async def test_a_response_is_followed_by_another() -> None:
    async with running(echoes()) as gateway:
        one = await ask(gateway, "a")
        two = await ask(gateway, "b", previous_response_id=one["id"])
        three = await ask(gateway, "c", previous_response_id=two["id"])
        assert told(gateway) == [
            ("user", "a"),
            ("assistant", "re: a"),
            ("user", "b"),
            ("assistant", "re: b"),
            ("user", "c"),
        ]
    assert one["conversation"] == two["conversation"] == three["conversation"]
    assert two["previous_response_id"] == one["id"]
    assert (one["previous_response_id"], one["status"], two["output"][0]["content"][0]["text"]) == (
        None,
        "completed",
        "re: b",
    )


async def test_an_older_response_is_followed_in_a_fork() -> None:
    async with running(echoes()) as gateway:
        one = await ask(gateway, "a")
        two = await ask(gateway, "b", previous_response_id=one["id"])
        other = await ask(gateway, "B", previous_response_id=one["id"])
        assert told(gateway) == [("user", "a"), ("assistant", "re: a"), ("user", "B")]
        assert other["conversation"] != one["conversation"]
        await ask(gateway, "C", previous_response_id=other["id"])
        assert told(gateway)[2:] == [("user", "B"), ("assistant", "re: B"), ("user", "C")]
        await ask(gateway, "c", previous_response_id=two["id"])
        assert told(gateway)[2:] == [("user", "b"), ("assistant", "re: b"), ("user", "c")]
        fork = await gateway.http.get("/v1/sessions/" + other["conversation"]["id"].removeprefix("conv_"))
        assert fork.json()["forked_from"] == one["conversation"]["id"].removeprefix("conv_")
        assert fork.json()["forked_at"] == 2
        assert fork.json()["message_count"] == 6


async def test_two_that_follow_the_same_response_at_once() -> None:
    async with running(echoes()) as gateway:
        one = await ask(gateway, "a")
        found = await asyncio.gather(*(ask(gateway, f"b{n}", previous_response_id=one["id"]) for n in range(4)))
        assert len({each["conversation"]["id"] for each in found}) == 4
        assert [each["output"][0]["content"][0]["text"] for each in found] == [f"re: b{n}" for n in range(4)]
        assert all(len(plan.request.messages) == 3 for plan in gateway.engine.plans[1:])


@pytest.mark.parametrize("id_", ["resp_nothing", "resp_" + "0" * 32, "chatcmpl-1", "resp_a/b", ""])
async def test_nothing_follows_what_is_not_there(id_: str) -> None:
    async with running(echoes()) as gateway:
        status, error = await refused(gateway, "a", previous_response_id=id_)
        assert (status, error["code"], error["param"], error["type"]) == (
            400,
            "previous_response_not_found",
            "previous_response_id",
            "invalid_request_error",
        )
        assert gateway.engine.plans == []


async def test_nobody_gets_at_somebody_elses() -> None:
    async with (
        running(echoes(), access=TWO_TENANTS) as gateway,
        gateway.client(authorization=f"Bearer {OTHER_KEY}") as other,
    ):
        mine = await ask(gateway, "a", background=True)
        await gateway.logs.until(bool)
        for field in ({"previous_response_id": mine["id"]}, {"conversation": mine["conversation"]["id"]}):
            answer = await other.post(RESPONSES, json={"model": "sonnet", "input": "b", **field})
            assert answer.status_code in (400, 404)
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
            answer = await other.request(method, f"{RESPONSES}/{mine['id']}{path}")
            assert answer.status_code == 404, path
        reference = [{"type": "item_reference", "id": mine["id"].replace("resp_", "msg_") + "_0"}]
        answer = await other.post(
            RESPONSES, json={"model": "sonnet", "input": [*reference, {"role": "user", "content": "x"}]}
        )
        assert answer.status_code == 400
        assert (await get(gateway, mine["id"]))[0] == 200


async def test_a_conversation_is_gone_on_with_by_its_id() -> None:
    async with running(echoes()) as gateway:
        begun = await gateway.http.post(CHAT, json={"model": "sonnet", "messages": [{"role": "user", "content": "a"}]})
        session = begun.headers["x-session-id"]
        for conversation in (f"conv_{session}", {"id": f"conv_{session}"}):
            answer = await ask(gateway, "b", conversation=conversation)
            assert answer["conversation"] == {"id": f"conv_{session}"}
        assert told(gateway) == [
            ("user", "a"),
            ("assistant", "re: a"),
            ("user", "b"),
            ("assistant", "re: b"),
            ("user", "b"),
        ]
        # What a client says that the assistant said is said after everything that was.
        sent = [{"role": "assistant", "content": "I said so"}, {"role": "user", "content": "did you?"}]
        await ask(gateway, sent, conversation=f"conv_{session}")
        assert told(gateway)[-3:] == [("assistant", "re: b"), ("assistant", "I said so"), ("user", "did you?")]


@pytest.mark.parametrize("conversation", [f"conv_{SOME_ID}", "conv_x", SOME_ID, {"id": "conv_"}])
async def test_a_conversation_has_to_be_there(conversation: Any) -> None:
    async with running(echoes()) as gateway:
        status, error = await refused(gateway, "a", conversation=conversation)
        assert (status, error["param"], error["code"]) == (404, "conversation", "not_found")


async def test_one_way_to_go_on_is_enough(gateway: Running) -> None:
    status, error = await refused(gateway, "a", conversation=f"conv_{SOME_ID}", previous_response_id="resp_1")
    assert (status, error["param"]) == (400, "conversation")


async def test_the_whole_history_is_recognised_and_an_id_in_the_header_too() -> None:
    async with running(echoes()) as gateway:
        one = await ask(gateway, "a")
        sent = [{"role": "user", "content": "a"}, *one["output"], {"role": "user", "content": "b"}]
        two = await ask(gateway, sent)
        assert two["conversation"] == one["conversation"]
        session = one["conversation"]["id"].removeprefix("conv_")
        three = await gateway.http.post(
            RESPONSES, json={"model": "sonnet", "input": "c"}, headers={"x-session-id": session}
        )
        assert three.headers["x-session-id"] == session
        assert [said for _, said in told(gateway)] == ["a", "re: a", "b", "re: b", "c"]


async def test_instructions_are_for_one_response_and_a_developer_for_the_conversation() -> None:
    async with running(echoes()) as gateway:
        sent = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "a"}]
        one = await ask(gateway, sent, instructions="Be brief.")
        assert above(gateway) == ["Be brief.", "Be kind."]
        two = await ask(gateway, "b", previous_response_id=one["id"])
        assert above(gateway) == ["Be kind."]
        assert (one["instructions"], two["instructions"]) == ("Be brief.", None)
        more = [{"role": "developer", "content": "Rhyme."}, {"role": "user", "content": "c"}]
        three = await ask(gateway, more, previous_response_id=two["id"], instructions="Be long.")
        assert above(gateway) == ["Be long.", "Be kind.", "Rhyme."]
        await ask(gateway, more, previous_response_id=three["id"])
        assert above(gateway) == ["Be kind.", "Rhyme."]


async def test_a_call_is_answered_by_id() -> None:
    def script(plan: Plan) -> list[Step]:
        if len(plan.request.messages) > 1:
            return answer_events(plan, "3")
        return [
            Started(plan.turn_id, "m", 1),
            PartStarted(0, PartKind.TOOL, "toolu_1", "add"),
            PartDelta(0, '{"a":1}'),
            PartEnded(0),
            Ended(EndReason.TOOL_USE),
        ]

    async with running(ScriptedEngine(script)) as gateway:
        one = await ask(gateway, "1 + 2?", tools=[TOOL])
        (call,) = one["output"]
        assert (call["type"], call["call_id"], call["arguments"]) == ("function_call", "toolu_1", '{"a":1}')
        status, error = await refused(gateway, "well?", tools=[TOOL], previous_response_id=one["id"])
        assert (status, "toolu_1" in error["message"]) == (400, True)
        answered = [{"type": "function_call_output", "call_id": "toolu_1", "output": "3"}]
        await ask(gateway, answered, tools=[TOOL], previous_response_id=one["id"])
        plan: Plan = gateway.engine.plans[-1]
        assert blocks_json(plan.request.messages[-1].blocks) == [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"}
        ]
        again = [{"type": "function_call_output", "call_id": "toolu_2", "output": "3"}]
        status, error = await refused(gateway, again, previous_response_id=one["id"])
        assert (status, error["param"]) == (400, "messages")


async def test_a_failed_response_is_not_followed() -> None:
    door = Door()
    async with running(stops_at(3, door, "a", "b")) as gateway:
        one = await ask(gateway, "a", background=True)
        status, error = await refused(gateway, "b", previous_response_id=one["id"])
        assert (status, error["param"]) == (400, "previous_response_id")
        await gateway.http.post(f"{RESPONSES}/{one['id']}/cancel")
        status, error = await refused(gateway, "b", previous_response_id=one["id"])
        assert (status, error["param"], error["code"]) == (400, "previous_response_id", "invalid_request")


async def test_items_are_referred_to() -> None:
    async with running(echoes()) as gateway:
        one = await ask(gateway, "a")
        reference = {"type": "item_reference", "id": one["output"][0]["id"]}
        sent = [{"role": "user", "content": "a"}, reference, {"role": "user", "content": "b"}]
        two = await ask(gateway, sent)
        assert told(gateway) == [("user", "a"), ("assistant", "re: a"), ("user", "b")]
        assert two["conversation"] == one["conversation"]
        for wrong in ("msg_nothing_0", reference["id"][:-1] + "7", "x", None):
            sent[1] = {"type": "item_reference", "id": wrong}
            status, error = await refused(gateway, sent)
            assert (status, error["param"]) == (400, "input[1].id")


# Afterwards


async def test_a_response_is_told_again() -> None:
    fields: dict[str, Any] = {
        "instructions": "Be brief.",
        "metadata": {"k": "v"},
        "tools": [TOOL],
        "temperature": 0.5,
        "max_output_tokens": 100,
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"},
        "user": "u",
        "tool_choice": "none",
        "parallel_tool_calls": False,
    }
    async with running(says("{", "}")) as gateway:
        made = await ask(gateway, "a", **fields)
        status, again = await get(gateway, made["id"])
    assert status == 200
    assert again.pop("completed_at") >= made["created_at"]
    assert made.pop("completed_at") is None
    assert again == made
    assert made["metadata"] == {"k": "v"}
    assert made["text"] == {**fields["text"], "verbosity": "medium"}
    assert made["tools"] == [{**TOOL, "description": None, "strict": None}]
    assert made["usage"]["total_tokens"] == 55


async def test_a_stream_that_is_read_again_has_the_same_ids() -> None:
    async with running(says("one", "two")) as gateway:
        stream = await gateway.http.post(RESPONSES, json={"model": "sonnet", "input": "a", "stream": True})
        first = frames(stream.text)
        id_ = first[0]["response"]["id"]
        again = frames((await gateway.http.get(f"{RESPONSES}/{id_}?stream=true")).text)
    assert [frame["sequence_number"] for frame in first] == list(range(len(first)))
    # The journal of a turn that somebody waited for is not kept: the same text, in one piece.
    assert again[-1]["response"] == first[-1]["response"]
    assert {frame.get("item_id") for frame in again} == {frame.get("item_id") for frame in first}


async def test_what_is_not_stored_cannot_be_asked_for() -> None:
    async with running(echoes()) as gateway:
        made = await ask(gateway, "a", store=False)
        assert made["store"] is False
        assert (await get(gateway, made["id"]))[0] == 404
        assert (await refused(gateway, "b", previous_response_id=made["id"]))[0] == 400
        # But its session is there.
        sent = [{"role": "user", "content": "a"}, *made["output"], {"role": "user", "content": "b"}]
        assert (await ask(gateway, sent, store=False))["conversation"] == made["conversation"]
        assert (await refused(gateway, "a", store=False, background=True))[1]["param"] == "background"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items"), ("GET", "/x")]
)
@pytest.mark.parametrize("id_", ["resp_none", "x", "resp_%20"])
async def test_what_is_not_there(gateway: Running, method: str, path: str, id_: str) -> None:
    answer = await gateway.http.request(method, f"{RESPONSES}/{id_}{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_deleted_response_is_gone_and_its_session_is_not() -> None:
    async with running(echoes()) as gateway:
        made = await ask(gateway, "a")
        answer = await gateway.http.delete(f"{RESPONSES}/{made['id']}")
        assert answer.json() == {"id": made["id"], "object": "response", "deleted": True}
        assert (await get(gateway, made["id"]))[0] == 404
        assert (await gateway.http.delete(f"{RESPONSES}/{made['id']}")).status_code == 404
        assert (await refused(gateway, "b", previous_response_id=made["id"]))[1][
            "code"
        ] == "previous_response_not_found"
        await ask(gateway, "b", conversation=made["conversation"]["id"])
        assert len(told(gateway)) == 3


async def test_another_dialects_turn_is_no_response() -> None:
    async with running(echoes()) as gateway:
        chat = await gateway.http.post(CHAT, json={"model": "sonnet", "messages": [{"role": "user", "content": "a"}]})
        id_ = chat.json()["id"].replace("chatcmpl-", "resp_")
        assert (await get(gateway, id_))[0] == 404
        assert (await refused(gateway, "b", previous_response_id=id_))[0] == 400


async def test_what_a_response_was_given() -> None:
    async with running(echoes()) as gateway:
        one = await ask(gateway, "a")
        png = "data:image/png;base64,iVBORw0KGgo="
        parts = [{"type": "input_text", "text": "b"}, {"type": "input_image", "image_url": png}]
        two = await ask(gateway, [{"role": "user", "content": parts}], previous_response_id=one["id"])
        await ask(gateway, "c", previous_response_id=two["id"])
        status, listed = await get(gateway, two["id"], "/input_items?order=asc")
        assert (status, listed["has_more"], listed["object"]) == (200, False, "list")
        assert [item["role"] for item in listed["data"]] == ["user", "assistant", "user"]
        assert listed["data"][1]["content"][0]["text"] == "re: a"
        assert listed["data"][2]["content"] == [
            parts[0],
            {"type": "input_image", "image_url": png, "file_id": None, "detail": "auto"},
        ]
        assert (listed["first_id"], listed["last_id"]) == (listed["data"][0]["id"], listed["data"][2]["id"])
        _, newest = await get(gateway, two["id"], "/input_items?limit=2")
        assert newest["data"] == listed["data"][:0:-1]
        assert newest["has_more"]
        _, rest = await get(gateway, two["id"], f"/input_items?limit=2&after={newest['last_id']}")
        assert (rest["data"], rest["has_more"]) == (listed["data"][:1], False)
        assert (await get(gateway, two["id"], "/input_items?after=x"))[0] == 400
        assert (await get(gateway, two["id"], "/input_items?limit=0"))[0] == 400
        assert [item["content"][0]["text"] for item in (await get(gateway, one["id"], "/input_items"))[1]["data"]] == [
            "a"
        ]


# In the background


async def test_a_response_in_the_background() -> None:
    door = Door()
    async with running(stops_at(3, door, "one", "two")) as gateway:
        made = await ask(gateway, "a", background=True)
        assert (made["status"], made["background"], made["output"]) == ("in_progress", True, [])
        await door.reached.wait()
        status, found = await get(gateway, made["id"])
        assert (status, found["status"], found["usage"]) == (200, "in_progress", None)
        assert found["conversation"] == made["conversation"]
        reading = asyncio.create_task(gateway.http.get(f"{RESPONSES}/{made['id']}?stream=true"))
        door.set()
        stream = frames((await reading).text)
        assert stream[-1]["type"] == "response.completed"
        _, found = await get(gateway, made["id"])
        assert found["status"] == "completed"
        assert found["output"] == stream[-1]["response"]["output"]
        # Every event, from any of them on.
        for after in range(len(stream)):
            rest = await gateway.http.get(f"{RESPONSES}/{made['id']}?stream=true&starting_after={after}")
            assert frames(rest.text) == stream[after + 1 :]
        assert gateway.engine.left_early == []


async def test_a_stream_in_the_background_goes_on_when_its_reader_leaves() -> None:
    door = Door()
    async with running(stops_at(3, door, "one", "two")) as gateway:
        body = {"model": "sonnet", "input": "a", "background": True, "stream": True}
        async with gateway.http.stream("POST", RESPONSES, json=body) as answer:
            read = ""
            async for text in answer.aiter_text():
                read += text
                if '"delta":"one"' in read:
                    break
        seen = frames(read[: read.rindex("\n\n") + 2])
        assert (await gateway.logs.request())["outcome"] == "client_left"
        id_ = seen[0]["response"]["id"]
        door.set()
        rest = await gateway.http.get(f"{RESPONSES}/{id_}?stream=true&starting_after={seen[-1]['sequence_number']}")
        whole = [*seen, *frames(rest.text)]
    assert [frame["sequence_number"] for frame in whole] == list(range(len(whole)))
    assert [frame["delta"] for frame in whole if "delta" in frame] == ["one", "two"]
    assert whole[-1]["response"]["output"][0]["content"][0]["text"] == "onetwo"


async def test_a_response_in_the_background_is_cancelled() -> None:
    door = Door()
    async with running(stops_at(3, door, "one", "two")) as gateway:
        made = await ask(gateway, "a", background=True)
        await door.reached.wait()
        for _ in range(2):
            answer = await gateway.http.post(f"{RESPONSES}/{made['id']}/cancel")
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        _, found = await get(gateway, made["id"])
        assert found["status"] == "cancelled"
        assert found["output"][0]["content"][0]["text"] == "one"
        assert found["output"][0]["status"] == "incomplete"


async def test_only_what_is_in_the_background_is_cancelled() -> None:
    async with running(echoes()) as gateway:
        made = await ask(gateway, "a")
        answer = await gateway.http.post(f"{RESPONSES}/{made['id']}/cancel")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "response_id")
        late = await ask(gateway, "b", background=True)
        await gateway.http.get(f"{RESPONSES}/{late['id']}?stream=true")
        answer = await gateway.http.post(f"{RESPONSES}/{late['id']}/cancel")
        assert answer.json()["status"] == "completed"


async def test_a_response_is_deleted_while_it_runs() -> None:
    door = Door()
    async with running(stops_at(3, door, "one", "two")) as gateway:
        made = await ask(gateway, "a", background=True)
        await door.reached.wait()
        assert (await gateway.http.delete(f"{RESPONSES}/{made['id']}")).status_code == 200
        assert (await get(gateway, made["id"]))[0] == 404


async def test_the_same_request_in_the_background_runs_once() -> None:
    door = Door()
    async with running(stops_at(4, door, "one")) as gateway:
        body = {"model": "sonnet", "input": "a", "background": True}
        headers = {"idempotency-key": "k"}
        made = [(await gateway.http.post(RESPONSES, json=body, headers=headers)).json() for _ in range(2)]
        assert made[0]["id"] == made[1]["id"]
        assert len(gateway.engine.plans) == 1
        door.set()


async def test_a_failure_in_the_background_is_kept() -> None:
    error = TurnError(ErrorKind.UPSTREAM_RATE_LIMITED, "Slow down.", source="upstream")

    def script(plan: Plan) -> list[Step]:
        return [*answer_events(plan, "half")[:3], Failed(error)]

    async with running(ScriptedEngine(script)) as gateway:
        made = await ask(gateway, "a", background=True)
        await gateway.http.get(f"{RESPONSES}/{made['id']}?stream=true")
        _, found = await get(gateway, made["id"])
    assert (found["status"], found["error"]) == ("failed", {"code": "rate_limit_exceeded", "message": "Slow down."})


async def test_a_response_that_somebody_waits_for_is_in_progress() -> None:
    door = Door()
    async with running(stops_at(4, door, "one")) as gateway:
        asking = asyncio.create_task(ask(gateway, "a"))
        await door.reached.wait()
        plan: Plan = gateway.engine.plans[0]
        _, found = await get(gateway, f"resp_{plan.turn_id}")
        assert (found["status"], found["output"]) == ("in_progress", [])
        answer = await gateway.http.get(f"{RESPONSES}/resp_{plan.turn_id}?stream=true")
        assert answer.status_code == 409
        door.set()
        await asking


# What is not honoured


async def test_what_is_ignored_is_named() -> None:
    tools = [TOOL, {"type": "web_search"}, {"type": "namespace", "name": "x", "tools": []}]
    async with running(echoes()) as gateway:
        body = {"model": "sonnet", "input": "a", "tools": tools, "prompt_cache_key": "k", "include": ["x.y"]}
        for more in ({}, {"background": True}):
            answer = await gateway.http.post(RESPONSES, json={**body, **more})
            named = answer.headers["x-ignored-params"].split(", ")
            assert set(named) == {"tools.web_search", "tools.namespace", "prompt_cache_key", "include.x.y"}
            assert answer.headers["x-session-id"]
        status, error = await refused(gateway, "a", tools=tools, tool_choice={"type": "web_search"})
        assert (status, error["param"]) == (400, "tool_choice")


async def test_a_failure_is_said_in_openais_shape() -> None:
    error = TurnError(ErrorKind.UPSTREAM_OVERLOADED, "Later.", source="upstream")
    async with running(plays([Failed(error)]), flow=FlowOptions()) as gateway:
        for stream in (False, True):
            status, body = await refused(gateway, "a", stream=stream)
            assert (status, body["code"], body["message"]) == (503, "upstream_overloaded", "Later.")
        answer = await gateway.http.put(RESPONSES, json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
