"""The outermost layer: gives every request its id, and writes one canonical line about it when it is over."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from claude_code_api.flow.ports import Clock
from claude_code_api.http.record import RequestRecord, attach

_log = structlog.get_logger("claude_code_api.request")

# A client's own id is kept when it is plainly an id: it goes into our log and back in a header.
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


# What a browser may do with an answer: show it as what it is, in no frame, without running anything, and forget it.
_FOR_BROWSERS: Final = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cache-control", "no-store"),
)
_FOR_BROWSERS_WITH_TLS: Final = (*_FOR_BROWSERS, ("strict-transport-security", "max-age=31536000"))


class RequestLog:
    """Pure ASGI middleware."""

    def __init__(self, app: ASGIApp, *, clock: Clock, count: Callable[[RequestRecord], None]) -> None:
        """Wrap an application; every request is counted as well."""
        self._app, self._clock, self._count = app, clock, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and log it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _CLIENT_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        record = RequestRecord(request_id, scope.get("method", "WEBSOCKET"), scope["path"])
        attach(scope, record)
        # Whoever reads the headers further in finds the id that the answer will have.
        others = [(name, value) for name, value in scope["headers"] if name != b"x-request-id"]
        scope = {**scope, "headers": [*others, (b"x-request-id", request_id.encode())]}
        began_s = self._clock.monotonic_s()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                # The same under the name that Anthropic's clients know.
                headers["request-id"] = request_id
                for name, value in _FOR_BROWSERS if scope["scheme"] == "http" else _FOR_BROWSERS_WITH_TLS:
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            record.total_ms = round((self._clock.monotonic_s() - began_s) * 1000, 1)
            self._count(record)
            _log.info("request", **record.line())
