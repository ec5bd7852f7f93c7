"""One stream that is read as it should be, beside a crowd: clients that wait, and clients that do not read.

The crowd costs memory, and it must not cost the one stream its pace. Its gaps are compared with its own, alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from claude_code_api.bench.client import Exchange, HttpSystem
from claude_code_api.bench.floor import MODEL
from claude_code_api.bench.measure import BenchError, Repeated, percentile
from claude_code_api.bench.processes import HTTP_S, TURN_S, Server, deadline, gateway_server, rss_mb
from claude_code_api.bench.scenarios import FLOOD, LONG, SILENT, TRICKLE

POLL_S: Final = 0.02
# So many connect at the same moment; more would only fill the queue of the listening socket.
TOGETHER: Final = 50
# What a slow reader did not read has to have piled up by then, wherever it piles up.
FLOOD_S: Final = 2.0


class Crowd:
    """Connections to one gateway that ask, and do not read on."""

    def __init__(self, gateway: Server) -> None:
        self._gateway = gateway
        self._system = HttpSystem("gateway", gateway.url, MODEL, gateway.pid)
        self._members: list[Exchange] = []

    def _request(self, marker: str) -> bytes:
        return self._system.request([{"role": "user", "content": f"{marker} Say something."}])

    async def ask(self, marker: str, *, reading: bool = True) -> Exchange:
        """Ask on a connection of its own, and do not wait for the answer."""
        parts = urlsplit(self._gateway.url)
        async with deadline(HTTP_S, "a connection to the gateway"):
            loop = asyncio.get_running_loop()
            transport, exchange = await loop.create_connection(Exchange, parts.hostname or "", parts.port or 80)
        over = exchange.send(self._request(marker))
        # Some of these are cut off in the middle, which is no problem of anybody's.
        over.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not reading:
            transport.pause_reading()
        self._members.append(exchange)
        return exchange

    async def gather(self, count: int, marker: str, *, reading: bool = True) -> None:
        """Have so many of them ask."""
        for begun in range(0, count, TOGETHER):
            now = min(TOGETHER, count - begun)
            await asyncio.gather(*(self.ask(marker, reading=reading) for _ in range(now)))

    async def watched(self, crowd: int = 0, marker: str = "", *, reading: bool = True) -> list[float]:
        """Stream a long answer; returns the gaps between its chunks once the crowd is there."""
        exchange = await self.ask(LONG)
        await _until(lambda: bool(exchange.chunks_s))
        if crowd:
            await self.gather(crowd, marker, reading=reading)
        first = len(exchange.chunks_s)
        await _until(lambda: exchange.done_s is not None)
        gaps = [(after - before) * 1000 for before, after in pairwise(exchange.chunks_s[first:])]
        if not gaps:
            raise BenchError("the watched stream was over before the crowd was there")
        return gaps

    async def warm_up(self) -> None:
        """One turn, so that what is loaded late is there."""
        exchange = await self.ask(TRICKLE)
        await _until(lambda: exchange.done_s is not None)

    def disperse(self) -> None:
        """Everybody hangs up."""
        for exchange in self._members:
            exchange.close()

    def memory_mb(self) -> float:
        """What the gateway occupies; 0 where the system does not tell."""
        return rss_mb(self._gateway.pid) or 0.0


async def _until(there: Callable[[], bool]) -> None:
    async with deadline(TURN_S, "the watched stream"):
        while not there():  # noqa: ASYNC110 - it comes with the bytes, and one look every so often disturbs less
            await asyncio.sleep(POLL_S)


async def idle_streams(root: Path, upstream: str, binary: Path, count: int) -> list[Repeated]:
    """Streams that wait for their place: open, admitted to the queue, and silent."""
    settings = {"max_turns": 2, "max_waiting": count, "wait_s": 300}
    async with gateway_server(root / "idle", upstream, binary, **settings) as gateway:
        crowd = Crowd(gateway)
        try:
            await crowd.warm_up()
            alone = await crowd.watched()
            held = await crowd.ask(SILENT)
            await _until(lambda: bool(held.chunks_s))
            before_mb = crowd.memory_mb()
            beside = await crowd.watched(count, TRICKLE)
            each_kb = (crowd.memory_mb() - before_mb) * 1000 / count
        finally:
            crowd.disperse()
    return _figures(f"{count} idle streams", alone, beside, each_kb, "memory of an idle stream")


async def slow_readers(root: Path, upstream: str, binary: Path, count: int) -> list[Repeated]:
    """Streams that are flooded with text, and whose clients do not read it."""
    settings = {"max_turns": count + 2, "max_idle": count + 2}
    async with gateway_server(root / "slow", upstream, binary, **settings) as gateway:
        crowd = Crowd(gateway)
        try:
            await crowd.warm_up()
            alone = await crowd.watched()
            before_mb = crowd.memory_mb()
            await crowd.gather(count, FLOOD, reading=False)
            await asyncio.sleep(FLOOD_S)
            beside = await crowd.watched()
            each_kb = (crowd.memory_mb() - before_mb) * 1000 / count
        finally:
            crowd.disperse()
    return _figures(f"{count} slow readers", alone, beside, each_kb, "memory of a slow reader")


def _figures(who: str, alone: Sequence[float], beside: Sequence[float], each_kb: float, what: str) -> list[Repeated]:
    return [
        Repeated(f"gap p99 beside {who}", "ms", (percentile(beside, 99),), "alone", (percentile(alone, 99),)),
        Repeated(f"gap p50 beside {who}", "ms", (percentile(beside, 50),), "alone", (percentile(alone, 50),)),
        Repeated(what, "kB", (each_kb,)),
    ]
