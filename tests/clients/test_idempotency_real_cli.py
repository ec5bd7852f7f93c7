"""One idempotency key, the whole way: however often a request comes, the model is asked once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from claude_code_api.standin import Answer as Scripted
from claude_code_api.standin import Gate, StandIn, Text, Usage
from tests.clients.whole_way import whole_way
from tests.harness.waiting import BOUND_S
from tests.http.loopback import KEY

pytestmark = pytest.mark.real_cli

AT_ONCE = 50
BODY = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "once"}]}


@pytest.mark.parametrize("stream", [True, False])
async def test_fifty_at_once_are_one_request_to_the_model(tmp_path: Path, upstream: StandIn, stream: bool) -> None:
    upstream.always(Scripted((Text("on"), Gate("go"), Text("ly once")), usage=Usage(7, 3)))
    headers = {"authorization": f"Bearer {KEY}", "idempotency-key": "the-key"}
    async with (
        whole_way(tmp_path, upstream, warm=True) as (gateway, _),
        httpx2.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False, timeout=BOUND_S) as http,
    ):

        async def ask() -> httpx2.Response:
            return await http.post("/v1/chat/completions", json={**BODY, "stream": stream})

        asked = [asyncio.create_task(ask()) for _ in range(AT_ONCE)]
        # The first one is in the middle of its answer; all others are somewhere on their way.
        await asyncio.to_thread(upstream.wait_at_gate, "go")
        upstream.release("go")
        answers = [await one for one in asked]
        late = await ask()
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in [*answers, late]}) == 1
        assert len({answer.headers["x-session-id"] for answer in [*answers, late]}) == 1
        other = await http.post("/v1/chat/completions", json={**BODY, "stream": not stream})
        assert other.status_code == 409
        (session,) = (await gateway.http.get("/v1/sessions")).json()["data"]
        assert (session["message_count"], session["turn_count"]) == (2, 1)
        (used,) = (await gateway.http.get("/v1/usage")).json()["data"]
        assert (used["turns"], used["input_tokens"], used["output_tokens"]) == (1, 7, 3)
    assert len(upstream.messages) == 1
