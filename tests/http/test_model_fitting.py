"""What a client is told of a request that its model does not take as it was sent, and of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.options import FlowOptions, IgnoredParams
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Ended, EndReason, Failed, PartDelta, PartEnded, PartKind, PartStarted, Started
from claude_code_api.turn.request import TextBlock, TurnRequest
from tests.http.loopback import CHAT, Running, answer_events, plays, running, says

JSON_MODE: dict[str, Any] = {"response_format": {"type": "json_object"}}
# It takes no temperature, cannot be forced to call, and does not go on with begun answers.
NEWEST = "sonnet"


def in_turn(*texts: str) -> ScriptedEngine:
    """Answer each question with the next text."""
    left = list(texts)

    def script(plan: Plan) -> Sequence[Step]:
        return answer_events(plan, left.pop(0))

    return ScriptedEngine(script)


def asked(engine: ScriptedEngine, number: int = 0) -> TurnRequest:
    return engine.plans[number].request


async def chat(gateway: Running, **fields: Any) -> tuple[Any, str, dict[str, str]]:
    """Ask, whole or streamed; returns the last object, the text and the headers."""
    answer = await gateway.http.post(
        CHAT, json={"model": NEWEST, "messages": [{"role": "user", "content": "hi"}], **fields}
    )
    headers = dict(answer.headers)
    if not fields.get("stream"):
        body = answer.json()
        return body, body["choices"][0]["message"]["content"] if "choices" in body else "", headers
    chunks = [orjson.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ()))
    return chunks[-1], text, headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("texts", "said", "outcome"),
    [
        (('{"a": 1}',), '{"a": 1}', "checked"),
        (('```json\n{"a": 1}\n```',), '{"a": 1}', "checked"),
        (("Here you are!", '{"a": 1}'), '{"a": 1}', "repaired"),
        (("Here", "again"), "again", "invalid"),
    ],
)
async def test_json_is_checked_and_asked_for_once_more(
    texts: tuple[str, ...], said: str, outcome: str, stream: bool
) -> None:
    engine = in_turn(*texts)
    async with running(engine) as gateway:
        _, text, headers = await chat(gateway, stream=stream, **JSON_MODE)
    assert (text, headers["x-structured-output"]) == (said, outcome)
    assert len(engine.plans) == len(texts)
    if len(texts) > 1:
        *_, wrong, told = asked(engine, 1).messages
        assert (wrong.role, told.role) == ("assistant", "user")
        assert wrong.blocks == (TextBlock(texts[0]),)
        assert "not JSON" in getattr(told.blocks[0], "text", "")


async def test_what_was_asked_twice_is_on_the_bill_twice() -> None:
    async with running(in_turn("no", "{}")) as gateway:
        twice, _, _ = await chat(gateway, **JSON_MODE)
    async with running(in_turn("{}")) as gateway:
        once, _, _ = await chat(gateway, **JSON_MODE)
    assert twice["usage"]["prompt_tokens"] == 2 * once["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("schema", "outcome"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, "native"),
        ({"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}, "checked"),
    ],
)
async def test_what_the_models_api_enforces_need_not_be_checked(schema: dict[str, Any], outcome: str) -> None:
    engine = in_turn('{"a": 1}')
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    async with running(engine) as gateway:
        _, _, headers = await chat(gateway, response_format=form)
    assert headers["x-structured-output"] == outcome
    config = asked(engine).as_is["output_config"]
    assert isinstance(config, dict)
    assert config["format"]["schema"]["additionalProperties"] is False


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_as_it_was_sent_is_named(stream: bool) -> None:
    fields = {"temperature": 0.2, "seed": 7, "reasoning_effort": "minimal", "stream": stream}
    async with running(says("Hello")) as gateway:
        _, _, headers = await chat(gateway, **fields)
    assert headers["x-ignored-params"] == "seed, reasoning_effort, temperature"


async def test_or_refused_by_field_and_model_and_nothing_is_kept() -> None:
    flow = FlowOptions(ignored_params=IgnoredParams.REFUSE)
    async with running(says("Hello"), flow=flow) as gateway:
        body, _, _ = await chat(gateway, temperature=0.2)
        assert (body["error"]["param"], "sonnet" in body["error"]["message"]) == ("temperature", True)
        assert (await gateway.http.get("/v1/sessions")).json()["data"] == []
        # In its own words a model's API may be asked anything.
        native = {"model": NEWEST, "max_tokens": 9, "temperature": 0.2, "messages": [{"role": "user", "content": "hi"}]}
        assert (await gateway.http.post("/v1/messages", json=native)).status_code == 200


async def test_functions_are_called_by_the_clients_names() -> None:
    def calls(plan: Plan) -> Sequence[Step]:
        name = plan.request.tools[0].name
        return [
            Started(plan.turn_id, plan.model, plan.created_s),
            PartStarted(0, PartKind.TOOL, "toolu_1", name),
            PartDelta(0, "{}"),
            PartEnded(0),
            Ended(EndReason.TOOL_USE),
        ]

    engine = ScriptedEngine(calls)
    tool = {"type": "function", "function": {"name": "mcp.server/look"}}
    async with running(engine) as gateway:
        body, _, _ = await chat(gateway, tools=[tool])
        message = body["choices"][0]["message"]
        assert message["tool_calls"][0]["function"]["name"] == "mcp.server/look"
        history = [
            {"role": "user", "content": "hi"},
            message,
            {"role": "tool", "tool_call_id": "toolu_1", "content": "x"},
        ]
        await chat(gateway, tools=[tool], messages=history)
    assert {plan.request.tools[0].name for plan in engine.plans} == {"mcp_server_look"}
    assert "mcp_server_look" in repr(asked(engine, 1).messages)
    # It is the same conversation: what is kept has the client's names.
    assert engine.plans[0].principal == engine.plans[1].principal


async def test_a_begun_answer_is_gone_on_with() -> None:
    engine = in_turn("It is blue.")
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "It is"}]
    async with running(engine) as gateway:
        _, text, headers = await chat(gateway, messages=messages)
    assert (text, headers["x-ignored-params"]) == (" blue.", "messages.begun_answer")
    assert asked(engine).messages[-1].role == "user"


async def test_what_the_models_api_refuses_is_told_with_the_clients_field_and_counted() -> None:
    words = "output_config.effort: this is not for you"
    refusal = TurnError(ErrorKind.UPSTREAM_INVALID, words, source="upstream")
    async with running(plays([Failed(refusal)])) as gateway:
        body, _, _ = await chat(gateway)
        assert (body["error"]["message"], body["error"]["param"]) == (words, "reasoning_effort")
        native = {"model": NEWEST, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        told = (await gateway.http.post("/v1/messages", json=native)).json()
        assert told["error"]["message"] == words
        metrics = (await gateway.http.get("/metrics")).text
    assert 'claude_code_api_model_refusals_total{rule="effort"} 2' in metrics


async def test_an_agents_work_is_not_done_twice() -> None:
    engine = in_turn("Done.", "{}")
    async with running(engine) as gateway:
        project = (await gateway.http.post("/v1/projects", json={"name": "p", "profile": "edit"})).json()
        _, text, headers = await chat(gateway, project_id=project["id"], **JSON_MODE)
    assert text == "Done."
    assert "x-structured-output" not in headers
    assert len(engine.plans) == 1
