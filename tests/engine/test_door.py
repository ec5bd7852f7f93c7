"""Door: what an agent, and whatever shares its jail, gets through to the model's API; and what is counted of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.customs import addresses_in
from claude_code_api.engine.door import AgentTerms, Terms
from claude_code_api.engine.doorway import MAX_CONNECTIONS, MAX_HEAD_BYTES
from claude_code_api.flow.purse import Prices, Purse
from claude_code_api.standin import Answer as Played
from claude_code_api.standin import Gate, StandIn, Text, fails
from claude_code_api.turn.events import Usage
from claude_code_api.turn.request import Message, OpaqueBlock, TextBlock, ToolResultBlock
from tests.engine.doors import UVLOOP, Entry, entry, spoken, wire

PRICES = Prices(1.0, 5.0)
STREAM = "content-type: text/event-stream\r\n"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
URL: Any = {"type": "image", "source": {"type": "url", "url": "https://pictures.test/cat.png"}}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return UVLOOP


def agents(requests: int = 10, purse: Purse | None = None, **more: Any) -> Terms:
    return Terms(requests, agent=AgentTerms(purse=purse, **more))


def says_user(block: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


def events(*said: dict[str, Any]) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in said)


def begins(**usage: int) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": "m", "usage": usage}}


def ends(**usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def words(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


class TestA24:
    """What shares a jail with an agent has the agent's door, too, and knows better than the CLI what to ask for."""

    @pytest.mark.parametrize(
        ("method", "target"),
        [
            ("GET", "/v1/messages"),
            ("PUT", "/v1/messages"),
            ("POST", "/v1/models"),
            ("POST", "/v1/messages/batches"),
            ("POST", "/v1/messages/../files"),
            ("POST", "//v1/messages"),
            ("POST", "/V1/messages"),
            ("POST", "/v1/messages/"),
        ],
    )
    async def test_other_paths_and_methods_are_not_there(self, tmp_path: Path, method: str, target: str) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(Terms(10))
            _, said = await spoken(
                inner, b"%b %b HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" % (method.encode(), target.encode())
            )
            assert said.startswith(b"HTTP/1.1 404 ")
            assert upstream.heads == []

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b'{"model":"allowed"}', 200),
            (b'{"model":"other"}', 403),
            (b'{"model":"allowed","model":"other"}', 403),
            (b'{"model":["allowed"]}', 403),
            (b'["allowed"]', 403),
            (b"{", 403),
            (b"", 403),
        ],
    )
    async def test_only_the_models_that_it_may_ask(self, tmp_path: Path, body: bytes, status: int) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(Terms(10, agent=AgentTerms(models=frozenset({"allowed"}))))
            assert (await inner.ask(body)).status_code == status
            assert len(upstream.heads) == (status == 200)

    async def test_what_one_hop_says_to_another_is_not_passed_on(self, tmp_path: Path) -> None:
        theirs = dict.fromkeys(("cookie", "proxy-authorization", "te", "trailer", "expect", "keep-alive"), "planted")
        async with wire(b"ok", fields="set-cookie: a=b\r\n") as upstream, entry(tmp_path, upstream.url) as inner:
            answer = await inner.turn(headers={**theirs, "x-passed": "yes"})
            assert "set-cookie" not in answer.headers
            assert [name for name in theirs if upstream.headers(name)] == []
            assert upstream.headers("x-passed") == ["yes"]

    async def test_a_head_without_an_end(self, tmp_path: Path) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(Terms())
            head = b"POST /v1/messages HTTP/1.1\r\nx-long: " + b"x" * (2 * MAX_HEAD_BYTES)
            assert await spoken(inner, head) == (True, b"")
            assert (await inner.ask()).content == b"ok", "and others are served"

    async def test_a_large_body_is_no_long_head(self, tmp_path: Path) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            large = b"x" * (4 * MAX_HEAD_BYTES)
            assert (await inner.turn(large)).content == b"ok"
            assert upstream.bodies == [large]

    async def test_so_many_connections_and_no_more(self, tmp_path: Path) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            opened = [await asyncio.open_unix_connection(str(inner.path)) for _ in range(MAX_CONNECTIONS + 1)]
            assert await opened[-1][0].read() == b"", "the last one is hung up on"
            opened[0][1].close()
            await opened[0][1].wait_closed()
            for _, writer in opened[1:]:
                writer.close()
                await writer.wait_closed()
            assert (await inner.turn()).content == b"ok"

    @pytest.mark.parametrize(
        "field",
        [
            {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
            {"tools": [{"name": "own", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}]},
            {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
            {"tools": ["web_fetch"]},
            {"mcp_servers": [{"type": "url", "url": "https://elsewhere.test", "name": "x"}]},
            {"container": "container_1"},
            {"fallbacks": [{"model": "other"}]},
            {"speed": "fast"},
            {"messages": [{"role": "user", "content": [URL]}]},
            says_user({"type": "document", "source": {"type": "content", "content": [URL]}}),
        ],
    )
    @pytest.mark.parametrize("target", ["/v1/messages", "/v1/messages?beta=true", "/v1/messages/count_tokens"])
    async def test_the_api_does_not_reach_out_for_what_runs_in_a_jail(
        self, tmp_path: Path, field: dict[str, Any], target: str
    ) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(agents())
            refused = await inner.ask(json.dumps({**ASKED, **field}).encode(), target)
            assert refused.status_code == 403
            assert refused.json()["error"]["type"] == "permission_error"
            assert upstream.heads == []

    @pytest.mark.parametrize(
        "field",
        [
            {"tools": [{"name": "Read", "input_schema": {}}, {"type": "custom", "name": "Bash", "input_schema": {}}]},
            {"mcp_servers": [], "tools": [], "container": None},
            {"system": [{"type": "text", "text": "be brief"}]},
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": ""}}]}]},
            # What a tool is called with is words, whatever it looks like.
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "input": {"a": URL, "file_id": "f"}}]}
                ]
            },
            {"messages": [{"role": "user", "content": [{"type": "search_result", "source": "https://said.test"}]}]},
        ],
    )
    async def test_what_an_agent_asks_for_passes(self, tmp_path: Path, field: dict[str, Any]) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(agents())
            asked = {**ASKED, **field}
            assert (await inner.ask(json.dumps(asked).encode())).status_code == 200
            assert json.loads(upstream.bodies[0]) == asked

    async def test_what_the_client_itself_has_named_may_be_fetched(self, tmp_path: Path) -> None:
        named = [Message("user", (TextBlock("see"), ToolResultBlock("t", (OpaqueBlock(URL),))))]
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(agents(addresses=addresses_in(named)))
            asked = {**ASKED, "messages": [{"role": "user", "content": [URL]}]}
            assert (await inner.ask(json.dumps(asked).encode())).status_code == 200
            other = json.dumps(asked).replace("cat.png", "dog.png")
            assert (await inner.ask(other.encode())).status_code == 403
            assert len(upstream.heads) == 1

    async def test_what_is_said_twice_is_sent_once_as_it_was_looked_through(self, tmp_path: Path) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(agents())
            body = b'{"tools":[{"type":"web_fetch_20250910"}],"model":"m","messages":[],"tools":[]}'
            assert (await inner.ask(body)).status_code == 200
            assert b"web_fetch" not in upstream.bodies[0]


