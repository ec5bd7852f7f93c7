"""Chat completions over HTTP: the bytes of the golden files, the status, the headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from claude_code_api.engine.scripted import ScriptedEngine
from claude_code_api.flow.options import FlowOptions, IgnoredParams, RemoteParts, UnknownModel
from claude_code_api.flow.ports import OfferedModel
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed
from claude_code_api.turn.request import OpaqueBlock
from tests.dialects.event_lines import load_events
from tests.http.loopback import CHAT, CLAUDE_MODEL, Running, plays, running, says

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SCENARIOS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


def request_of(scenario: str, *, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads((GOLDEN / scenario / "openai_chat.request.json").read_bytes())
    return {**body, "stream": stream}


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_stream_is_the_golden_file(scenario: str) -> None:
    events = load_events(GOLDEN / scenario / "events.jsonl")
    async with running(plays(events)) as gateway:
        response = await gateway.http.post(CHAT, json=request_of(scenario, stream=True))
    if isinstance(events[0], Failed):
        # Nothing was said yet, so the status is the true one, and the answer is no stream.
        said(response, scenario)
        return
    assert response.status_code == 200
    assert response.content == (GOLDEN / scenario / "openai_chat.stream.sse").read_bytes()
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert gateway.engine.left_early == []


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_whole_answer_is_the_golden_file(scenario: str) -> None:
    events = load_events(GOLDEN / scenario / "events.jsonl")
    async with running(plays(events)) as gateway:
        response = await gateway.http.post(CHAT, json=request_of(scenario, stream=False))
    if isinstance(events[-1], Failed):
        said(response, scenario)
        return
    assert response.status_code == 200
    assert response.json() == orjson.loads((GOLDEN / scenario / "openai_chat.answer.json").read_bytes())
    assert response.headers["content-type"] == "application/json"
    assert gateway.engine.left_early == []


def said(response: httpx2.Response, scenario: str) -> None:
    error = orjson.loads((GOLDEN / scenario / "openai_chat.error.json").read_bytes())
    assert response.status_code == error["status"]
    assert response.json() == error["body"]
    assert {name: response.headers.get(name) for name in error["headers"]} == error["headers"]
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("stream", [True, False])
async def test_the_real_model_and_what_was_ignored_are_named(stream: bool) -> None:
    async with running() as gateway:
        response = await gateway.post(stream=stream, seed=1, temperature=1.5, frobnicate=2)
        plain = await gateway.post(stream=stream)
    assert response.headers["x-claude-model"] == CLAUDE_MODEL
    assert set(response.headers["x-ignored-params"].split(", ")) == {"seed", "temperature>1", "frobnicate"}
    assert plain.headers["x-claude-model"] == CLAUDE_MODEL
    assert "x-ignored-params" not in plain.headers


@pytest.mark.parametrize("stream", [True, False])
async def test_what_would_be_ignored_is_refused_where_the_operator_wants_that(stream: bool) -> None:
    async with running(flow=FlowOptions(ignored_params=IgnoredParams.REFUSE)) as gateway:
        refused = await gateway.post(stream=stream, seed=1, frobnicate=2)
        answered = await gateway.post(stream=stream, seed=None, logprobs=False)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["param"], error["code"]) == ("seed", "invalid_request")
    assert "`seed` cannot be honoured" in error["message"]
    assert answered.status_code == 200
    assert len(gateway.engine.plans) == 1


async def test_every_answer_has_an_id_and_may_not_be_sniffed(gateway: Running) -> None:
    async with gateway.client() as stranger:
        refused = await stranger.get("/")
    answers = [
        refused,
        await gateway.post(),
        await gateway.post(stream=True),
        await gateway.post(messages=[]),
        await gateway.http.get("/nothing"),
        await gateway.http.put(CHAT, json={}),
        await gateway.http.get("/healthz"),
        await gateway.http.get("/healthz", headers={"host": "evil.test"}),
        await gateway.http.post(CHAT, content="{}", headers={"content-type": "text/plain"}),
    ]
    assert [answer.status_code for answer in answers] == [401, 200, 200, 400, 404, 405, 200, 421, 415]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(id_.startswith("req_") for id_ in ids)
    assert len(set(ids)) == len(ids)
    assert all(answer.headers["x-content-type-options"] == "nosniff" for answer in answers)
    assert [line["request_id"] for line in gateway.logs.requests()] == ids


@pytest.mark.parametrize(
    ("given", "kept"),
    [("trace-1.a_B", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ('a"}', False), ("", False)],
)
async def test_a_clients_own_id_is_kept_when_it_is_one(gateway: Running, given: str, kept: bool) -> None:
    response = await gateway.http.get("/healthz", headers={"x-request-id": given})
    assert (response.headers["x-request-id"] == given) is kept


async def test_the_name_of_a_model_decides_before_the_stream_begins() -> None:
    offered = (OfferedModel("opus", "claude-opus-9", "Opus"), OfferedModel("sonnet", "claude-sonnet-9", "Sonnet"))
    engine = says("Hello")
    engine.models = offered
    async with running(engine, flow=FlowOptions(unknown_model=UnknownModel.REFUSE)) as gateway:
        refused = await gateway.post(model="llama-3", stream=True)
        answered = await gateway.post(model="gpt-4", stream=True)
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "model_not_found"
    assert "llama-3" in refused.json()["error"]["message"]
    assert answered.status_code == 200
    assert [plan.model for plan in engine.plans] == ["claude-opus-9"]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_cannot_work_says_so_with_its_status(stream: bool) -> None:
    refusal = TurnError(ErrorKind.NO_CREDENTIALS, "Log in first.", "no file", source="engine")
    async with running(ScriptedEngine(lambda _: [], refusal=refusal)) as gateway:
        response = await gateway.post(stream=stream)
        line = await gateway.logs.request()
    assert response.status_code == 503
    assert response.json() == {
        "error": {"message": "Log in first.", "type": "server_error", "param": None, "code": "no_credentials"}
    }
    assert response.headers["x-should-retry"] == "false"
    assert (line["error_kind"], line["error_detail"]) == ("no_credentials", "no file")


async def test_the_request_reaches_the_engine_with_its_history(gateway: Running) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "@/etc/passwd /clear \u2028 ü 🙂"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    await gateway.post(messages=turns)
    request = gateway.engine.plans[0].request
    assert [block.text for block in request.system] == ["Be brief."]
    assert [[getattr(block, "text", None) for block in message.blocks] for message in request.messages] == [
        ["@/etc/passwd /clear \u2028 ü 🙂"],
        ["Yes?"],
        ["a", "b"],
    ]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_break_in_the_engine_is_told_in_the_dialects_words(stream: bool) -> None:
    """Not a cut connection: most clients take a cut stream for a normal end."""

    def broken(_: object) -> list[Any]:
        events = load_events(GOLDEN / "text" / "events.jsonl")
        return [*events[:3], events[0]]

    async with running(ScriptedEngine(broken)) as gateway:
        response = await gateway.post(stream=stream)
        line = await gateway.logs.request()
        again = await gateway.http.get("/healthz")
    if stream:
        assert response.status_code == 200
        assert response.text.count('"code":"internal_error"') == 1
        assert response.text.endswith("data: [DONE]\n\n")
        assert '"finish_reason":"stop"' not in response.text
    else:
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "internal_error"
    assert "Started" not in response.text
    assert line["outcome"] == "failed"
    assert line["error_detail"] == "Started is not legal in a part"
    assert again.status_code == 200


async def test_an_image_by_url_is_refused_by_its_place_unless_the_operator_lets_it_pass() -> None:
    address = "http://169.254.169.254/latest"
    part = {"type": "image_url", "image_url": {"url": address}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "see"}, part]}]
    async with running() as gateway:
        refused = await gateway.post(messages=messages)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages[0].content[1]")
    assert "data: URL" in refused.json()["error"]["message"]
    assert gateway.engine.plans == []
    async with running(flow=FlowOptions(remote_parts=RemoteParts.FORWARD)) as gateway:
        assert (await gateway.post(messages=messages)).status_code == 200
    (plan,) = gateway.engine.plans
    assert plan.request.messages[0].blocks[1] == OpaqueBlock(
        {"type": "image", "source": {"type": "url", "url": address}}
    )
