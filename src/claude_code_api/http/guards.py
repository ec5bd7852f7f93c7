"""Dependencies that return values: a handler that needs a caller has to hold one.

A route without a guard is a route without a key, and a guard without a scope does not exist; the tests take the list
of routes from the router and know the one exception by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from claude_code_api.flow.access import Access, Caller
from claude_code_api.flow.budgets import Budgets
from claude_code_api.flow.key_records import Scope
from claude_code_api.flow.rates import RequestRates
from claude_code_api.http.connections import know
from claude_code_api.http.quota import quota_of
from claude_code_api.http.record import record_of
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

Guard = Callable[[Request], Awaitable[Caller]]
# What each guard asks for; None: any key.
SCOPES: Final[dict[Guard, Scope | None]] = {}


async def caller_of(connection: HTTPConnection, key: str | None = None, scope: Scope | None = None) -> Caller:
    """Say who is asking over a connection. A WebSocket may have said its `key` in another way than by a header."""
    access: Access = connection.app.state.access
    found = await access.caller(
        bearer=key or _bearer(connection.headers.get("authorization")),
        api_key=connection.headers.get("x-api-key"),
        # The other end of the connection; what a header says of it, anybody can write.
        peer=connection.client.host if connection.client is not None else "",
    )
    record_of(connection.scope).key_name = found.name
    know(connection.scope)
    if scope is not None:
        refuse_without(scope, found)
    return found


def refuse_without(scope: Scope, caller: Caller) -> None:
    """Refuse what a key does not open."""
    if not caller.may(scope):
        message = f"This key does not open this: it needs the scope {scope.value!r}."
        raise TurnRefusedError(TurnError(ErrorKind.FORBIDDEN, message, source="client"))


async def count_request(connection: HTTPConnection, caller: Caller) -> None:
    """Count a request that asks for work; refuses one too many."""
    rates: RequestRates = connection.app.state.rates
    standing, refusal = await rates.ask(caller)
    quota = quota_of(connection.scope)
    quota.requests = standing
    if refusal is not None:
        raise refusal
    budgets: Budgets = connection.app.state.budgets
    quota.tokens = await budgets.tokens(caller)


def _guard(scope: Scope | None, *, counted: bool = False) -> Guard:
    async def guarded(request: Request) -> Caller:
        caller = await caller_of(request, scope=scope)
        if counted:
            await count_request(request, caller)
        return caller

    SCOPES[guarded] = scope
    return guarded


def _bearer(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


# Whoever has any key.
AnyCaller = Annotated[Caller, Depends(_guard(None))]
# Of turns: who asks for one, which counts, and who looks at what there is.
AskingCaller = Annotated[Caller, Depends(_guard(Scope.TURNS, counted=True))]
TurnCaller = Annotated[Caller, Depends(_guard(Scope.TURNS))]
# Of projects and sessions.
GuardedCaller = Annotated[Caller, Depends(_guard(Scope.MANAGE))]
UsageCaller = Annotated[Caller, Depends(_guard(Scope.USAGE))]
MonitorCaller = Annotated[Caller, Depends(_guard(Scope.MONITOR))]
AdminCaller = Annotated[Caller, Depends(_guard(Scope.ADMIN))]
