"""A spare has had its slow first turns before anybody wants it, and nobody was asked for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.rehearsal import REHEARSALS
from claude_code_api.standin import Answer as Scripted
from claude_code_api.standin import StandIn, Text, Usage
from tests.clients.whole_way import whole_way
from tests.http.loopback import CHAT
from tests.http.test_key_limits import until

pytestmark = pytest.mark.real_cli
MODEL = "sonnet"


async def test_a_spare_rehearses_and_asks_nobody(tmp_path: Path) -> None:
    with StandIn(pace_ms=0) as upstream:
        upstream.always(Scripted((Text("really"),), usage=Usage(7, 3)))
        async with whole_way(tmp_path, upstream, warm=True) as (gateway, _):
            engine: Any = gateway.engine
            assert isinstance(engine, ClaudeEngine)
            engine.prepare((await gateway.runner._catalogue.resolve(MODEL)).value)  # noqa: SLF001 - as a turn resolves it
            await until(lambda: engine._pool.idle == 1)  # noqa: SLF001 - nobody else needs to know
            (spare,) = engine._starter.alive  # noqa: SLF001
            assert (spare.process.turns, spare.turns) == (REHEARSALS, 0)
            assert upstream.messages == []
            body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
            answer = (await gateway.http.post(CHAT, json=body)).json()
            assert answer["choices"][0]["message"]["content"] == "really"
            assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (7, 3)
            assert spare.turns == 1, "it was the spare that answered"
            (asked,) = upstream.messages
            assert "rehearsal" not in str(asked.body)
