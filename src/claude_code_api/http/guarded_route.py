"""A route whose body the framework reads: after it is known who asks, and by the decoder that everything goes through.

By itself the framework reads and decodes a body first, and asks for the key then: somebody without one would have the
gateway hold and decode as much as a body may be.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from claude_code_api.http.guards import SCOPES
from claude_code_api.http.json_body import decode_object


class _Decoded(Request):
    """A request whose body has been decoded already."""

    decoded: Mapping[str, Any]

    @override
    async def json(self) -> Any:
        return self.decoded


class GuardedRoute(APIRoute):
    """For routers with routes that take a body."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        guards = [dependency.call for dependency in self.dependant.dependencies if dependency.call in SCOPES]

        async def handle_known(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            known = _Decoded(request.scope, request.receive)
            body = await known.body()
            if body:
                # Where none is needed, none is no mistake.
                known.decoded = decode_object(body)
            return await handle(known)

        return handle_known
