"""Dependencies that return values: a handler that needs a caller has to hold one.

A route without a guard is a route without a key; the tests take the list of routes from the router and know the one
exception by name.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from claude_code_api.flow.access import Access, Caller
from claude_code_api.http.record import record_of


async def caller(request: Request) -> Caller:
    """Say who is asking, or refuse."""
    return caller_of(request)


def caller_of(connection: HTTPConnection, key: str | None = None) -> Caller:
    """Say who is asking over a connection. A WebSocket may have said its `key` in another way than by a header."""
    access: Access = connection.app.state.access
    found = access.caller(
        bearer=key or _bearer(connection.headers.get("authorization")), api_key=connection.headers.get("x-api-key")
    )
    record_of(connection.scope).key_name = found.name
    return found


def _bearer(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


GuardedCaller = Annotated[Caller, Depends(caller)]
