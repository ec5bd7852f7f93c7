"""What clients expect of any HTTP server: a slash too many, HEAD, OPTIONS.

Pure ASGI, directly around the routes. A path is the same with and without a slash at its end. HEAD is GET without the
body (which the server leaves out). OPTIONS says what a path takes; it needs no key, and reaches no handler.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from claude_code_api.http.methods import allowed_methods


class Manners:
    """Pure ASGI middleware."""

    def __init__(self, app: Starlette) -> None:
        """Wrap the routes."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            if len(scope["path"]) > 1 and scope["path"].endswith("/"):
                scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
            if scope["method"] in ("HEAD", "OPTIONS"):
                allowed = allowed_methods(self._app, scope)
                if scope["method"] == "OPTIONS" and allowed:
                    await _tell(allowed, send)
                    return
                if "HEAD" in allowed:
                    scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


async def _tell(allowed: tuple[str, ...], send: Send) -> None:
    headers = [(b"allow", ", ".join(allowed).encode())]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
