"""The official openai client and the completions API of old, against a running gateway."""

from __future__ import annotations

import httpx2
import openai
import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.request import TextBlock
from tests.harness.waiting import BOUND_S
from tests.http.loopback import KEY, Running, answer_events, running


def answers_the_prompt(plan: Plan) -> list[Step]:
    (block,) = plan.request.messages[-1].blocks
    assert isinstance(block, TextBlock)
    return answer_events(plan, "<", block.text, ">")


async def client_of(gateway: Running) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(trust_env=False, timeout=BOUND_S)
    return openai.AsyncOpenAI(api_key=KEY, base_url=gateway.url + "/v1", http_client=http)


async def test_several_prompts_in_one_request() -> None:
    async with running(ScriptedEngine(answers_the_prompt)) as gateway, await client_of(gateway) as client:
        raw = await client.completions.with_raw_response.create(model="haiku", prompt=["a", "b"], n=2, suffix="c")
        whole = raw.parse()
        plans = list(gateway.engine.plans)
    assert [(choice.index, choice.text, choice.finish_reason) for choice in whole.choices] == [
        (0, "<a>", "stop"),
        (1, "<a>", "stop"),
        (2, "<b>", "stop"),
        (3, "<b>", "stop"),
    ]
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 4 * 5
    assert raw.headers["x-ignored-params"] == "suffix"
    assert [plan.request.limits.max_output_tokens for plan in plans] == [16] * 4


@pytest.mark.parametrize("echo", [False, True])
async def test_a_stream(echo: bool) -> None:
    async with running(ScriptedEngine(answers_the_prompt)) as gateway, await client_of(gateway) as client:
        stream = await client.completions.create(
            model="haiku", prompt=["a", "b"], echo=echo, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    texts = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == ({0: "a<a>", 1: "b<b>"} if echo else {0: "<a>", 1: "<b>"})
    last = chunks[-1].usage
    assert last is not None
    assert last.completion_tokens == 2 * 5
