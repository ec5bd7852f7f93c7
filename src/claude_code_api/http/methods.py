"""Which methods a path takes, asked of the router itself."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.routing import Match
from starlette.types import Scope

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
# These begin a turn, so they are not to be asked for their head alone.
_NO_HEAD: Final = ("/claude/",)


def allowed_methods(app: Starlette, scope: Scope) -> tuple[str, ...]:
    """Return every method that the request's path takes; none where there is no such path."""
    found = [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.router.routes)
    ]
    if not found:
        return ()
    head = ["HEAD"] if "GET" in found and not scope["path"].startswith(_NO_HEAD) else []
    return (*found, *head, "OPTIONS")
