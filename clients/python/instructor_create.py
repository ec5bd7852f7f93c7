"""instructor over either API: `openai` or `anthropic`, as the environment's PROVIDER says."""

from __future__ import annotations

import os
from typing import Any

import instructor
from scenario import MODEL, NO_MODEL, QUESTION, Point, perform


def create(model: str = MODEL, **fields: Any) -> Any:
    client = instructor.from_provider(f"{os.environ['PROVIDER']}/{model}")
    messages = [{"role": "user", "content": QUESTION}]
    return client.chat.completions.create(response_model=Point, messages=messages, max_tokens=1000, **fields)


def structured() -> dict[str, Any]:
    return {"value": create().model_dump()}


def structured_stream() -> dict[str, Any]:
    client = instructor.from_provider(f"{os.environ['PROVIDER']}/{MODEL}")
    messages = [{"role": "user", "content": QUESTION}]
    states = list(client.chat.completions.create_partial(response_model=Point, messages=messages, max_tokens=1000))
    return {"value": states[-1].model_dump()}


def unknown_model() -> None:
    create(NO_MODEL, max_retries=1)


perform(structured, structured_stream, unknown_model)
