"""What all doors lead to: the gateway's own asking of the model's API, with the key that is in no process but its own.

What the upstream could not answer is asked again where that may help, before anything has gone to the CLI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import httpx2
import structlog

from claude_code_api.engine.doorway import Asked, Fields
from claude_code_api.engine.options import Credentials, EngineOptions
from claude_code_api.engine.upstream import Answer, UnreachedError, Upstream

_log = structlog.get_logger("claude_code_api.engine")

API: Final = "https://api.anthropic.com"
# What the CLI believes it speaks to, and with: both mean nothing.
PLACEHOLDER_URL: Final = "http://model.invalid"
PLACEHOLDER_KEY: Final = "sk-ant-relay"
# These belong to one connection, or are ours to set.
_NOT_PASSED_ON: Final = frozenset(
    {
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"x-api-key",
        b"authorization",
        b"date",
        b"server",
        # What one hop says to the next, or would have it do.
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        # Credentials of a kind that nobody here has.
        b"cookie",
        b"set-cookie",
    }
)


@dataclass(frozen=True, slots=True)
class Told:
    """What the upstream told about a turn, beside its answer. No status: it could not be reached.

    `refusal` is what it said of a request that it did not answer, in its own words.
    """

    status: int | None
    retry_after_s: float | None = None
    request_id: str | None = None
    refusal: str | None = field(default=None, compare=False)


# The upstream's own trouble, or ours with its limits: these pass by themselves.
_WORTH_ASKING_AGAIN: Final = frozenset({429, 500, 502, 503, 504, 529})
# The pause before the second request; it doubles from one to the next.
FIRST_PAUSE_S: Final = 0.5
# A client that is told to come back later is better served than one that waits in silence.
LONGEST_PAUSE_S: Final = 5.0


class Relay:
    """Speaks to the model's API for all processes of a gateway."""

    def __init__(self, options: EngineOptions, credentials: Credentials) -> None:
        """Keep the credentials, and connections to the API."""
        self._upstream = Upstream(options.anthropic_base_url or API, _credential_header(credentials))
        self.pauses_s = tuple(FIRST_PAUSE_S * 2**number for number in range(options.upstream_retries))

    async def ask(self, asked: Asked) -> Answer:
        """Ask the real API, with the real key. The answer's body is not read yet.

        It is asked again where the upstream says that it might help. Nothing has gone to the CLI by then. Silence is
        judged by the turn's own watchdog, which knows what it is silence of.
        """
        passed = passed_on(asked.headers)
        for pause_s in self.pauses_s:
            try:
                answer = await self._upstream.ask(asked.target, passed, asked.body)
            except UnreachedError as error:
                # It was never reached, so it cannot have begun.
                _log.warning("upstream_unreachable", reason=str(error), again_in_s=pause_s)
            else:
                if answer.status not in _WORTH_ASKING_AGAIN:
                    return answer
                wish_s = told_by(answer).retry_after_s
                if wish_s is not None and wish_s > LONGEST_PAUSE_S:
                    return answer
                answer.leave()
                pause_s = max(pause_s, wish_s or 0.0)  # noqa: PLW2901 - the upstream knows better
                _log.warning("upstream_refused", status=answer.status, again_in_s=pause_s)
            await asyncio.sleep(pause_s)  # noqa: TID251 - what the upstream asked for, bounded by LONGEST_PAUSE_S
        return await self._upstream.ask(asked.target, passed, asked.body)

    async def close(self) -> None:
        """Close the connections to the API."""
        self._upstream.close()


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Return the headers that are meant for the other side."""
    return [(name, value) for name, value in headers if name not in _NOT_PASSED_ON]


def _credential_header(credentials: Credentials) -> tuple[bytes, bytes]:
    if credentials.api_key:
        return b"x-api-key", credentials.api_key.encode()
    return b"authorization", f"Bearer {credentials.auth_token}".encode()


def told_by(answer: Answer) -> Told:
    """Read what stands above an answer."""
    wait = answer.header(b"retry-after") or ""
    retry_after_s = float(wait) if wait.replace(".", "", 1).isdecimal() else None
    return Told(answer.status, retry_after_s, answer.header(b"request-id"))


def words_of(answer: Answer, raw: bytes) -> str | None:
    """The `error.message` of an error's body, which may be compressed; it may also be no such body at all."""
    try:
        body = httpx2.Response(answer.status, headers=answer.headers, content=raw).json()
    except (ValueError, httpx2.DecodingError):
        return None
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) and message else None
