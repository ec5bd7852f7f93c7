"""Packs larger answers for clients that can unpack them. Streams are left alone: a packer would hold words back.

Only an answer that comes in one piece is packed, and only JSON and pages are worth it; whatever else there is passes by
without a wrapper around each of its pieces.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping
from typing import Final

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# One network packet; below that nothing is gained.
_FROM_BYTES: Final = 1400
# From here on packing takes milliseconds, which others are not kept waiting for.
_IN_A_THREAD_BYTES: Final = 256 * 1024
_WORTH_IT: Final = ("application/json", "text/")
_STREAM: Final = "text/event-stream"
# Most of the gain at a fraction of the highest levels' time. The better one comes first.
_PACKERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "br": lambda body: brotli.compress(body, quality=4),
    "gzip": lambda body: gzip.compress(body, compresslevel=4, mtime=0),
}


class Packed:
    """Pure ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            send = _Sender(send, _chosen(Headers(scope=scope).getlist("accept-encoding"))).send
        await self._app(scope, receive, send)


class _Sender:
    """Sends one answer, packed if that is possible."""

    def __init__(self, send: Send, coding: str | None) -> None:
        self._send, self._coding = send, coding
        self._head: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_worth_it(message):
            # Not sent before it is known whether the body is one piece.
            self._head = message
            return
        if self._head is not None:
            head, self._head = self._head, None
            message = await self._packed(head, message)
            await self._send(head)
        await self._send(message)

    async def _packed(self, head: Message, message: Message) -> Message:
        headers = MutableHeaders(scope=head)
        headers.add_vary_header("Accept-Encoding")
        body = message.get("body", b"")
        if self._coding is None or message.get("more_body", False) or len(body) < _FROM_BYTES:
            return message
        pack = _PACKERS[self._coding]
        body = await asyncio.to_thread(pack, body) if len(body) >= _IN_A_THREAD_BYTES else pack(body)
        headers["content-encoding"] = self._coding
        headers["content-length"] = str(len(body))
        return {**message, "body": body}


def _is_worth_it(head: Message) -> bool:
    headers = Headers(raw=head["headers"])
    kind = headers.get("content-type", "")
    return kind.startswith(_WORTH_IT) and not kind.startswith(_STREAM) and "content-encoding" not in headers


def _chosen(accepted: list[str]) -> str | None:
    """Choose among what the client says it can unpack: what it likes best, and then what packs best."""
    liked: dict[str, float] = {}
    for entry in ",".join(accepted).lower().split(","):
        name, _, parameters = entry.partition(";")
        liked[name.strip()] = _quality(parameters)
    known = [(liked.get(name, 0.0), name) for name in _PACKERS]
    best = max(quality for quality, _ in known)
    return next((name for quality, name in known if quality == best), None) if best > 0 else None


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
