"""Relay: what passes a process's door on its way to the model. A client takes the CLI's place, and the upstream shows
its bytes."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.engine.door import Terms
from claude_code_api.engine.options import Credentials
from claude_code_api.engine.rehearsal import REHEARSED, REHEARSED_WHOLE
from claude_code_api.engine.relay import Told
from claude_code_api.standin import Answer, Break, Gate, StandIn, Text, fails, says
from tests.engine.doors import KEY, UVLOOP, Wire, entry, wire

BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
CLOSED = "one turn is one request"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return UVLOOP


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens at a door, the HTTP server has nothing to complain about."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


@pytest.mark.parametrize(
    ("credentials", "api_key", "authorization"),
    [(KEY, ["sk-real"], []), (Credentials(auth_token="real"), [], ["Bearer real"])],
    ids=["key", "token"],
)
async def test_the_credentials_are_ours(
    tmp_path: Path, credentials: Credentials, api_key: list[str], authorization: list[str]
) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url, credentials) as inner:
        await inner.turn(headers={"authorization": "Bearer theirs", "X-Api-Key": "theirs"})
        assert (upstream.headers("x-api-key"), upstream.headers("authorization")) == (api_key, authorization)
        assert b"theirs" not in upstream.heads[0]
        assert upstream.headers("host") == [upstream.url.removeprefix("http://")]


async def test_headers_are_the_clients_and_no_others(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        for name in ("accept", "accept-encoding", "user-agent"):
            del inner.client.headers[name]
        await inner.turn(headers={"anthropic-beta": "a,b", "X-Odd": "1"})
        found = {line.split(b":")[0].lower() for line in upstream.heads[0].split(b"\r\n")[1:] if line}
        assert found - {b"connection"} == {b"host", b"content-length", b"x-api-key", b"anthropic-beta", b"x-odd"}
        assert (upstream.headers("anthropic-beta"), upstream.headers("content-length")) == (["a,b"], ["2"])


async def test_nothing_passes_unless_admitted(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        refused = await inner.ask()
        assert (refused.status_code, inner.door.refused, inner.door.told) == (400, 1, None)
        assert refused.json()["error"] == {"type": "invalid_request_error", "message": CLOSED}
        assert upstream.heads == []


async def test_one_request_for_each_turn(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        for turns in (1, 2, 3):
            assert (await inner.turn()).content == b"ok"
            for _ in range(2):
                refused = await inner.ask()
                assert (refused.status_code, refused.json()["error"]["message"]) == (400, CLOSED)
            assert (len(upstream.heads), inner.door.refused) == (turns, 2 * turns)


async def test_of_two_at_once_one_passes(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        inner.door.admit(Terms())
        answers = await asyncio.gather(*(inner.ask(b"x" * 300_000) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400]
        assert len(upstream.heads) == 1


async def test_an_error_is_said_again_without_asking(tmp_path: Path) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.always(fails(429, "slow down", retry_after_s=17))
        async with entry(tmp_path, upstream.base_url) as inner:
            first = await inner.turn(json.dumps(BODY).encode())
            assert inner.door.told == Told(429, 17.0, first.headers["request-id"])
            again = [await inner.ask(), await inner.ask()]
            for answer in again:
                assert (answer.status_code, answer.content) == (429, first.content)
                assert answer.headers["retry-after"] == "17"
            assert len(upstream.received) == 1
            # The next turn is a new question.
            upstream.always("fine")
            assert (await inner.turn(json.dumps(BODY).encode())).status_code == 200
            assert inner.door.told is not None
            assert inner.door.told.retry_after_s is None
            assert (await inner.ask()).status_code == 400


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("2.5", 2.5), ("0", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), (".", None), ("²", None)],
)
async def test_what_is_told_beside_the_answer(tmp_path: Path, retry_after: str, seconds: float | None) -> None:
    fields = f"retry-after: {retry_after}\r\nrequest-id: req_1\r\nx-more: kept\r\n"
    async with wire(b"{}", head="529 Busy", fields=fields) as upstream, entry(tmp_path, upstream.url) as inner:
        answer = await inner.turn()
        assert inner.door.told == Told(529, seconds, "req_1")
        assert (answer.status_code, answer.headers["x-more"], answer.headers["request-id"]) == (529, "kept", "req_1")


MANY = ("漢字 \U0001f600 \u2028 " * 200_000).encode()[:3_000_000]
BYTES = bytes(range(256)) * 4


@pytest.mark.parametrize("body", [MANY, BYTES, b"", b'{"a": 1}'], ids=["3 MB", "any bytes", "nothing", "json"])
async def test_bytes_go_through_unread(tmp_path: Path, body: bytes) -> None:
    async with wire(body[:7], body[7:]) as upstream, entry(tmp_path, upstream.url) as inner:
        assert (await inner.turn(body)).content == body
        assert upstream.bodies == [body]


async def test_a_packed_answer_stays_packed(tmp_path: Path) -> None:
    packed = gzip.compress(b"hello" * 100, mtime=0)
    async with (
        wire(packed, fields="content-encoding: gzip\r\n") as upstream,
        entry(tmp_path, upstream.url) as inner,
    ):
        inner.door.admit(Terms())
        async with inner.client.stream("POST", "/v1/messages", content=b"{}") as answer:
            assert b"".join([piece async for piece in answer.aiter_raw()]) == packed
            assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("base", ["/anthropic", "/a/b/", ""])
async def test_paths_and_queries_are_kept(tmp_path: Path, base: str) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url + base) as inner:
        await inner.turn(target="/v1/messages?beta=true&x=%20%C3%A9")
        await inner.turn(target="/v1/messages/count_tokens")
        lines = [head.split(b"\r\n")[0].decode() for head in upstream.heads]
        prefix = base.rstrip("/")
        assert lines == [
            f"POST {prefix}/v1/messages?beta=true&x=%20%C3%A9 HTTP/1.1",
            f"POST {prefix}/v1/messages/count_tokens HTTP/1.1",
        ]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/messages"),
        ("HEAD", "/"),
        ("GET", "/api/hello"),
        ("POST", "/v1/messages/"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/files"),
        ("POST", "//v1/messages"),
        ("DELETE", "/v1/messages"),
    ],
)
async def test_other_places_are_not_there(tmp_path: Path, method: str, target: str) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        inner.door.admit(Terms())
        request = inner.client.build_request(method, f"http://model.invalid{target}")
        assert (await inner.client.send(request)).status_code == 404
        # It costs nothing: the turn's request still passes.
        assert (await inner.ask()).content == b"ok"
        assert len(upstream.heads) == 1


async def test_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream:
        url = upstream.url
    async with entry(tmp_path, url) as inner:
        answers = [await inner.turn(), await inner.ask()]
        assert [answer.status_code for answer in answers] == [502, 502]
        assert answers[0].json()["error"]["type"] == "api_error"
        assert "127.0.0.1" not in answers[0].text
        assert inner.door.told == Told(None)


# Streams


def streamed(*pieces: Any) -> Answer:
    return Answer((Text(pieces=pieces),))


async def test_events_come_as_they_are_said_however_they_are_split(tmp_path: Path) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.play(streamed("hel", Gate("one"), "lo \U0001f600", Gate("two"), "!"))
        async with entry(tmp_path, upstream.base_url) as inner:
            inner.door.admit(Terms())
            async with inner.client.stream("POST", "/v1/messages", json=BODY) as answer:
                pieces = answer.aiter_raw()
                seen = b""
                for awaited, gate in ((b'"hel"', "one"), (b"lo", "two"), (b"message_stop", None)):
                    while awaited not in seen:
                        seen += await anext(pieces)
                    if gate is not None:
                        upstream.release(gate)
                assert [piece async for piece in pieces] == []
                assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("before", [(), ("hel", "lo")], ids=["at once", "in the middle"])
async def test_a_broken_answer_is_not_a_finished_one(tmp_path: Path, before: tuple[str, ...]) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.play(streamed(*before, Break("cut")))
        async with entry(tmp_path, upstream.base_url) as inner:
            inner.door.admit(Terms())
            seen: list[bytes] = []

            async def read() -> None:
                async with inner.client.stream("POST", "/v1/messages", json=BODY) as answer:
                    async for piece in answer.aiter_raw():
                        seen.append(piece)  # noqa: PERF401 - what came before the break counts

            with pytest.raises(httpx2.TransportError):
                await read()
            assert all(f'"{piece}"'.encode() in b"".join(seen) for piece in before)
            assert (await inner.ask()).status_code == 400
            assert len(upstream.received) == 1


@pytest.mark.parametrize("hold", [True, False], ids=["before the answer", "in the middle"])
async def test_who_leaves_is_gone_at_once(tmp_path: Path, hold: bool) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.play(Answer((Text("a"),), hold=Gate("g")) if hold else streamed("a", Gate("g"), "b"))
        async with entry(tmp_path, upstream.base_url) as inner:
            inner.door.admit(Terms())
            leave = await inner.begin(json.dumps(BODY).encode())
            await asyncio.to_thread(upstream.wait_at_gate, "g")
            leave()
            record = await asyncio.to_thread(upstream.wait_closed, 0)
            assert record.client_left
            upstream.always("next")
            assert (await inner.turn(json.dumps(BODY).encode())).status_code == 200


async def test_a_request_that_is_not_finished_goes_nowhere(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        inner.door.admit(Terms())
        leave = await inner.begin(b"begun", length=100)
        leave()
        # Two round trips later the door has seen it begin and end.
        for _ in range(2):
            assert (await inner.client.get("/")).status_code == 404
        inner.door.admit(Terms())
        await inner.ask(b"whole")
        assert upstream.bodies == [b"whole"]


async def test_closing_a_door_leaves_nothing(tmp_path: Path) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.play(streamed("a", Gate("g"), "b"))
        async with entry(tmp_path, upstream.base_url) as inner:
            asked = asyncio.create_task(inner.turn(json.dumps(BODY).encode()))
            await asyncio.to_thread(upstream.wait_at_gate, "g")
            assert inner.path.is_socket()
            await inner.door.close()
            assert not inner.path.exists()
            with pytest.raises(httpx2.TransportError):
                await asked
            assert (await asyncio.to_thread(upstream.wait_closed, 0)).client_left
            with pytest.raises(httpx2.ConnectError):
                await inner.ask()


ASKED = b'{"model": "m", "max_tokens": 9, "stream": false, "messages": [{"role": "user", "content": "hi"}]}'


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
async def test_what_passes_by_itself_is_asked_again_before_anything_is_said(tmp_path: Path, status: int) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.play(*2 * [fails(status, error_type="api_error")], says("at last"))
        async with entry(tmp_path, upstream.base_url, retries=2) as inner:
            answer = await inner.turn(ASKED)
        assert answer.json()["content"][0]["text"] == "at last"
        assert len({record.raw for record in upstream.messages}) == 1
        assert len(upstream.messages) == 3


async def test_the_last_refusal_is_the_answer(tmp_path: Path) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.play(fails(529), fails(529), fails(503, error_type="api_error"))
        async with entry(tmp_path, upstream.base_url, retries=2) as inner:
            assert (await inner.turn(ASKED)).status_code == 503
        assert len(upstream.messages) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
async def test_what_would_be_refused_again_is_not_asked_again(tmp_path: Path, status: int) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.always(fails(status))
        async with entry(tmp_path, upstream.base_url, retries=2) as inner:
            assert (await inner.turn(ASKED)).status_code == status
        assert len(upstream.messages) == 1


async def test_a_long_wait_is_left_to_the_client(tmp_path: Path) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.always(fails(429, retry_after_s=30))
        async with entry(tmp_path, upstream.base_url, retries=2) as inner:
            assert (await inner.turn(ASKED)).status_code == 429
            assert inner.door.told is not None
            assert inner.door.told.retry_after_s == 30
        assert len(upstream.messages) == 1


async def test_an_answer_that_broke_is_not_asked_for_again(tmp_path: Path) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.always(Answer((Text(pieces=("a", Break("cut"))),)))
        async with entry(tmp_path, upstream.base_url, retries=2) as inner:
            with pytest.raises(httpx2.RemoteProtocolError):
                await inner.turn(ASKED.replace(b"false", b"true"))
        assert len(upstream.messages) == 1


# One connection, as the CLI uses it


async def test_a_slow_cli_makes_the_upstream_wait(tmp_path: Path) -> None:
    piece, written = b"x" * 65536, 0
    full = asyncio.Event()

    async def play(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(piece) * 1000))
        for _ in range(1000):
            writer.write(piece)
            if writer.transport.get_write_buffer_size():
                full.set()
            await writer.drain()
            written += len(piece)

    found = Wire(play)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, entry(tmp_path, found.url) as inner:
        inner.door.admit(Terms())
        reader, writer = await asyncio.open_unix_connection(str(inner.path), limit=1024)
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        await full.wait()
        # What the kernel and the door hold is a few MB, not all of the 65.
        assert written < 20_000_000
        read = 0
        while read < len(piece) * 1000:
            read += (await reader.read(1 << 20)).count(b"x")
        writer.close()


async def test_who_does_not_wait_for_the_answer_is_not_served(tmp_path: Path) -> None:
    with StandIn(pace_ms=0, strict=False) as upstream:
        upstream.play(Answer((Text("a"),), hold=Gate("g")))
        async with entry(tmp_path, upstream.base_url) as inner:
            inner.door.admit(Terms())
            reader, writer = await asyncio.open_unix_connection(str(inner.path))
            body = json.dumps(BODY).encode()
            request = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            writer.write(request)
            await asyncio.to_thread(upstream.wait_at_gate, "g")
            writer.write(request)
            assert await reader.read() == b""
            assert (await asyncio.to_thread(upstream.wait_closed, 0)).client_left
            assert len(upstream.received) == 1
            writer.close()


@pytest.mark.parametrize("said", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\na b\r\n\r\n"])
async def test_what_is_no_request_ends_the_connection_and_nothing_else(tmp_path: Path, said: bytes) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        reader, writer = await asyncio.open_unix_connection(str(inner.path))
        writer.write(said)
        assert await reader.read() == b""
        writer.close()
        assert (await inner.turn()).content == b"ok"


class TestLaidOver:
    """What a turn asks is laid over the CLI's own request; the rest stays as the CLI wrote it."""

    OWN = json.dumps({"model": "m", "messages": [{"role": "user", "content": "."}], "max_tokens": 32000}).encode()

    async def test_fields_go_upstream_in_the_place_of_the_clis(self, tmp_path: Path) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            messages: Any = [{"role": "user", "content": [{"type": "text", "text": "hi \u2028"}]}]
            inner.door.admit(Terms(fields={"messages": messages, "top_k": 9007199254740993}))
            assert (await inner.ask(self.OWN, "/v1/messages?beta=true")).status_code == 200
            asked = json.loads(upstream.bodies[0])
            assert asked == {"model": "m", "messages": messages, "max_tokens": 32000, "top_k": 9007199254740993}
            assert upstream.headers("content-length") == [str(len(upstream.bodies[0]))]

    async def test_they_are_of_one_turn(self, tmp_path: Path) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(Terms(fields={"max_tokens": 7}))
            await inner.ask(self.OWN)
            await inner.turn(self.OWN)
            assert [json.loads(body)["max_tokens"] for body in upstream.bodies] == [7, 32000]

    async def test_a_count_of_tokens_is_left_alone(self, tmp_path: Path) -> None:
        async with wire(b"{}") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(Terms(fields={"max_tokens": 7}))
            await inner.ask(self.OWN, "/v1/messages/count_tokens")
            assert upstream.bodies == [self.OWN]

    @pytest.mark.parametrize("own", [b"no json", b"[]", OWN.replace(b'"."', b'"Hi"')])
    async def test_what_is_not_the_turns_reaches_nobody(self, tmp_path: Path, own: bytes) -> None:
        async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
            inner.door.admit(Terms(2, fields={"messages": []}))
            for _ in range(2):
                refused = await inner.ask(own)
                assert refused.status_code == 400
                assert refused.json()["error"]["message"] == "this is not what the turn asks"
            assert upstream.bodies == []

    @pytest.mark.parametrize(("status", "again"), [(400, 200), (413, 200), (401, 401), (429, 429)])
    async def test_who_may_sum_up_may_ask_again_when_it_is_too_long(
        self, tmp_path: Path, status: int, again: int
    ) -> None:
        with StandIn(pace_ms=0, strict=False) as upstream:
            upstream.play(fails(status, "prompt is too long"), says("in short"))
            async with entry(tmp_path, upstream.base_url) as inner:
                inner.door.admit(Terms(3, compacts=True))
                body = json.dumps(BODY).encode()
                answers = [(await inner.ask(body)).status_code for _ in range(2)]
                assert answers == [status, again]
                assert len(upstream.received) == (2 if again == 200 else 1)


