"""A client of the chat completions API on one kept connection: raw bytes, so that it costs next to nothing itself."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Sequence
from typing import Final, cast
from urllib.parse import urlsplit

import orjson
from typing_extensions import override

from claude_code_api.bench.measure import BenchError, Client, Conversation, Kind, Turn
from claude_code_api.bench.processes import HTTP_S, TURN_S, cpu_s, deadline
from claude_code_api.bench.scenarios import CALLED, RETURNED
from claude_code_api.turn.block_json import blocks_json
from claude_code_api.turn.request import Json, JsonObject

# A frame with text in it. Servers differ in the blank after the colon.
_TEXT: Final = re.compile(rb'"content": ?"(?!")')
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_DONE: Final = b"data: [DONE]"


class Exchange(asyncio.Protocol):
    """A connection, and the one answer that is being read on it."""

    def __init__(self) -> None:
        self.closed = False
        self.chunks_s: list[float] = []
        self.done_s: float | None = None
        self._buffer = b""
        self._partial = b""
        self._status = 0
        self._chunked = False
        self._left: int | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._over: asyncio.Future[None] | None = None
        # A call is an answer, too, but it is none that is read by a person.
        self.text_expected = True

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A TCP transport can always write, but uvloop's does not say so by its class.
        self._transport = cast("asyncio.WriteTransport", transport)

    def send(self, request: bytes) -> asyncio.Future[None]:
        """Write a request; the future is the end of its answer."""
        self.chunks_s, self.done_s = [], None
        self._buffer = self._partial = b""
        self._status = 0
        self._over = asyncio.get_running_loop().create_future()
        if self._transport is not None:
            self._transport.write(request)
        return self._over

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    @override
    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        self._buffer += data
        if not self._status and not self._read_head():
            return
        if self._chunked:
            self._read_chunks(now_s)
        else:
            self._read_plain(now_s)

    def _read_head(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        self._status = int(head[9:12])
        length = _LENGTH.search(head)
        self._chunked, self._left = bool(_CHUNKED.search(head)), int(length[1]) if length else None
        self._buffer = rest
        return True

    def _read_chunks(self, now_s: float) -> None:
        buffer, at = self._buffer, 0
        while (line_end := buffer.find(b"\r\n", at)) >= 0:
            size = int(buffer[at:line_end].partition(b";")[0], 16)
            after = line_end + 2 + size
            if len(buffer) < after + 2:
                break
            self._take(buffer[line_end + 2 : after], now_s)
            at = after + 2
            if not size:
                self._end()
        self._buffer = buffer[at:]

    def _read_plain(self, now_s: float) -> None:
        payload, self._buffer = self._buffer, b""
        self._take(payload, now_s)
        if self._left is not None:
            self._left -= len(payload)
            if self._left <= 0:
                self._end()

    def _take(self, payload: bytes, now_s: float) -> None:
        *lines, self._partial = (self._partial + payload).split(b"\n")
        for line in lines:
            if _TEXT.search(line):
                self.chunks_s.append(now_s)
            elif line.startswith(_DONE):
                self.done_s = now_s
            elif b'"error"' in line:
                self._fail(line)

    def _end(self) -> None:
        if self._status != 200 or (self.text_expected and not self.chunks_s):
            self._fail(self._partial)
        elif self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _fail(self, said: bytes) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(BenchError(f"an answer with status {self._status} failed: {said[:500]!r}"))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._status and not self._chunked and self._left is None:
            # Without a length the end of the connection is the end of the answer.
            self._end()
        else:
            self._fail(b"the connection was closed")


# After so many turns a growing conversation begins anew.
GROWING_TURNS: Final = 10
_CALL: Final[JsonObject] = {
    "id": "toolu_bench",
    "type": "function",
    "function": {"name": CALLED, "arguments": '{"word": "here"}'},
}
_CALLED: Final[tuple[JsonObject, ...]] = (
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "toolu_bench", "content": f"{RETURNED} It is there."},
)
TOOL: Final[JsonObject] = {
    "type": "function",
    "function": {
        "name": CALLED,
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}


class HttpClient:
    """Has one conversation, turn by turn, on its connection. `requests` are those of the next turn."""

    def __init__(self, name: str, url: str, requests: Callable[[], Sequence[bytes]]) -> None:
        self._name, self._requests = name, requests
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        self._exchange: Exchange | None = None

    async def open(self) -> Exchange:
        """Connect anew where the server has hung up in the meantime; that is not part of any figure."""
        if self._exchange is None or self._exchange.closed:
            loop = asyncio.get_running_loop()
            try:
                async with deadline(HTTP_S, f"a connection to {self._name}"):
                    _, self._exchange = await loop.create_connection(Exchange, *self._address)
            except OSError as error:
                host, port = self._address
                raise BenchError(f"no connection to {self._name} at {host}:{port}: {error}") from error
        return self._exchange

    async def turn(self) -> Turn:
        """Ask. The total is at `[DONE]`, where clients stop to read."""
        *earlier, last = self._requests()
        exchange = await self.open()
        began_s = time.perf_counter()
        exchange.text_expected = False
        for request in earlier:
            await self._ask(exchange, request)
        exchange.text_expected = True
        await self._ask(exchange, last)
        end_s = exchange.done_s or time.perf_counter()
        return Turn(tuple((at_s - began_s) * 1000 for at_s in exchange.chunks_s), (end_s - began_s) * 1000)

    async def _ask(self, exchange: Exchange, request: bytes) -> None:
        over = exchange.send(request)
        try:
            async with deadline(TURN_S, "the end of the answer"):
                await over
        except BenchError as error:
            raise BenchError(f"{self._name}: {error}") from error

    async def rest(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Hang up."""
        if self._exchange is not None:
            self._exchange.close()


class HttpSystem:
    """A server of the chat completions API."""

    def __init__(self, name: str, url: str, model: str, pid: int | None = None) -> None:
        self.name: Final = name
        self._url, self._model, self._pid = url.rstrip("/"), model, pid

    async def connect(self, conversation: Conversation) -> Client:
        """Open a connection."""
        client = HttpClient(self.name, self._url, self._requests(conversation))
        await client.open()
        return client

    def _requests(self, conversation: Conversation) -> Callable[[], Sequence[bytes]]:
        before: list[JsonObject] = [
            {"role": one.role, "content": blocks_json(one.blocks)} for one in conversation.history
        ]
        question: JsonObject = {"role": "user", "content": conversation.question}
        match conversation.kind:
            case Kind.PLAIN:
                plain = [self.request([*before, question])]
                return lambda: plain
            case Kind.TOOL:
                both = [self.request(messages, tools=[TOOL]) for messages in ([question], [question, *_CALLED])]
                return lambda: both
            case Kind.GROWING:
                said: JsonObject = {"role": "assistant", "content": conversation.answer}
                turns = itertools.cycle(range(GROWING_TURNS))
                return lambda: [self.request([question, said] * next(turns) + [question])]

    def request(self, messages: Sequence[JsonObject], **fields: Json) -> bytes:
        """A whole request, head and body."""
        body = orjson.dumps({"model": self._model, "stream": True, "messages": messages, **fields})
        parts = urlsplit(self._url)
        path = parts.path.removesuffix("/v1").rstrip("/")
        head = (
            f"POST {path}/v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Accept: text/event-stream\r\nAuthorization: Bearer unused\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def cpu_s(self, _clients: Sequence[Client]) -> float | None:
        """CPU time of the server's own process, where it is ours."""
        return None if self._pid is None else cpu_s(self._pid)
