"""Upstream: what a server may do on a connection, and what becomes of it. The server is bytes on a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from typing_extensions import override

from claude_code_api.engine.upstream import ERROR_BYTES, Answer, BrokenOffError, UnreachedError, Upstream

KEY = (b"x-api-key", b"sk-real")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@dataclass
class Server:
    """Says what it is told to, and counts who comes."""

    say: Callable[[asyncio.StreamWriter], Awaitable[None]]
    url: str = ""
    connections: int = 0
    requests: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(2)
                self.requests += 1
                await self.say(writer)
        writer.close()


@asynccontextmanager
async def server(*pieces: bytes, close: bool = False) -> AsyncIterator[Server]:
    async def say(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if close:
            writer.close()

    found = Server(say)
    listening = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        listening.close()
        for writer in found.writers:
            writer.transport.abort()


@asynccontextmanager
async def upstream(url: str, credential: tuple[bytes, bytes] = KEY) -> AsyncIterator[Upstream]:
    found = Upstream(url, credential)
    try:
        yield found
    finally:
        found.close()


async def asked(one: Upstream) -> Answer:
    return await one.ask(b"/v1/messages", [], b"{}")


async def body(one: Upstream) -> bytes:
    """One exchange; its body."""
    pieces: list[bytes] = []
    await (await asked(one)).pour(pieces.append)
    return b"".join(pieces)


@pytest.mark.parametrize("answer", [OK, CHUNKED], ids=["length", "chunks"])
async def test_a_connection_is_used_again(answer: bytes) -> None:
    async with server(answer) as other, upstream(other.url) as one:
        assert [await body(one) for _ in range(5)] == [b"ok"] * 5
        assert (other.connections, other.requests) == (1, 5)


async def test_two_at_once_do_not_share_one() -> None:
    async with server(OK) as other, upstream(other.url) as one:
        assert await asyncio.gather(*(body(one) for _ in range(3))) == [b"ok"] * 3
        assert other.connections == 3
        # All of them are kept; the one used last is used next.
        await body(one)
        assert other.connections == 3


async def test_an_answer_that_nobody_has_read_is_nobody_elses() -> None:
    async with server(OK) as other, upstream(other.url) as one:
        answer = await asked(one)
        answer.leave()
        assert await body(one) == b"ok"
        assert other.connections == 2


async def test_an_answer_that_is_over_has_no_say_in_the_next_one() -> None:
    """Its reader wakes up late, when another request is on the connection already."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    go_on.set()
    async with server(OK) as other, upstream(other.url) as one:
        say = other.say

        async def say_when_told(writer: asyncio.StreamWriter) -> None:
            arrived.set()
            await go_on.wait()
            await say(writer)

        other.say = say_when_told
        first = await asked(one)
        await first.pour(lambda _: None)
        arrived.clear()
        go_on.clear()
        second = asyncio.create_task(asked(one))
        await arrived.wait()
        first.pause()
        first.leave()
        first.resume()
        go_on.set()
        pieces: list[bytes] = []
        await (await second).pour(pieces.append)
        assert pieces == [b"ok"]
        assert other.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["asked to", "old"],
)
async def test_a_connection_that_will_be_closed_is_not_used_again(answer: bytes) -> None:
    async with server(answer) as other, upstream(other.url) as one:
        assert [await body(one) for _ in range(3)] == [b"ok"] * 3
        assert other.connections == 3


async def test_without_a_length_the_end_of_the_connection_is_the_end() -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\n", b"all ", b"of it", close=True) as other, upstream(other.url) as one:
        assert await body(one) == b"all of it"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok"],
        [b"HTTP/1.1 200 OK\r\ncontent"],
        [b""],
        [b"SSH-2.0-else\r\n"],
    ],
    ids=["short", "in a chunk", "in the head", "nothing", "another protocol"],
)
async def test_what_breaks_off_is_not_an_answer(pieces: list[bytes]) -> None:
    async with server(*pieces, close=True) as other, upstream(other.url) as one:
        with pytest.raises(BrokenOffError):
            await body(one)
        assert other.requests == 1, "nobody knows what the first one came to"


