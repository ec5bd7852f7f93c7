"""The bench's own reader of HTTP: an answer is the same, however it was cut into packets."""

import asyncio
from collections.abc import Iterable

import pytest

from claude_code_api.bench.client import Exchange
from claude_code_api.bench.measure import BenchError, percentile

FRAMES = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"one"}}]}\n\ndata: {"choices":[{"delta":{"content": "two"}}]}\n\n',
    b": a comment\n\n",
    b"data: [DONE]\n\n",
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
BODY = b"".join(FRAMES)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(f), f) for f in (*FRAMES, b""))
PLAIN = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


async def read(packets: Iterable[bytes], *, hang_up: bool = False) -> Exchange:
    exchange = Exchange()
    over = exchange.send(b"")
    for packet in packets:
        exchange.data_received(packet)
    if hang_up:
        exchange.connection_lost(None)
    await asyncio.wait_for(over, 1)
    return exchange


@pytest.mark.parametrize("raw", [CHUNKED, PLAIN], ids=["chunked", "with a length"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_chunks_are_counted(raw: bytes, size: int) -> None:
    exchange = await read(raw[at : at + size] for at in range(0, len(raw), size))
    assert len(exchange.chunks_s) == 2
    assert exchange.done_s is not None


async def test_without_a_length_the_end_of_the_connection_is_the_end() -> None:
    exchange = await read([HEAD + b"\r\n" + BODY], hang_up=True)
    assert len(exchange.chunks_s) == 2


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'HTTP/1.1 503 No\r\nContent-Length: 15\r\n\r\n{"error":"full"', "status 503"),
        (HEAD + b'Content-Length: 23\r\n\r\ndata: {"error":"late"}\n\n', "late"),
        (CHUNKED[:-60], "closed"),
        (b"", "closed"),
    ],
    ids=["status", "in the stream", "cut", "nothing"],
)
async def test_a_failure_is_never_a_figure(raw: bytes, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        await read([raw], hang_up=True)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2.5), (95, 3.85), (100, 4)])
def test_percentiles_lie_between_the_nearest_values(percent: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == pytest.approx(expected)
