"""pydantic-ai, over the API that the environment's PROVIDER names: `openai-chat`, `openai-responses` or `anthropic`."""

from __future__ import annotations

import os
from typing import Any

from pydantic_ai import Agent, NativeOutput
from scenario import MODEL, NO_MODEL, QUESTION, SUMS, Adder, Point, perform, told


def agent(model: str = MODEL, **fields: Any) -> Agent[Any, Any]:
    return Agent(f"{os.environ['PROVIDER']}:{model}", **fields)


def whole() -> dict[str, Any]:
    answer = agent().run_sync(QUESTION)
    return {"text": answer.output, "tokens": answer.usage.total_tokens}


async def stream() -> dict[str, Any]:
    async with agent().run_stream(QUESTION) as answer:
        return told([piece async for piece in answer.stream_text(delta=True, debounce_by=None)])


def tools() -> dict[str, Any]:
    adder = Adder()
    answer = agent(tools=[adder.add]).run_sync(SUMS)
    return {"text": answer.output, "sums": adder.sums}


async def tools_stream() -> dict[str, Any]:
    adder = Adder()
    async with agent(tools=[adder.add]).run_stream(SUMS) as answer:
        return {"text": await answer.get_output(), "sums": adder.sums}


def structured() -> dict[str, Any]:
    return {"value": agent(output_type=Point).run_sync(QUESTION).output.model_dump()}


def structured_by_schema() -> dict[str, Any]:
    # The library goes by the name of the model.
    model = "claude-sonnet-4-5" if os.environ["PROVIDER"] == "anthropic" else MODEL
    return {"value": agent(model, output_type=NativeOutput(Point)).run_sync(QUESTION).output.model_dump()}


def unknown_model() -> None:
    agent(NO_MODEL).run_sync(QUESTION)


def rate_limited() -> None:
    agent().run_sync(QUESTION)


async def cut(said: list[str]) -> None:
    async with agent().run_stream(QUESTION) as answer:
        async for piece in answer.stream_text(delta=True, debounce_by=None):
            said.append(piece)


perform(whole, stream, tools, tools_stream, structured, structured_by_schema, unknown_model, rate_limited, cut)
