"""Lets pages of the origins that the operator allowed read the answers. Without any, nothing is added to any answer.

Pure ASGI, around the gate, so that a page can also read why it was refused. It refuses nothing: who may knock is the
gate's to say. There are no cookies here, so none are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# How long a browser may remember what it was told.
_MAX_AGE_S: Final = 600
_HEADER_NAMES: Final = re.compile(r"[A-Za-z0-9-]+(\s*,\s*[A-Za-z0-9-]+)*")
# What a page may read beside the body; it sees no other header.
_EXPOSED: Final = (
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
    "request-id",
    "retry-after",
    "x-claude-model",
    "x-ignored-params",
    "x-project-id",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "x-request-id",
    "x-session-id",
    "x-should-retry",
    "x-structured-output",
)


class Cors:
    """Pure ASGI middleware."""

    def __init__(self, app: ASGIApp, *, origins: Iterable[str]) -> None:
        """Wrap an application."""
        self._app = app
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        origin = Headers(scope=scope).get("origin", "") if scope["type"] == "http" and self._origins else ""
        if not origin or origin.lower().rstrip("/") not in self._origins:
            await self._app(scope, receive, send)
            return
        preflight = _preflight(scope)

        async def send_with_leave(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["access-control-allow-origin"] = origin
                headers.add_vary_header("Origin")
                if preflight is None:
                    headers["access-control-expose-headers"] = ", ".join(_EXPOSED)
                elif "allow" in headers:
                    headers["access-control-allow-methods"] = headers["allow"]
                    headers.update(preflight)
            await send(message)

        await self._app(scope, receive, send_with_leave)


def _preflight(scope: Scope) -> dict[str, str] | None:
    """What to say to a browser that asks before it sends; None where this is no such question."""
    headers = Headers(scope=scope)
    if scope["method"] != "OPTIONS" or "access-control-request-method" not in headers:
        return None
    leave = {"access-control-max-age": str(_MAX_AGE_S)}
    wanted = headers.get("access-control-request-headers", "")
    if _HEADER_NAMES.fullmatch(wanted):
        # Clients of both vendors send a dozen headers of their own, and more with every release.
        leave["access-control-allow-headers"] = wanted
    return leave
