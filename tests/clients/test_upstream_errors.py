"""Every way in which the model's API fails, as a client of the gateway sees it; each is asked once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import Answer, Break, StandIn, Text, fails
from tests.clients.whole_way import whole_way
from tests.engine.impatient import Impatient

pytestmark = pytest.mark.real_cli

INVALID, LIMIT, SERVER = "invalid_request_error", "rate_limit_error", "server_error"
# What the API answers: status, error type ("" for the usual one), words. Then what the client gets.
STATUSES: list[tuple[int, str, str, tuple[int, str, str]]] = [
    (400, "", "messages.1: Invalid `signature`", (400, INVALID, "upstream_invalid")),
    # The CLI has words of its own for this one; the client gets the API's.
    (400, "", "image exceeds 5 MB maximum", (400, INVALID, "upstream_invalid")),
    (400, "", "prompt is too long: 250000 tokens > 200000 maximum", (400, INVALID, "context_length_exceeded")),
    (401, "", "invalid x-api-key", (502, SERVER, "upstream_auth")),
    (403, "", "not allowed", (502, SERVER, "upstream_auth")),
    (404, "", "model: none", (404, INVALID, "model_not_found")),
    (408, "timeout_error", "slow", (504, SERVER, "upstream_timeout")),
    (413, "", "Request exceeds the maximum size", (413, INVALID, "body_too_large")),
    (429, "", "slow down", (429, LIMIT, "upstream_rate_limited")),
    (500, "", "oops", (502, SERVER, "upstream_error")),
    (503, "api_error", "away", (503, SERVER, "upstream_overloaded")),
    (504, "", "slow", (504, SERVER, "upstream_timeout")),
    (529, "", "Overloaded", (503, SERVER, "upstream_overloaded")),
]


def seen(response: Any) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["type"], error["code"]


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "fresh"])
async def test_a_status_has_its_answer_and_its_time_to_come_back(tmp_path: Path, warm: bool) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream, warm=warm) as (gateway, _):
            for number, (status, kind, words, expected) in enumerate(STATUSES if warm else STATUSES[1::4]):
                upstream.clear()
                upstream.always(fails(status, words, error_type=kind, retry_after_s=7))
                response = await gateway.post(model="haiku", stream=number % 2 == 0)
                assert seen(response) == expected
                assert response.headers["retry-after"] == "7"
                assert response.headers["x-should-retry"] == "false"
                message = response.json()["error"]["message"]
                assert (message == words) is (expected[2] == "upstream_invalid"), message
                assert len(upstream.messages) == 1, status
            upstream.clear()
            upstream.always("fine")
            answered = await gateway.post(model="haiku")
    assert answered.json()["choices"][0]["message"]["content"] == "fine"


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "fresh"])
async def test_a_connection_that_fails_is_told_apart_from_an_answer(
    tmp_path: Path, warm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdogs = Impatient.over_all(monkeypatch)
    cut, stall = Answer(hold=Break("cut")), Answer(hold=Break("stall"))
    broken = Answer((Text(pieces=("a", Break("error"))),))
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream, warm=warm) as (gateway, _):
            for answer, expected in (
                (cut, (502, SERVER, "upstream_error")),
                (stall, (504, SERVER, "upstream_timeout")),
                (broken, (503, SERVER, "upstream_overloaded")),
            ):
                upstream.clear()
                upstream.always(answer)
                asked = asyncio.create_task(gateway.post(model="haiku"))
                await asyncio.to_thread(upstream.wait_received)
                if answer is stall:
                    for dog in watchdogs:
                        dog.run_out()
                response = await asked
                assert seen(response) == expected
                assert "retry-after" not in response.headers
                assert len(upstream.messages) == 1
                if answer is cut:
                    assert response.json()["error"]["message"] == "The model's API could not be reached."
            streamed = await gateway.post(model="haiku", stream=True)
    assert streamed.status_code == 200
    assert '"content":"a"' in streamed.text
    assert '"code":"upstream_overloaded"' in streamed.text
    assert '"finish_reason":"' not in streamed.text
