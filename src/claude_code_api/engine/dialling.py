"""A TCP connection to a host of several addresses: the next one is tried while the last one still keeps silent.

A network whose IPv6 leads nowhere must not cost a turn ten seconds, and uvloop tries one address after another.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final

# What RFC 8305 recommends between one attempt and the next.
NEXT_AFTER_S: Final = 0.25


async def dial(host: str, port: int) -> socket.socket:
    """Connect to whichever address answers first. Raises the `OSError` of the first address where none does."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    waiting = _alternating(found)
    attempts: list[asyncio.Task[socket.socket]] = []
    pending: set[asyncio.Task[socket.socket]] = set()
    try:
        while waiting or pending:
            if waiting:
                attempt = asyncio.ensure_future(_attempt(*waiting.pop(0)))
                attempts.append(attempt)
                pending.add(attempt)
            patience_s = NEXT_AFTER_S if waiting else None
            done, pending = await asyncio.wait(pending, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                if attempt.exception() is None:
                    return attempts.pop(attempts.index(attempt)).result()
        problem = attempts[0].exception()
        raise problem if problem is not None else OSError(f"{host} has no address")
    finally:
        await _give_up(attempts)


def _alternating(found: Sequence[tuple[Any, ...]]) -> list[tuple[int, tuple[Any, ...]]]:
    """The addresses in the resolver's order, but one family after the other by turns."""
    addresses = [(entry[0], entry[4]) for entry in found]
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for pair in zip_longest(first, others) for address in pair if address is not None]


async def _attempt(family: int, address: tuple[Any, ...]) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)  # noqa: FBT003 - its only parameter
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


async def _give_up(attempts: Sequence[asyncio.Task[socket.socket]]) -> None:
    if not attempts:
        return
    for attempt in attempts:
        attempt.cancel()
    await asyncio.wait(attempts)
    for attempt in attempts:
        # Two may have succeeded in the same round of the loop.
        if not attempt.cancelled() and attempt.exception() is None:
            attempt.result().close()
