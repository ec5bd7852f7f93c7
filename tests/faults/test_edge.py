"""A gateway, as a process, whose edge is leant on from all sides, while one honest client goes on talking.

Everything comes from this machine, so that no limit by address holds anybody back. Slow: `make faults`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import orjson
import pytest

from claude_code_api.http.connections import take_descriptors
from claude_code_api.standin import Answer, StandIn, Text
from tests.console.gateway_process import GatewayProcess
from tests.harness.programs import all_ended, below, held
from tests.harness.waiting import BOUND_S, NeverCameError

pytestmark = [pytest.mark.faults, pytest.mark.real_cli]

MIB = 1024 * 1024
BODY_CAP = 32 * MIB
CHAT = "/v1/chat/completions"
ANSWER = "an honest answer"
FLOOD, WORD = "open the sluices", "a word in a flood of words that nobody reads " * 2
# What the memory of a process may keep of what it once needed, and the descriptors that a warm process may take.
KEPT_BYTES = 64 * MIB
KEPT_DESCRIPTORS = 12


@pytest.fixture(scope="module")
def upstream() -> Iterator[StandIn]:
    with StandIn(pace_ms=0) as standin:
        standin.always(ANSWER)
        standin.when(FLOOD, Answer((Text(WORD * 40_000, len(WORD)),)))
        yield standin


@pytest.fixture(autouse=True, scope="module")
def _descriptors() -> None:
    assert take_descriptors() > 3000


@dataclass
class Edge:
    """A gateway, seen from outside; and the honest client, who notes what became of him."""

    gateway: GatewayProcess
    http: httpx2.AsyncClient
    answers: int = 0
    over: bool = False
    wrong: list[str] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.gateway.url)
        return str(parts.hostname), int(parts.port or 0)

    def head(self, path: str = CHAT, *fields: str, method: str = "POST") -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.gateway.key}", *fields]
        return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    def memory(self, of: str = "VmRSS") -> int:
        """Resident bytes: now, or (`VmHWM`) at most so far."""
        status = Path(f"/proc/{self.gateway.pid}/status").read_text()
        return int(status.partition(f"{of}:")[2].split()[0]) * 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.gateway.pid}/fd"))  # noqa: PTH208 - the kernel's own list

    async def ask_honestly(self) -> None:
        body = {"model": "sonnet", "messages": [{"role": "user", "content": f"question {self.answers}"}]}
        try:
            answer = await self.http.post(CHAT, json=body)
            said = answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else answer.text
        except httpx2.HTTPError as error:
            said = repr(error)
        if said == ANSWER:
            self.answers += 1
        else:
            self.wrong.append(said)

    async def be_as_before(self, descriptors: int, processes: int, memory: int) -> None:
        """Wait until what was taken has been given back: nothing runs, nothing is held."""
        now: tuple[int, int, int, int] = (1, 1, 0, 0)
        try:
            async with asyncio.timeout(BOUND_S):
                while any(now[:2]) or now[2] > descriptors or now[3] > memory:
                    health = (await self.http.get("/health")).json()
                    # Claude processes stay warm for a while, each with its pipes.
                    more = max(0, len(below(self.gateway.pid)) - processes)
                    own = self.descriptors() - KEPT_DESCRIPTORS * more
                    now = health["active_sessions"], health["waiting_requests"], own, self.memory()
        except TimeoutError as error:
            wanted = f"no turn, {descriptors} descriptors and {memory} bytes"
            raise NeverCameError(wanted, BOUND_S, f"running, waiting, descriptors, bytes: {now}") from error


@asynccontextmanager
async def leant_on(home: Path, upstream: StandIn, what: str, kept: int = KEPT_BYTES) -> AsyncIterator[Edge]:
    """Begin a gateway and the honest client; afterwards he was always served, and nothing is left."""
    known = {"ANTHROPIC_API_KEY": "sk-ant-upstream", "ANTHROPIC_BASE_URL": upstream.base_url}
    gateway = await asyncio.to_thread(
        GatewayProcess, "serve", "--port", "0", "--data-dir", str(home / "data"), home=home, env=known
    )
    with gateway:
        headers = {"authorization": f"Bearer {gateway.key}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False, timeout=BOUND_S) as http:
            edge = Edge(gateway, http)
            for _ in range(3):
                await edge.ask_honestly()
            processes = len(below(gateway.pid))
            before = edge.descriptors(), edge.memory()
            talking = asyncio.create_task(talk(edge))
            try:
                yield edge
            finally:
                # What he has asked meanwhile, he is answered.
                edge.over = True
                await talking
            peak = edge.memory("VmHWM")
            await edge.be_as_before(before[0] + KEPT_DESCRIPTORS, processes, before[1] + kept)
            after = edge.descriptors(), edge.memory()
            print(  # noqa: T201 - the figures of a long run
                f"\n{what}: {edge.answers} honest answers, {len(edge.wrong)} wrong; "
                f"descriptors {before[0]} → {after[0]}; "
                f"RSS {before[1] / MIB:.0f} → at most {peak / MIB:.0f} → {after[1] / MIB:.0f} MiB"
            )
            assert edge.wrong == []
            assert edge.answers > 3
        await asyncio.to_thread(ends, gateway)


def ends(gateway: GatewayProcess) -> None:
    """Let it end as its owner would; nothing of it stays."""
    with held(below(gateway.pid)) as descriptors:
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        all_ended(descriptors)
    assert not [line for line in gateway.log if '"level":"error"' in line or "Traceback" in line]


async def talk(edge: Edge) -> None:
    while not edge.over:
        await edge.ask_honestly()


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """Read until the gateway closes, in whatever way."""
    said = b""
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            said += piece
    return said


def status_of(said: bytes) -> int:
    return int(said.split(b" ", 2)[1]) if said else 0


# Slowness


async def drip(edge: Edge, begin: bytes, byte: bytes, every_s: float) -> tuple[float, int]:
    """Say something and then a byte now and then; returns when and how the gateway ended it."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    reader, writer = await edge.connect()
    writer.write(begin)
    ended = asyncio.create_task(end_of(reader))
    while not ended.done():
        if byte and not writer.is_closing():
            writer.write(byte)
        await asyncio.wait([ended], timeout=every_s)
    writer.close()
    return loop.time() - begun_s, status_of(ended.result())


