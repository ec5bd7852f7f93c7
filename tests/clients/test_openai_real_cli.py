"""The official openai client, the gateway, the bundled claude and a stand-in upstream: the whole way and back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from claude_code_api.standin import Answer, Gate, StandIn, Text, fails
from tests.clients.whole_way import whole_way

pytestmark = pytest.mark.real_cli
TEXT = "@/etc/passwd /clear 'x' \"y\" \\ ü 🙂\n  two lines\t"


async def test_a_whole_answer_and_a_stream(tmp_path: Path) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream) as (gateway, client):
            messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
            upstream.play("Hello, world!", Answer((Text(pieces=("Hel", "lo ", "🙂")),)))
            raw = await client.chat.completions.with_raw_response.create(model="haiku", messages=messages)
            stream = await client.chat.completions.create(model="haiku", messages=messages, stream=True)
            pieces = [
                choice.delta.content async for chunk in stream for choice in chunk.choices if choice.delta.content
            ]
            lines = await gateway.logs.until(lambda lines: len(lines) == 2)
    assert raw.parse().choices[0].message.content == "Hello, world!"
    assert "haiku" in raw.headers["x-claude-model"]
    assert pieces == ["Hel", "lo ", "🙂"]
    assert [line["outcome"] for line in lines] == ["stop", "stop"]
    for record in upstream.messages:
        assert TEXT in [block["text"] for block in record.body["messages"][-1]["content"]]


async def test_an_upstream_that_fails_is_raised_once(tmp_path: Path) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream) as (_, client):
            upstream.always(fails(400, "no such thing", error_type="invalid_request_error"))
            with pytest.raises(openai.APIStatusError) as raised:
                await client.chat.completions.create(model="haiku", messages=[{"role": "user", "content": "hi"}])
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert len(upstream.messages) == 1


async def test_a_client_that_leaves_closes_the_call_upstream(tmp_path: Path) -> None:
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(tmp_path, upstream) as (gateway, client):
            upstream.play(Answer((Text(pieces=("one", Gate("never"), "two")),)))
            stream = await client.chat.completions.create(
                model="haiku", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            async for chunk in stream:
                if chunk.choices[0].delta.content == "one":
                    break
            await stream.close()
            line = await gateway.logs.request()
            record = await asyncio.to_thread(upstream.wait_closed, 0)
    assert line["outcome"] == "client_left"
    assert not record.finished
