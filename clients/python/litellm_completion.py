"""litellm as a client, over either API: `openai` or `anthropic`, as the environment's PROVIDER says."""

from __future__ import annotations

import json
import os
from typing import Any

import litellm
from scenario import MODEL, NO_MODEL, QUESTION, SUMS, Adder, Point, perform, told

PROVIDER = os.environ["PROVIDER"]
litellm.telemetry = False
ADD = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


def complete(text: str = QUESTION, model: str = MODEL, **fields: Any) -> Any:
    fields.setdefault("messages", [{"role": "user", "content": text}])
    return litellm.completion(model=f"{PROVIDER}/{model}", **fields)


def whole() -> dict[str, Any]:
    answer = complete()
    return {"text": answer.choices[0].message.content, "tokens": answer.usage.total_tokens}


def stream() -> dict[str, Any]:
    return told([chunk.choices[0].delta.content for chunk in complete(stream=True)])


def tools() -> dict[str, Any]:
    return _loop(complete)


def tools_stream() -> dict[str, Any]:
    return _loop(lambda **fields: litellm.stream_chunk_builder(list(complete(stream=True, **fields))))


def _loop(ask: Any) -> dict[str, Any]:
    adder = Adder()
    messages: list[Any] = [{"role": "user", "content": SUMS}]
    asking = {"messages": messages, "tools": [{"type": "function", "function": ADD}]}
    message = ask(**asking).choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls:
        result = adder.add(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": str(result)})
    return {"text": ask(**asking).choices[0].message.content, "sums": adder.sums}


def structured() -> dict[str, Any]:
    answer = complete(response_format=Point).choices[0].message.content
    return {"value": Point.model_validate_json(answer).model_dump()}


def unknown_model() -> None:
    complete(model=NO_MODEL)


def rate_limited() -> None:
    complete()


def cut(said: list[str]) -> None:
    for chunk in complete(stream=True):
        said.append(chunk.choices[0].delta.content or "")


perform(whole, stream, tools, tools_stream, structured, unknown_model, rate_limited, cut)
