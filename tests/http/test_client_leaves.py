"""The client leaves: the turn ends with it, and everything is given back. And the client that stays is never lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import orjson
import pytest
from typing_extensions import override

from claude_code_api.engine.scripted import ScriptedEngine, WaitFor
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Lease, Plan
from tests.http.loopback import CHAT, KEY, Door, Running, asking, running, says, stops_at

# The events of `answer_events(plan, "a", "b")`: Started, PartStarted, two deltas, PartEnded, Usage; then Ended.
BEFORE_THE_END = range(7)


def http_request(*, stream: bool) -> bytes:
    body = orjson.dumps(asking(stream=stream))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def connect(gateway: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", gateway.port)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("index", BEFORE_THE_END)
async def test_leaving_at_any_event_ends_the_turn(index: int, stream: bool) -> None:
    door = Door()
    async with running(stops_at(index, door, "a", "b")) as gateway:
        _, writer = await connect(gateway)
        writer.write(http_request(stream=stream))
        await door.reached.wait()
        writer.close()
        line = await gateway.logs.request()
        assert gateway.engine.left_early == [line["turn_id"]]
        assert gateway.engine.running == 0
        assert line["outcome"] == "client_left"
        assert (await gateway.http.get("/healthz")).text == "ok"
        assert [entry["level"] for entry in gateway.logs.all() if entry["event"] != "request"] == []


@pytest.mark.parametrize("stream", [True, False])
async def test_a_connection_that_is_reset_counts_as_well(stream: bool) -> None:
    door = Door()
    async with running(stops_at(3, door, "a", "b")) as gateway:
        _, writer = await connect(gateway)
        writer.write(http_request(stream=stream))
        await door.reached.wait()
        writer.transport.abort()
        assert (await gateway.logs.request())["outcome"] == "client_left"
        assert len(gateway.engine.left_early) == 1


async def test_leaving_the_queue_gives_the_place_in_it_back() -> None:
    door = Door()
    flow = FlowOptions(max_turns=1, max_waiting=1)
    async with running(stops_at(1, door, "a"), flow=flow) as gateway:
        first = asyncio.create_task(gateway.post())
        await door.reached.wait()
        _, writer = await connect(gateway)
        writer.write(http_request(stream=True))
        full = await wait_until_full(gateway)
        assert full.headers["retry-after"] == "5"
        writer.close()
        await gateway.logs.until(lambda lines: "client_left" in [line.get("outcome") for line in lines])
        assert gateway.runner.admission.waiting == 0
        door.set()
        assert (await first).status_code == 200
        assert len(gateway.engine.plans) == 1, "the one that left never reached the engine"


async def wait_until_full(gateway: Running) -> httpx2.Response:
    """Ask until the one place in the queue is taken; each question is a whole round trip, and the last one is the 429.

    A question that finds the place free would take it, so it is asked only once somebody waits.
    """
    while not gateway.runner.admission.waiting:
        await gateway.http.get("/healthz")
    response = await gateway.post()
    assert response.status_code == 429
    return response


async def test_a_stream_is_left_when_its_reader_closes_it(gateway: Running) -> None:
    door = Door()
    gateway.engine.script = stops_at(4, door, "a", "b").script
    async with gateway.http.stream("POST", CHAT, json=asking(stream=True)) as response:
        seen = ""
        async for piece in response.aiter_text():
            seen += piece
            if '"b"' in seen:
                break
    assert (await gateway.logs.request())["outcome"] == "client_left"
    assert len(gateway.engine.left_early) == 1


async def test_who_stays_is_never_taken_for_somebody_who_left(gateway: Running) -> None:
    """The server reports every client as gone once its answer is complete."""
    for number in range(60):
        response = await gateway.post(stream=number % 2 == 0)
        assert response.status_code == 200
    lines = await gateway.logs.until(lambda lines: len(lines) == 60)
    assert {line["outcome"] for line in lines} == {"stop"}
    assert gateway.engine.left_early == []


@dataclass
class SlowToClear(ScriptedEngine):
    """Needs its time to put everything away, as an engine with a process does."""

    door: Door = field(default_factory=Door)
    cleared: int = 0

    @override
    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Lease]:
        async with super().lease(plan) as lease:
            yield lease
            await self.door.wait()
            self.cleared += 1


@pytest.mark.parametrize("stream", [True, False])
async def test_who_goes_once_the_answer_is_whole_interrupts_no_clearing_away(stream: bool) -> None:
    engine = SlowToClear(says("a", "b").script)
    async with running(engine) as gateway:
        assert "b" in (await gateway.post(stream=stream)).text
        await engine.door.reached.wait()
        await gateway.http.get("/healthz")
        engine.door.set()
        lines = await gateway.logs.until(lambda lines: len(lines) == 2)
        assert [line["outcome"] for line in lines if line["path"] == CHAT] == ["stop"]
        assert engine.cleared == 1


async def test_many_requests_on_one_connection(gateway: Running) -> None:
    reader, writer = await connect(gateway)
    for stream in (True, False) * 10:
        writer.write(http_request(stream=stream))
        end = b"0\r\n\r\n" if stream else b"}}}"
        assert (await reader.readuntil(end)).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    lines = await gateway.logs.until(lambda lines: len(lines) == 20)
    assert {line["outcome"] for line in lines} == {"stop"}
    assert gateway.engine.left_early == []


async def test_requests_that_were_sent_ahead_are_answered_in_order(gateway: Running) -> None:
    reader, writer = await connect(gateway)
    writer.write(http_request(stream=False) * 3)
    for _ in range(3):
        assert b"HTTP/1.1 200 OK" in await reader.readuntil(b"}}}")
    writer.close()
    assert [line["outcome"] for line in await gateway.logs.until(lambda lines: len(lines) == 3)] == ["stop"] * 3


async def test_leaving_in_the_middle_of_the_request_is_no_fault_of_the_gateway(gateway: Running) -> None:
    _, writer = await connect(gateway)
    writer.write(http_request(stream=False)[:-10])
    await wait_for_connection(gateway)
    writer.close()
    line = await gateway.logs.request(2)
    assert line["outcome"] == "client_left"
    assert [entry for entry in gateway.logs.all() if entry["level"] in ("error", "critical")] == []
    assert gateway.engine.plans == []


async def wait_for_connection(gateway: Running) -> None:
    # One whole round trip on another connection: the loop has read what was sent before.
    await gateway.http.get("/healthz")


async def test_a_reader_that_does_not_read_holds_the_engine_back() -> None:
    """What lies between the engine and a stalled client is bounded: the mailbox, the server's buffer, the kernel's."""
    door, piece, pieces = Door(), "x" * 100_000, 400
    engine = says(*[piece] * pieces)
    script = engine.script
    engine.script = lambda plan: [*(steps := list(script(plan)))[:-1], WaitFor(door), steps[-1]]
    async with running(engine) as gateway:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", gateway.port))
        await loop.sock_sendall(client, http_request(stream=True))
        # The engine gets stuck long before its last event: other requests are served, and the door is never reached.
        for _ in range(50):
            await gateway.http.get("/healthz")
        assert gateway.engine.running == 1
        assert not door.reached.is_set()
        received = 0
        while not door.reached.is_set():
            received += len(await loop.sock_recv(client, 1 << 20))
        assert received > pieces * len(piece) // 2, "nearly all of it was still to be sent"
        client.close()
        assert (await gateway.logs.until(lambda lines: lines[-1]["path"] == CHAT))[-1]["outcome"] == "client_left"


async def test_a_stalled_reader_that_leaves_is_noticed() -> None:
    async with running(says(*["x" * 100_000] * 400)) as gateway:
        client = socket.socket()
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", gateway.port))
        await loop.sock_sendall(client, http_request(stream=True))
        await loop.sock_recv(client, 1000)
        client.close()
        assert (await gateway.logs.request())["outcome"] == "client_left"
        assert len(gateway.engine.left_early) == 1


async def test_a_server_that_gives_up_is_no_client_that_left() -> None:
    """At the very end the server cancels what still runs; nobody may take that for a departure, or swallow it."""
    door = Door()
    async with running(stops_at(3, door, "a", "b")) as gateway:
        _, writer = await connect(gateway)
        writer.write(http_request(stream=True))
        await door.reached.wait()
        for task in gateway.server_tasks:
            task.cancel()
        line = await gateway.logs.request()
        assert "outcome" not in line
        assert gateway.engine.left_early == [line["turn_id"]]
        writer.close()
