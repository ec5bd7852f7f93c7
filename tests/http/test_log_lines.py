"""One canonical line for every request, and nothing private in any line."""

from __future__ import annotations

import asyncio
import re

import orjson
import pytest

from claude_code_api.engine.scripted import ScriptedEngine
from claude_code_api.flow.access import Access
from claude_code_api.telemetry import LogLevel
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed
from tests.http.loopback import CHAT, CLAUDE_MODEL, KEY, Running, answer_events, asking, plays, running, says

PROMPT, ANSWER, SYSTEM, USER = "marker-of-the-prompt", "marker-of-the-answer", "marker-of-the-system", "marker-of-user"


@pytest.mark.parametrize("stream", [True, False])
async def test_one_line_says_what_became_of_a_request(gateway: Running, stream: bool) -> None:
    response = await gateway.post(stream=stream)
    line = await gateway.logs.request()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    assert line.pop("total_ms") >= line.pop("first_token_ms") >= 0
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": response.headers["x-request-id"],
        "method": "POST",
        "path": CHAT,
        "status": 200,
        "key_name": "tests",
        "dialect": "openai_chat",
        "model": "sonnet",
        "claude_model": CLAUDE_MODEL,
        "turn_id": gateway.engine.plans[0].turn_id,
        "session_id": response.headers["x-session-id"],
        "outcome": "stop",
        "input_tokens": 50,
        "output_tokens": 5,
        "cost_usd": 0.25,
    }
    assert len(gateway.logs.all()) == 1


async def test_other_requests_have_a_line_too(gateway: Running) -> None:
    async with gateway.client() as stranger:
        await stranger.get("/v1/models")
    await gateway.http.get("/nothing")
    await gateway.http.get("/healthz", headers={"host": "evil.test"})
    await gateway.http.post(CHAT, content=b"{", headers={"content-type": "application/json"})
    lines = [
        (line["path"], line["status"], line["error_kind"], line.get("error_detail")) for line in gateway.logs.requests()
    ]
    assert lines == [
        ("/v1/models", 401, "unauthenticated", None),
        ("/nothing", 404, "not_found", None),
        ("/healthz", 421, "misdirected", "host ['evil.test']"),
        (CHAT, 400, "invalid_json", None),
    ]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_is_logged_with_its_private_reason(stream: bool) -> None:
    error = TurnError(ErrorKind.UPSTREAM_ERROR, "The model's side failed.", "500 from upstream, attempt 3", "upstream")
    async with running(ScriptedEngine(lambda plan: [*answer_events(plan, "a")[:3], Failed(error)])) as gateway:
        response = await gateway.post(stream=stream)
        line = await gateway.logs.request()
    assert "attempt 3" not in response.text
    assert (line["outcome"], line["error_kind"], line["error_detail"]) == (
        "failed",
        "upstream_error",
        "500 from upstream, attempt 3",
    )
    assert line["status"] == (200 if stream else 502)


async def test_nothing_private_is_in_any_line() -> None:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]
    bad_key = "cca-marker-of-a-wrong-key"
    async with running(says(ANSWER, ANSWER), level=LogLevel.DEBUG) as gateway:
        for stream in (True, False):
            assert ANSWER in (await gateway.post(messages=messages, stream=stream, user=USER)).text
        wrong: list[dict[str, object]] = [
            {"messages": PROMPT},
            {"messages": [{"role": "user", "content": [{"type": PROMPT, "text": PROMPT}]}]},
            {"messages": messages, "temperature": PROMPT},
            {"messages": messages, "tools": [{"type": "function", "function": {"name": PROMPT * 60}}]},
        ]
        for fields in wrong:
            assert (await gateway.http.post(CHAT, json={**asking(), **fields})).status_code == 400
        for body in (orjson.dumps(asking(PROMPT))[:-1], PROMPT.encode(), b"[" * 200 + PROMPT.encode()):
            response = await gateway.http.post(CHAT, content=body, headers={"content-type": "application/json"})
            assert response.status_code == 400
        await gateway.http.post(CHAT, content=PROMPT, headers={"content-type": "text/plain"})
        async with gateway.client(**{"x-api-key": bad_key}) as stranger:
            await stranger.post(CHAT, json=asking(PROMPT))
            await stranger.get("/", params={"key": KEY, "prompt": PROMPT})
        # An engine that breaks the order in the middle of an answer.
        broken = answer_events(gateway.engine.plans[0], ANSWER)
        gateway.engine.script = plays([*broken[:3], broken[0]]).script
        for stream in (True, False):
            await gateway.post(messages=messages, stream=stream)
        text = gateway.logs.getvalue()
        assert len(gateway.logs.requests()) == 14
    for marker in (PROMPT, ANSWER, SYSTEM, USER, KEY, bad_key, "marker-of"):
        assert marker not in text, marker


async def test_a_name_of_a_megabyte_makes_no_line_of_a_megabyte(gateway: Running) -> None:
    assert (await gateway.post(model="m" * 1_000_000)).status_code == 200
    line = await gateway.logs.request()
    assert line["model"] == "m" * 1000
    assert len(gateway.logs.getvalue()) < 3000


async def test_quiet_levels_are_quiet() -> None:
    async with running(level=LogLevel.ERROR) as gateway:
        await gateway.post()
        assert gateway.logs.getvalue() == ""


async def test_a_bug_is_a_500_with_a_reference_and_a_line_with_the_reason(gateway: Running) -> None:
    gateway.engine.models = 7  # type: ignore[assignment]
    response = await gateway.post()
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "x-request-id" in response.json()["error"]["message"]
    assert "iterable" not in response.text
    line = await gateway.logs.request()
    assert line["error_detail"] == "TypeError(\"'int' object is not iterable\")"
    assert line["request_id"] == response.headers["x-request-id"]
    assert any("not iterable" in entry.get("exception", "") for entry in gateway.logs.all())
    gateway.engine.models = ()
    assert (await gateway.post()).status_code == 200


async def test_requests_at_the_same_time_do_not_mix_their_lines() -> None:
    async with running() as gateway:
        answers = await asyncio.gather(*(gateway.post(stream=n % 2 == 0, model=f"model-{n}") for n in range(20)))
        lines = {line["request_id"]: line for line in await gateway.logs.until(lambda lines: len(lines) == 20)}
    for number, answer in enumerate(answers):
        assert lines[answer.headers["x-request-id"]]["model"] == f"model-{number}"


async def test_without_keys_the_line_says_so() -> None:
    async with running(access=Access(None)) as gateway:
        await gateway.post()
        assert (await gateway.logs.request())["key_name"] == "no-auth"
