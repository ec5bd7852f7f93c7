"""What the gateway asks the model's API itself: how many tokens an input has, and what there is to know of a model.

The CLI is not needed for it: the gateway asks the API itself, with its own credentials, for the input that the CLI
would send. It costs no tokens. With a login of `claude` only the CLI may speak to the API, so there it is refused.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx2
import orjson
import structlog

from claude_code_api.engine.failures import DETAIL_CHARS, as_told
from claude_code_api.engine.model_api import api_client, api_url, json_of, words_of
from claude_code_api.engine.options import Credentials, EngineOptions
from claude_code_api.engine.overlay import counted_fields
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.request import JsonObject

_log = structlog.get_logger("claude_code_api.engine")

# Counting takes the API some hundred milliseconds.
_ANSWER_S: Final = 60.0
_FIRST_ERROR: Final = 400
# Names of models carry how much context the CLI is to use; the API knows them without.
_CONTEXT_MARK: Final = "[1m]"


class TokenCount:
    """Asks the model's API to count. The connection is made when it is first needed."""

    def __init__(self, options: EngineOptions, credentials: Credentials) -> None:
        """Remember whom to ask, and as whom."""
        self._api = api_url(options)
        self._url = f"{self._api}/v1/messages/count_tokens"
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
        said = json_of(answer)
        if answer.status_code >= _FIRST_ERROR:
            raise TurnRefusedError(_refused(answer, said))
        count = said.get("input_tokens")
        if not isinstance(count, int):
            raise TurnRefusedError(_failed(f"no count in {answer.text[:DETAIL_CHARS]!r}"))
        return count

    async def told_of(self, model: str) -> JsonObject | None:
        """Return what the API says of a model; None where it does not."""
        try:
            answer = await self._asked().get(
                f"{self._api}/v1/models/{quote(model.removesuffix(_CONTEXT_MARK), safe='')}"
            )
        except httpx2.TransportError as error:
            _log.info("model_not_asked_about", model=model, reason=repr(error))
            return None
        return json_of(answer) if answer.status_code == HTTPStatus.OK else None

    def _asked(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = api_client(self._credentials, "Tokens are counted by the model's API")
        return self._client

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()


def _refused(answer: httpx2.Response, said: dict[str, Any]) -> TurnError:
    told = as_told(_failed(answer.text[:DETAIL_CHARS]), answer.status_code, words_of(said))
    wait = answer.headers.get("retry-after", "")
    if not wait.isdecimal():
        return told
    return TurnError(told.kind, told.message, told.detail, source=told.source, retry_after_s=float(wait))


def _failed(detail: str) -> TurnError:
    message = "The model's API did not count the tokens."
    return TurnError(ErrorKind.UPSTREAM_ERROR, message, detail, source="upstream")
