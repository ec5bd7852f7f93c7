"""A door to the model's API with a client where the CLI would be, and an upstream that shows what it got."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from claude_code_api.engine.door import Door, Terms, open_door
from claude_code_api.engine.options import Credentials, EngineOptions
from claude_code_api.engine.relay import Relay
from tests.harness.waiting import BOUND_S

KEY = Credentials(api_key="sk-real")

Play = Callable[[asyncio.StreamWriter], Awaitable[None]]
# The loop that the gateway runs on.
UVLOOP: tuple[str, dict[str, Any]] = ("asyncio", {"use_uvloop": True})


@dataclass
class Wire:
    """An upstream of plain bytes: keeps what it got, and says what it is told to say."""

    play: Play
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                self.bodies.append(await reader.readexactly(int(length[1]) if length else 0))
                await self.play(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def headers(self, name: str) -> list[str]:
        """All values of a header in the last request."""
        found = re.findall(rf"^{name}: (.*)\r$", self.heads[-1].decode("latin-1"), re.IGNORECASE | re.MULTILINE)
        return [str(value) for value in found]


@asynccontextmanager
async def wire(*pieces: bytes, head: str = "200 OK", fields: str = "") -> AsyncIterator[Wire]:
    """Answer every request with these bytes as its body."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\ncontent-length: {sum(map(len, pieces))}\r\n{fields}\r\n".encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    found = Wire(play)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield found


@dataclass
class Entry:
    """A door, and the client that the CLI would be."""

    door: Door
    client: httpx2.AsyncClient
    path: Path

    async def ask(
        self, body: bytes = b"{}", target: str = "/v1/messages", headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        found = {"x-api-key": "sk-ant-relay", **(headers or {})}
        return await self.client.post(target, content=body, headers=found)

    async def begin(self, body: bytes, length: int | None = None) -> Callable[[], None]:
        """Ask on a connection of its own; returns what ends that connection."""
        _, writer = await asyncio.open_unix_connection(str(self.path))
        size = len(body) if length is None else length
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (size, body))
        await writer.drain()
        return writer.close

    async def turn(
        self, body: bytes = b"{}", target: str = "/v1/messages", headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        self.door.admit(Terms())
        return await self.ask(body, target, headers)


@asynccontextmanager
async def entry(directory: Path, url: str, credentials: Credentials = KEY, *, retries: int = 0) -> AsyncIterator[Entry]:
    relay = Relay(EngineOptions(anthropic_base_url=url, upstream_retries=retries), credentials)
    # How long it waits is not what is asked here.
    relay.pauses_s = tuple(0.0 for _ in relay.pauses_s)
    path = directory / "door"
    door = await open_door(relay, path)
    transport = httpx2.AsyncHTTPTransport(uds=str(path))
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://model.invalid", timeout=BOUND_S) as client:
            yield Entry(door, client, path)
    finally:
        await door.close()
        await relay.close()


async def spoken(inner: Entry, raw: bytes) -> tuple[bool, bytes]:
    """Whether a connection of its own was ended, and what was said on it until then."""
    reader, writer = await asyncio.open_unix_connection(str(inner.path))
    writer.write(raw)
    try:
        said = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return True, b""
    finally:
        writer.close()
    return False, said