async def test_item_13_slow_shapes_are_ended_in_time(tmp_path: Path, upstream: StandIn) -> None:
    async with leant_on(tmp_path, upstream, "200 slow ones") as edge:
        announced = edge.head(CHAT, "Content-Length: 100000")
        nobodys = announced.replace(edge.gateway.key.encode(), b"nobody")
        shapes: dict[str, tuple[bytes, bytes, float, int]] = {
            "silent": (b"", b"", BOUND_S, 0),
            "head, byte by byte": (b"GET /healthz HTTP/1.1\r\nX: ", b"y", 0.5, 408),
            "head, field by field": (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n", 0.5, 408),
            "no body": (announced, b"", BOUND_S, 408),
            "body, byte by byte": (announced + b"{", b" ", 0.5, 408),
            "chunks, byte by byte": (
                edge.head(CHAT, "Transfer-Encoding: chunked") + b"1\r\n{\r\n",
                b"1\r\n \r\n",
                0.5,
                408,
            ),
            "a stranger's body, byte by byte": (nobodys, b" ", 0.5, 401),
            "a body of a route that is not": (edge.head("/nothing", "Content-Length: 99"), b" ", 0.5, 404),
        }
        many = 200 // len(shapes)
        async with asyncio.timeout(BOUND_S):
            ends_of = await asyncio.gather(
                *(
                    asyncio.gather(*(drip(edge, begin, byte, every_s) for _ in range(many)))
                    for begin, byte, every_s, _ in shapes.values()
                )
            )
        for (name, (*_, status)), ended in zip(shapes.items(), ends_of, strict=True):
            longest = max(seconds for seconds, _ in ended)
            print(f"\n{many} x {name}: ended within {longest:.1f} s", end="")  # noqa: T201 - the figures of a long run
            assert {how for _, how in ended} == {status}, name


# Number


async def test_item_24_a_thousand_connections_at_once(tmp_path: Path, upstream: StandIn) -> None:
    async with leant_on(tmp_path, upstream, "1,000 connections") as edge:
        health = edge.head("/health", method="GET").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

        async def ask() -> int:
            reader, writer = await edge.connect()
            writer.write(health)
            said = await end_of(reader)
            writer.close()
            return status_of(said)

        async with asyncio.timeout(BOUND_S):
            silent = await asyncio.gather(*(edge.connect() for _ in range(500)))
            assert set(await asyncio.gather(*(ask() for _ in range(500)))) == {200}
            for _, writer in silent:
                writer.close()


async def test_item_24_who_comes_and_goes(tmp_path: Path, upstream: StandIn) -> None:
    async with leant_on(tmp_path, upstream, "2,000 that come and go") as edge:
        beginnings = (b"", b"G", b"GET /healthz HTTP/1.1\r\n", edge.head(CHAT, "Content-Length: 9") + b"{", edge.head())

        async def come_and_go(number: int) -> None:
            _, writer = await edge.connect()
            writer.write(beginnings[number % len(beginnings)])
            if number % 2:
                writer.close()
            else:
                # Without a word of goodbye.
                writer.transport.abort()

        async with asyncio.timeout(BOUND_S):
            for start in range(0, 2000, 50):
                await asyncio.gather(*(come_and_go(number) for number in range(start, start + 50)))


# Size


async def pour(edge: Edge, head: bytes, pieces: Callable[[], Iterator[bytes]]) -> int:
    """Send and send, until it is answered; returns how."""
    reader, writer = await edge.connect()
    answer = asyncio.create_task(end_of(reader))
    writer.write(head)
    with suppress(ConnectionError):
        for piece in pieces():
            if answer.done():
                break
            writer.write(piece)
            drained = asyncio.create_task(writer.drain())
            await asyncio.wait([drained, answer], return_when=asyncio.FIRST_COMPLETED)
            if not drained.done():
                drained.cancel()
            else:
                drained.result()
    said = await answer
    writer.transport.abort()
    return status_of(said)


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_item_13_giant_bodies(tmp_path: Path, upstream: StandIn, declared: bool) -> None:
    what = f"20 bodies of 100 MB, {'declared' if declared else 'chunked'}"
    # An allocator may keep what it once had; that it has it for the next ones, the second and third time tell.
    async with leant_on(tmp_path, upstream, what, kept=KEPT_BYTES if declared else 20 * BODY_CAP) as edge:
        kind = "Content-Length: 100000000" if declared else "Transfer-Encoding: chunked"
        piece = b" " * 65_536
        framed = piece if declared else b"10000\r\n" + piece + b"\r\n"
        base, paths = edge.memory(), (CHAT, "/v1/messages", "/v1/responses", "/v1/projects")
        heads = [edge.head(paths[number % len(paths)], kind) for number in range(20)]
        async with asyncio.timeout(BOUND_S):
            for _ in range(3):
                poured = (pour(edge, head, lambda: iter([framed] * 1526)) for head in heads)
                assert set(await asyncio.gather(*poured)) == {413}
        # What is too large is not read at all; what turns out to be, as far as it may go.
        assert edge.memory("VmHWM") - base < (1 if declared else 20) * 2 * BODY_CAP


async def test_item_13_floods_of_heads(tmp_path: Path, upstream: StandIn) -> None:
    async with leant_on(tmp_path, upstream, "100 floods of heads") as edge:
        base = edge.memory()
        begin = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        fields, endless = b"X: y\r\n" * 10_000, b"X: " + b"y" * MIB
        async with asyncio.timeout(BOUND_S):
            ended = await asyncio.gather(
                *(
                    pour(edge, begin, lambda flood=flood: iter([flood] * 16))  # type: ignore[misc]
                    for flood in [fields, endless] * 50
                )
            )
        # Who still sends when he is answered may be cut off before he has read why.
        assert {431} <= set(ended) <= {431, 0}
        assert edge.memory("VmHWM") - base < KEPT_BYTES


# Streams that go one way


async def test_item_24_requests_in_a_row_are_answered_in_a_row(tmp_path: Path, upstream: StandIn) -> None:
    async with leant_on(tmp_path, upstream, "10 x 2,000 requests, 100 in a row") as edge:
        asked = edge.head("/healthz", method="GET") * 100

        async def in_a_row() -> None:
            reader, writer = await edge.connect()
            for _ in range(20):
                writer.write(asked)
                for _ in range(100):
                    assert b"HTTP/1.1 200 OK" in await reader.readuntil(b"\r\n\r\nok")
            # More than can be waiting.
            writer.write(asked * 20)
            assert (await end_of(reader)).count(b"HTTP/1.1 200 OK") < 2000
            writer.close()

        async with asyncio.timeout(BOUND_S):
            await asyncio.gather(*(in_a_row() for _ in range(10)))


@pytest.mark.parametrize("at_once", [1, 100])
async def test_item_24_who_asks_and_never_reads(tmp_path: Path, upstream: StandIn, at_once: int) -> None:
    async with leant_on(tmp_path, upstream, f"10 that ask, {at_once} at once, and never read") as edge:
        base = edge.memory()
        wanted = edge.head("/openapi.json", method="GET") * at_once

        async def ask_and_never_read() -> None:
            reader, writer = await edge.connect()
            reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way
            with suppress(ConnectionError):
                while True:
                    writer.write(wanted)
                    draining = asyncio.create_task(writer.drain())
                    done, _ = await asyncio.wait([draining], timeout=2.0)
                    if not done:
                        # Nothing more is taken.
                        draining.cancel()
                        break
                    draining.result()
            writer.transport.abort()

        async with asyncio.timeout(BOUND_S):
            await asyncio.gather(*(ask_and_never_read() for _ in range(10)))
        assert edge.memory("VmHWM") - base < KEPT_BYTES


async def test_item_24_who_never_reads_while_the_model_floods(tmp_path: Path, upstream: StandIn) -> None:
    async with leant_on(tmp_path, upstream, "4 that never read a flood") as edge:
        base = edge.memory()
        body = orjson.dumps({"model": "sonnet", "stream": True, "messages": [{"role": "user", "content": FLOOD}]})
        stuck: list[asyncio.StreamWriter] = []
        for path in (CHAT, "/v1/messages") * 2:
            sent = orjson.dumps({**orjson.loads(body), "max_tokens": 9_000_000}) if "messages" in path else body
            reader, writer = await edge.connect()
            reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way
            writer.write(edge.head(path, f"Content-Length: {len(sent)}") + sent)
            stuck.append(writer)
        await until(edge, lambda active: active >= len(stuck))
        # So much later the flood stands as high as it is let.
        for _ in range(40):
            await edge.ask_honestly()
        assert edge.memory("VmHWM") - base < KEPT_BYTES
        for writer in stuck:
            writer.transport.abort()


async def until(edge: Edge, wanted: Callable[[int], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not wanted((await edge.http.get("/health")).json()["active_sessions"]):
            pass
