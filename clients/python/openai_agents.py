"""The OpenAI Agents SDK, over the API that the environment's AGENTS_API names: `chat_completions` or `responses`."""

from __future__ import annotations

import os
from typing import Any

from agents import Agent, Runner, function_tool, set_default_openai_api, set_tracing_disabled
from scenario import MODEL, NO_MODEL, QUESTION, SUMS, Adder, Point, perform, told

set_default_openai_api(os.environ["AGENTS_API"])
set_tracing_disabled(disabled=True)


def agent(model: str = MODEL, **fields: Any) -> Agent[Any]:
    return Agent(name="tester", instructions="Be brief.", model=model, **fields)


async def whole() -> dict[str, Any]:
    answer = await Runner.run(agent(), QUESTION)
    return {"text": answer.final_output, "tokens": answer.context_wrapper.usage.total_tokens}


async def stream() -> dict[str, Any]:
    said: list[str] = []
    await _read(said, Runner.run_streamed(agent(), QUESTION))
    return told(said)


async def _read(said: list[str], running: Any) -> None:
    async for event in running.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            said.append(event.data.delta)


async def tools() -> dict[str, Any]:
    adder = Adder()
    answer = await Runner.run(agent(tools=[function_tool(adder.add)]), SUMS)
    return {"text": answer.final_output, "sums": adder.sums}


async def tools_stream() -> dict[str, Any]:
    adder = Adder()
    running = Runner.run_streamed(agent(tools=[function_tool(adder.add)]), SUMS)
    await _read([], running)
    return {"text": running.final_output, "sums": adder.sums}


async def structured() -> dict[str, Any]:
    return {"value": (await Runner.run(agent(output_type=Point), QUESTION)).final_output.model_dump()}


async def unknown_model() -> None:
    await Runner.run(agent(NO_MODEL), QUESTION)


async def rate_limited() -> None:
    await Runner.run(agent(), QUESTION)


async def cut(said: list[str]) -> None:
    await _read(said, Runner.run_streamed(agent(), QUESTION))


perform(whole, stream, tools, tools_stream, structured, unknown_model, rate_limited, cut)
