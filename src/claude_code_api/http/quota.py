"""How a request's key stands with its limits, in the headers of the answer: in each vendor's own names for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from claude_code_api.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from claude_code_api.flow.ports import Clock
from claude_code_api.flow.rates import Standing
from claude_code_api.http.errors import dialect_of

_KEY: Final = "claude_code_api.quota"
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


@dataclass(slots=True)
class Quota:
    """What is known of it by the time that the answer begins."""

    requests: Standing | None = None
    tokens: Standing | None = None

    def named(self) -> Iterator[tuple[str, Standing]]:
        """The ones that are known, with what they count."""
        for name, standing in (("requests", self.requests), ("tokens", self.tokens)):
            if standing is not None:
                yield name, standing


def quota_of(scope: Scope) -> Quota:
    """Find the request's quota."""
    quota: Quota = scope[_KEY]
    return quota


class QuotaHeaders:
    """Pure ASGI middleware."""

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        """Wrap an application."""
        self._app, self._clock = app, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        quota = Quota()
        scope = {**scope, _KEY: quota}

        async def send_with_quota(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, standing in quota.named():
                    headers.update(self._headers(scope, name, standing))
            await send(message)

        await self._app(scope, receive, send_with_quota)

    def _headers(self, scope: Scope, name: str, standing: Standing) -> dict[str, str]:
        limit, remaining = str(standing.limit), str(standing.remaining)
        if dialect_of(scope) is ANTHROPIC_MESSAGES:
            reset = datetime.fromtimestamp(ceil(self._clock.now_s() + standing.reset_s), UTC)
            own = f"anthropic-ratelimit-{name}"
            return {
                f"{own}-limit": limit,
                f"{own}-remaining": remaining,
                f"{own}-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        return {
            f"x-ratelimit-limit-{name}": limit,
            f"x-ratelimit-remaining-{name}": remaining,
            f"x-ratelimit-reset-{name}": _duration(ceil(standing.reset_s)),
        }


def _duration(seconds: int) -> str:
    """Write it as OpenAI does: 6m0s."""
    hours, rest = divmod(seconds, _HOUR_S)
    minutes, rest = divmod(rest, _MINUTE_S)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"