async def test_an_interim_answer_is_not_the_answer() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n"
    async with server(interim, interim + OK) as other, upstream(other.url) as one:
        answer = await asked(one)
        assert (answer.status, answer.header(b"link")) == (200, None)
        assert await answer.whole() == b"ok"


async def test_what_was_not_asked_for_is_no_part_of_the_next_answer() -> None:
    async with server(OK) as other, upstream(other.url) as one:
        await body(one)
        other.writers[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong")
        await other.writers[0].drain()
        # One more exchange is a round trip in which it arrives.
        async with server(OK) as another, upstream(another.url) as elsewhere:
            await body(elsewhere)
        assert await body(one) == b"ok"
        assert other.connections == 2


async def test_a_connection_that_the_other_side_has_closed_is_not_used_again() -> None:
    async with server(OK) as other, upstream(other.url) as one:
        await body(one)
        other.writers[0].close()
        await other.writers[0].wait_closed()
        # One more exchange is a round trip in which the end is noticed; it opens a connection of its own.
        async with server(OK) as another, upstream(another.url) as elsewhere:
            await body(elsewhere)
        assert await body(one) == b"ok"
        assert other.connections == 2


async def test_an_end_that_the_loop_has_not_seen_yet_is_seen() -> None:
    """The other side hangs up in the very moment before the next request: nobody was asked yet, and nobody is twice."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:

        def answer() -> socket.socket:
            found, _ = listening.accept()
            while b"{}" not in found.recv(4096):
                pass
            found.sendall(OK)
            return found

        async with upstream(f"http://127.0.0.1:{listening.getsockname()[1]}") as one:
            first = thread.submit(answer)
            assert await body(one) == b"ok"
            # The loop stands still until the end is there.
            first.result().close()
            second = thread.submit(answer)
            assert await body(one) == b"ok"
            second.result().close()


async def test_of_a_long_error_the_beginning_is_kept() -> None:
    size = ERROR_BYTES + 5000
    head = b"HTTP/1.1 500 No\r\ncontent-length: %d\r\n\r\n" % size
    async with server(head, b"x" * size) as other, upstream(other.url) as one:
        assert await (await asked(one)).whole() == b"x" * ERROR_BYTES
        assert (await asked(one)).status == 500
        assert other.connections == 1


async def test_nobody_there() -> None:
    async with server(OK) as other:
        url = other.url
    async with upstream(url) as one:
        with pytest.raises(UnreachedError):
            await asked(one)


@pytest.mark.parametrize("key", [b"sk\r\nx-evil: 1", b"sk\n", b"sk\0"])
async def test_a_credential_that_no_header_can_carry_goes_nowhere(key: bytes) -> None:
    async with server(OK) as other, upstream(other.url, (b"x-api-key", key)) as one:
        with pytest.raises(UnreachedError, match="header"):
            await asked(one)
        assert other.connections == 0


class Addresses(asyncio.SelectorEventLoop):
    """A loop in which every name has these addresses."""

    found: list[tuple[str, int]]

    @override
    async def getaddrinfo(self, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.found]


async def through(loop: Addresses, first: tuple[str, int]) -> bytes:
    async with server(OK) as other:
        loop.found = [first, ("127.0.0.1", int(other.url.rpartition(":")[2]))]
        async with upstream("http://two.invalid:80") as one:
            return await body(one)


def test_the_next_address_is_tried_while_the_first_keeps_silent() -> None:
    # A socket whose queue is full does not answer.
    with socket.socket() as silent, ExitStack() as waiting:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex(silent.getsockname())
        loop = Addresses()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            assert runner.run(through(loop, silent.getsockname())) == b"ok"


def test_the_next_address_is_tried_where_the_first_refuses() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        loop = Addresses()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            assert runner.run(through(loop, closed.getsockname())) == b"ok"
