"""Counting: what is asked of the model's API, as whom, and what becomes of its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from claude_code_api.engine.options import Credentials, EngineOptions
from claude_code_api.engine.overlay import IDENTITY
from claude_code_api.engine.token_count import TokenCount
from claude_code_api.flow.ports import Plan
from claude_code_api.standin import StandIn
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.request import ClientTool, Limits, Message, TextBlock, TurnRequest

KEY = Credentials(api_key="sk-made-up")
REQUEST = TurnRequest(
    "m",
    (Message("user", (TextBlock("hi"),)),),
    system=(TextBlock("be brief"),),
    tools=(ClientTool("look", None, {"type": "object"}),),
    limits=Limits(9, ("END",)),
    as_is={"thinking": {"type": "enabled", "budget_tokens": 1024}, "service_tier": "auto"},
)


@dataclass
class Upstream:
    """A server that gives one answer to everything."""

    answer: bytes
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length")
        )
        self.heads.append(head)
        self.bodies.append(orjson.loads(await reader.readexactly(length)))
        writer.write(self.answer)
        writer.close()


@asynccontextmanager
async def answering(status: str, body: bytes, *headers: str) -> AsyncIterator[Upstream]:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "connection: close"])
    upstream = Upstream(f"{head}\r\n\r\n".encode() + body)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield upstream


async def counted(url: str, credentials: Credentials = KEY, model: str = "claude-x") -> int:
    counter = TokenCount(EngineOptions(anthropic_base_url=url + "/"), credentials)
    try:
        return await counter.count(Plan("t", 0, model, REQUEST))
    finally:
        await counter.close()


async def refused(url: str, credentials: Credentials = KEY) -> TurnError:
    with pytest.raises(TurnRefusedError) as caught:
        await counted(url, credentials)
    return caught.value.error


@pytest.mark.parametrize(
    ("credentials", "header"),
    [(KEY, "x-api-key: sk-made-up"), (Credentials(auth_token="tok"), "authorization: Bearer tok")],
)
async def test_the_input_is_asked_about_and_nothing_else(credentials: Credentials, header: str) -> None:
    async with answering("200 OK", b'{"input_tokens": 17}') as upstream:
        assert await counted(upstream.url, credentials, "claude-x[1m]") == 17
    assert upstream.heads[0].startswith("POST /v1/messages/count_tokens HTTP/1.1\r\n")
    assert header in upstream.heads[0]
    assert "anthropic-version: 2023-06-01" in upstream.heads[0]
    mark = {"type": "ephemeral"}
    assert upstream.bodies == [
        {
            "model": "claude-x",
            "system": [IDENTITY, {"type": "text", "text": "be brief", "cache_control": mark}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": mark}]}],
            "tools": [{"name": "look", "input_schema": {"type": "object"}}],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        }
    ]


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        ("400 Bad", b'{"error": {"message": "no such tool"}}', ErrorKind.UPSTREAM_INVALID, "no such tool"),
        ("400 Bad", b"<html>", ErrorKind.UPSTREAM_INVALID, "The model's API refused the request."),
        ("401 No", b"{}", ErrorKind.UPSTREAM_AUTH, "The gateway's own credentials were refused by the model's API."),
        ("200 OK", b"[]", ErrorKind.UPSTREAM_ERROR, "The model's API did not count the tokens."),
        ("200 OK", b'{"input_tokens": "7"}', ErrorKind.UPSTREAM_ERROR, "The model's API did not count the tokens."),
    ],
)
async def test_answers_that_are_no_count(status: str, body: bytes, kind: ErrorKind, message: str) -> None:
    async with answering(status, body) as upstream:
        error = await refused(upstream.url)
    assert (error.kind, error.message, error.source) == (kind, message, "upstream")


async def test_when_to_come_back_is_passed_on() -> None:
    async with answering("429 Slow", b"{}", "retry-after: 12") as upstream:
        error = await refused(upstream.url)
    assert (error.kind, error.retry_after_s) == (ErrorKind.UPSTREAM_RATE_LIMITED, 12)


async def test_nobody_there() -> None:
    async with answering("200 OK", b"{}") as upstream:
        pass
    error = await refused(upstream.url)
    assert (error.kind, error.message) == (ErrorKind.UPSTREAM_ERROR, "The model's API could not be reached.")


async def test_a_login_cannot_count() -> None:
    error = await refused("http://127.0.0.1:9", Credentials(login_directory=Path("/nowhere")))
    assert error.kind is ErrorKind.NOT_SERVED
    assert "ANTHROPIC_API_KEY" in error.message


async def test_what_the_api_says_of_a_model() -> None:
    with StandIn() as upstream:
        counter = TokenCount(EngineOptions(anthropic_base_url=upstream.base_url), KEY)
        told = await counter.told_of("claude-haiku-4-5-20251001[1m]")
        assert told is not None
        assert told["id"] == "claude-haiku-4-5-20251001"
        assert await counter.told_of("claude/../made up") is None
        upstream.stop()
        assert await counter.told_of("claude-haiku-4-5") is None
        await counter.close()
    (first, second) = upstream.received
    assert (first.method, first.path, first.headers["x-api-key"]) == (
        "GET",
        "/v1/models/claude-haiku-4-5-20251001",
        KEY.api_key,
    )
    assert second.path.startswith("/v1/models/claude")