async def test_a_rehearsal_asks_nobody(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        inner.door.rehearse()
        answer = await inner.ask(json.dumps(BODY).encode(), "/v1/messages?beta=true")
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.content == b"".join(REHEARSED)
        assert (await inner.ask()).status_code == 400, "one turn is one request"
        assert upstream.heads == []
        assert (await inner.turn()).content == b"ok", "and the next one is a turn"


@pytest.mark.parametrize("body", [b"{}", b"[]", b"", b'{"stream": false}'])
async def test_what_is_not_to_be_streamed_is_answered_as_a_whole(tmp_path: Path, body: bytes) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        inner.door.rehearse()
        answer = await inner.ask(body)
        assert (answer.headers["content-type"], answer.content) == ("application/json", REHEARSED_WHOLE)
        assert answer.json()["content"][0]["text"]
        assert upstream.heads == []


async def test_a_rehearsal_that_nobody_used_is_over_when_the_door_is_shut(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        inner.door.rehearse()
        inner.door.shut()
        assert (await inner.ask()).status_code == 400
        assert upstream.heads == []


async def test_no_other_model_is_asked_than_the_process_was_told_to(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        placeholder = {**BODY, "messages": [{"role": "user", "content": "."}]}
        inner.door.model = "n"
        for model, status in (("m", 400), ("n", 200)):
            inner.door.admit(Terms(fields={"messages": []}))
            assert (await inner.ask(json.dumps({**placeholder, "model": model}).encode())).status_code == status
        (body,) = upstream.bodies
        assert json.loads(body)["model"] == "n"
