"""A stand-in without pacing, and a client that reads its streams as events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
import pytest

from claude_code_api.standin import StandIn

TIMEOUT_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def upstream() -> Iterator[StandIn]:
    with StandIn(pace_ms=0) as stand_in:
        yield stand_in


@dataclass
class Api:
    """The API as a client sees it."""

    http: httpx2.Client

    def post(self, text: str = "hello", **fields: Any) -> httpx2.Response:
        return self.http.post("/v1/messages?beta=true", json=request(text, **fields))

    def stream(self, text: str = "hello", **fields: Any) -> list[tuple[str, dict[str, Any]]]:
        response = self.post(text, stream=True, **fields)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        return events(response.text)

    def final(self, text: str = "hello", **fields: Any) -> dict[str, Any]:
        message: dict[str, Any] = self.post(text, **fields).json()
        return message


@pytest.fixture
def api(upstream: StandIn) -> Iterator[Api]:
    with httpx2.Client(base_url=upstream.base_url, timeout=TIMEOUT_S) as http:
        yield Api(http)


def request(text: str = "hello", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-haiku-4-5", "max_tokens": 32000, "messages": messages, **fields}


def events(stream: str) -> list[tuple[str, dict[str, Any]]]:
    """Read whole frames only, as a strict parser would."""
    found = []
    for block in stream.split("\n\n"):
        if block:
            name, _, data = block.partition("\n")
            found.append((name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return found


def names(found: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name for name, _ in found]


def joined(found: list[tuple[str, dict[str, Any]]], key: str = "text", index: int = 0) -> str:
    deltas = [data for name, data in found if name == "content_block_delta" and data["index"] == index]
    return "".join(data["delta"].get(key, "") for data in deltas)
