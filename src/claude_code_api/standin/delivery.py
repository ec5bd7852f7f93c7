"""Sending an answer: the moves of `playback` become ASGI messages, in time, until the client leaves.

The only place that waits. Events between two waits go out in one write, which makes a burst cheap; each wait flushes,
which makes pacing exact. The client's leaving is noticed at once, also while nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from claude_code_api.standin.playback import Move, Wait
from claude_code_api.standin.received import Ledger, Received
from claude_code_api.standin.script import Break, Gate, Pause

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

# A write this large gives the loop a turn, so that one huge burst neither starves other streams nor hides a disconnect.
FLUSH_BYTES = 64 * 1024


class Gates:
    """Named gates. A released gate stays open, so releasing may come before or after a stream gets there."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def release(self, name: str) -> None:
        """Open a gate. On the server's loop only."""
        self._at(name).set()

    def clear(self) -> None:
        """Close all gates; streams that wait at one are let go. On the server's loop only."""
        for event in self._events.values():
            event.set()
        self._events = {}

    async def passed(self, name: str) -> None:
        """Wait until a gate is open."""
        await self._at(name).wait()

    def _at(self, name: str) -> asyncio.Event:
        return self._events.setdefault(name, asyncio.Event())


class ConnectionCutError(Exception):
    """The script has dropped the connection; nothing more can be sent."""


@dataclass(slots=True)
class Delivery:
    """One exchange's way back to the client."""

    record: Received
    ledger: Ledger
    gates: Gates
    receive: Receive
    send: Send
    connection: asyncio.Transport
    _due_s: float = field(default=0.0)

    async def run(self, answering: Awaitable[None]) -> None:
        """Run an answer to its end, or until the client leaves."""
        answer = asyncio.ensure_future(answering)
        watch = asyncio.ensure_future(self._client_leaves())
        try:
            await asyncio.wait((answer, watch), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                answer.result()
                self.ledger.over(self.record, finished=True)
            else:
                self.ledger.left(self.record)
        except ConnectionCutError:
            self.ledger.over(self.record, finished=False)
            # The server may only believe that an answer is complete or its connection lost: wait for the latter.
            await watch
        finally:
            await _ended(answer, watch)
            # Whatever happened (the server stopping included), nobody shall wait for this exchange any longer.
            self.ledger.over(self.record, finished=False)

    async def _client_leaves(self) -> None:
        # The request was read to its end, so the next message is the disconnect.
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def wait(self, wait: Wait) -> None:
        """Wait as the script says; a break does not return."""
        match wait:
            case Pause(ms):
                await self._pause(ms / 1000)
            case Gate(name):
                self.ledger.at_gate(name, 1)
                try:
                    await self.gates.passed(name)
                finally:
                    self.ledger.at_gate(name, -1)
                self._due_s = 0
            case Break(kind="stall"):
                await asyncio.get_running_loop().create_future()
            case Break():
                # close() and not abort(): what was sent before the cut shall arrive.
                self.connection.close()
                raise ConnectionCutError

    async def _pause(self, seconds: float) -> None:
        """Sleep on a schedule, so that many short pauses do not add up to a slower pace."""
        clock = asyncio.get_running_loop().time
        now = clock()
        self._due_s = max(self._due_s + seconds, now) if self._due_s else now + seconds
        await asyncio.sleep(self._due_s - now)  # noqa: TID251 - the scripted pause itself

    async def stream(self, moves: Iterable[Move], headers: Headers) -> None:
        """Send a stream of events."""
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        pending: list[bytes] = []
        size = 0
        for move in moves:
            if isinstance(move, bytes):
                pending.append(move)
                size += len(move)
                if size < FLUSH_BYTES:
                    continue
            await self._flush(pending)
            pending, size = [], 0
            if isinstance(move, bytes):
                await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, see FLUSH_BYTES
            else:
                await self.wait(move)
        await self._flush(pending, last=True)

    async def _flush(self, pending: list[bytes], *, last: bool = False) -> None:
        if last:
            await self._check_connected()
        if pending or last:
            await self.send({"type": "http.response.body", "body": b"".join(pending), "more_body": not last})
            self.record.events_sent += len(pending)

    async def _check_connected(self) -> None:
        # Uvicorn drops what is sent after the client has left, without a word; such an answer must not count as
        # delivered. The watch for the client's leaving ends this wait.
        if self.connection.is_closing():
            await asyncio.get_running_loop().create_future()

    async def json(self, status: int, payload: object, headers: Headers) -> None:
        """Send a JSON body."""
        await self.blob(status, orjson.dumps(payload), [(b"content-type", b"application/json"), *headers])

    async def blob(self, status: int, body: bytes, headers: Headers) -> None:
        """Send a body whose length is known."""
        await self._check_connected()
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


async def _ended(*tasks: asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