class TestCounting:
    """Everything that passes an agent's door is counted, whoever asked."""

    async def test_what_a_stream_tells_is_counted_however_it_is_cut(self, tmp_path: Path) -> None:
        said = events(
            begins(input_tokens=10, cache_read_input_tokens=3, cache_creation_input_tokens=2, output_tokens=1),
            words('not this: {"type": "message_delta", "usage": {"output_tokens": 999}}'),
            ends(output_tokens=7),
        )
        for size in (1, 17, len(said)):
            purse = Purse(PRICES)
            pieces = [said[at : at + size] for at in range(0, len(said), size)]
            (tmp_path / str(size)).mkdir()
            async with wire(*pieces, fields=STREAM) as upstream, entry(tmp_path / str(size), upstream.url) as inner:
                inner.door.admit(agents(purse=purse))
                assert (await inner.ask(json.dumps(ASKED).encode())).content == said
                assert purse.whole(None) == Usage(10, 7, 3, 2)

    async def test_several_requests_add_up_and_a_count_of_tokens_is_free(self, tmp_path: Path) -> None:
        purse = Purse(PRICES)
        body = json.dumps({"content": [], "usage": {"input_tokens": 5, "output_tokens": 4}}).encode()
        json_ = "content-type: application/json\r\n"
        async with wire(body, fields=json_) as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(agents(purse=purse))
            for target in ("/v1/messages", "/v1/messages/count_tokens", "/v1/messages"):
                assert (await inner.ask(json.dumps(ASKED).encode(), target)).content == body
        assert purse.whole(None) == Usage(10, 8)

    async def test_a_refusal_is_free(self, tmp_path: Path) -> None:
        purse = Purse(PRICES)
        with StandIn(pace_ms=0, strict=False) as upstream:
            upstream.play(fails(429, "slow down"))
            async with entry(tmp_path, upstream.base_url) as inner:
                inner.door.admit(agents(purse=purse))
                assert (await inner.ask(json.dumps(ASKED).encode())).status_code == 429
        assert purse.whole(None) is None

    async def test_who_leaves_before_the_last_word_pays_for_what_was_said(self, tmp_path: Path) -> None:
        purse = Purse(PRICES)
        with StandIn(pace_ms=0, strict=False) as upstream:
            upstream.play(Played((Text(pieces=("word " * 60, Gate("never"))),)))
            async with entry(tmp_path, upstream.base_url) as inner:
                inner.door.admit(agents(purse=purse))
                body = json.dumps({**ASKED, "stream": True}).encode()
                async with inner.client.stream("POST", "/v1/messages", content=body) as answer:
                    heard = b""
                    async for piece in answer.aiter_raw():
                        heard += piece
                        if b"word " in heard:
                            break
        used = purse.whole(None)
        assert used is not None
        assert used.input_tokens > 0
        assert used.output_tokens == 100

    async def test_at_the_end_of_the_budget_the_door_closes(self, tmp_path: Path) -> None:
        said = events(begins(input_tokens=60, output_tokens=1), ends(output_tokens=20))
        heard: list[str] = []
        purse = Purse(PRICES, tokens=150)
        purse.on_empty = lambda: heard.append("empty")
        async with wire(said, fields=STREAM) as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(agents(purse=purse))
            statuses = [(await inner.ask(json.dumps(ASKED).encode())).status_code for _ in range(4)]
            assert statuses == [200, 200, 403, 403]
            assert len(upstream.heads) == 2
            assert heard == ["empty"], "and whoever runs the turn hears of it, once"

    async def test_many_at_once_overrun_it_by_one_request_at_most(self, tmp_path: Path) -> None:
        said = events(begins(input_tokens=60, output_tokens=1), ends(output_tokens=40))
        purse = Purse(PRICES, tokens=150)
        async with wire(said, fields=STREAM) as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(agents(50, purse=purse))
            body = json.dumps(ASKED).encode()
            answers = await asyncio.gather(*(inner.ask(body) for _ in range(MAX_CONNECTIONS)))
            assert sorted(answer.status_code for answer in answers) == [200, 200] + [403] * (MAX_CONNECTIONS - 2)
            assert len(upstream.heads) == 2

    async def test_an_answer_is_asked_for_in_a_form_that_can_be_read(self, tmp_path: Path) -> None:
        packed = gzip.compress(events(begins(input_tokens=1)))
        gzipped = STREAM + "content-encoding: gzip\r\n"
        async with wire(packed, fields=gzipped) as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(agents(purse=Purse(PRICES)))
            hung_up, said = await asked_for(inner, b"accept-encoding: gzip, br\r\n")
            assert upstream.headers("accept-encoding") == ["identity"]
            assert (hung_up, said) == (True, b""), "what comes packed all the same is not passed on uncounted"


async def asked_for(inner: Entry, fields: bytes) -> tuple[bool, bytes]:
    body = json.dumps(ASKED).encode()
    head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n" % (fields, len(body))
    return await spoken(inner, head + body)
