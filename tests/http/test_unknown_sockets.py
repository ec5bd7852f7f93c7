"""What a WebSocket may cost before it has shown a key: it counts as a stranger's, and so does what it sends."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect

from claude_code_api.http import connections
from claude_code_api.http.connections import MAX_UNKNOWN_MESSAGE_BYTES
from claude_code_api.http.options import HttpOptions
from tests.http.loopback import KEY, SOME_ID, Running, running

TOO_MUCH = 2 * MAX_UNKNOWN_MESSAGE_BYTES
UPGRADE = (
    f"GET /claude/ws/{SOME_ID} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
# The beginning of a masked text message, as long as the number that follows.
LONG_TEXT, MASK = b"\x81\xff", b"\0\0\0\0"
CLOSED_AS_TOO_BIG = b"\x88\x02" + struct.pack("!H", 1009)


@pytest.fixture
async def far_away(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A gateway that takes everybody for a peer from another machine, and one stranger of an address."""
    monkeypatch.setattr(connections, "is_loopback_address", lambda _: False)
    async with running(http=HttpOptions(max_unknown_connections=1)) as gateway:
        yield gateway


def address(gateway: Running) -> str:
    return f"{gateway.url.replace('http', 'ws')}/claude/ws/{SOME_ID}"


async def test_item_13_a_socket_is_a_strangers_until_it_shows_a_key(far_away: Running) -> None:
    async with connect(address(far_away)) as stranger:
        assert (await far_away.raw(UPGRADE)).startswith(b"HTTP/1.1 429 ")
        await stranger.send(json.dumps({"type": "auth", "key": KEY}))
        await stranger.send(json.dumps({"type": "ping"}))
        assert json.loads(await stranger.recv()) == {"type": "pong"}
        # Nobody is a stranger now, so there is room for one.
        for _ in range(3):
            async with connect(address(far_away), additional_headers={"x-api-key": KEY}, max_size=None) as known:
                await known.send("x" * TOO_MUCH)
                assert json.loads(await known.recv())["type"] == "started"


async def test_item_13_a_stranger_who_has_gone_counts_no_longer(far_away: Running) -> None:
    for _ in range(3):
        async with connect(address(far_away)):
            pass


async def test_item_13_a_strangers_message_is_short(gateway: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(UPGRADE)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    # Refused by its length, before any of it has come.
    writer.write(LONG_TEXT + struct.pack("!Q", TOO_MUCH) + MASK)
    frame = await reader.readexactly(4)
    assert frame[:1] + frame[2:] == CLOSED_AS_TOO_BIG[:1] + CLOSED_AS_TOO_BIG[2:]
    writer.close()
