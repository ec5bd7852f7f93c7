"""How many tokens a request's input has, as the model's API counts them.

The CLI is not needed for it: the gateway asks the API itself, with its own credentials, for the input that the CLI
would send. It costs no tokens. With a login of `claude` only the CLI may speak to the API, so there it is refused.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx2
import orjson

from claude_code_api.engine.failures import DETAIL_CHARS, as_told
from claude_code_api.engine.launch import Lane, lane_for
from claude_code_api.engine.options import Credentials, EngineOptions
from claude_code_api.engine.overlay import counted_fields
from claude_code_api.engine.relay import API
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

CONNECT_S: Final = 10.0
# Counting takes the API some hundred milliseconds.
_ANSWER_S: Final = 60.0
_FIRST_ERROR: Final = 400
# Names of models carry how much context the CLI is to use; the API knows them without.
_CONTEXT_MARK: Final = "[1m]"
_HEADERS: Final = {"content-type": "application/json", "anthropic-version": "2023-06-01"}


class TokenCount:
    """Asks the model's API to count. The connection is made when it is first needed."""

    def __init__(self, options: EngineOptions, credentials: Credentials) -> None:
        """Remember whom to ask, and as whom."""
        self._url = (options.anthropic_base_url or API).rstrip("/") + "/v1/messages/count_tokens"
        self._credentials = credentials
        self._client: httpx2.AsyncClient | None = None

    async def count(self, plan: Plan) -> int:
        """Count the input of a turn, the CLI's own words included."""
        body = {"model": plan.model.removesuffix(_CONTEXT_MARK), **counted_fields(plan.request)}
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await self._asked().post(self._url, content=orjson.dumps(body))
        except (httpx2.TransportError, TimeoutError) as error:
            raise TurnRefusedError(as_told(_failed(repr(error)), None, None)) from error
        said = _json(answer)
        if answer.status_code >= _FIRST_ERROR:
            raise TurnRefusedError(_refused(answer, said))
        count = said.get("input_tokens")
        if not isinstance(count, int):
            raise TurnRefusedError(_failed(f"no count in {answer.text[:DETAIL_CHARS]!r}"))
        return count

    def _asked(self) -> httpx2.AsyncClient:
        if self._client is None:
            headers = {**_HEADERS, **_credential_header(self._credentials)}
            timeout = httpx2.Timeout(None, connect=CONNECT_S)
            self._client = httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False)
        return self._client

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()


def _credential_header(credentials: Credentials) -> dict[str, str]:
    if lane_for(credentials) is not Lane.CLEAN:
        message = (
            "Tokens are counted by the model's API, which the gateway itself can ask only with an API key or an auth "
            "token; this one works on a login of `claude`. Leave the count out, or set ANTHROPIC_API_KEY."
        )
        raise TurnRefusedError(TurnError(ErrorKind.NOT_SERVED, message))
    if credentials.api_key:
        return {"x-api-key": credentials.api_key}
    return {"authorization": f"Bearer {credentials.auth_token}"}


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _refused(answer: httpx2.Response, said: dict[str, Any]) -> TurnError:
    error = said.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    told = as_told(_failed(answer.text[:DETAIL_CHARS]), answer.status_code, str(message) if message else None)
    wait = answer.headers.get("retry-after", "")
    if not wait.isdecimal():
        return told
    return TurnError(told.kind, told.message, told.detail, source=told.source, retry_after_s=float(wait))


def _failed(detail: str) -> TurnError:
    message = "The model's API did not count the tokens."
    return TurnError(ErrorKind.UPSTREAM_ERROR, message, detail, source="upstream")
