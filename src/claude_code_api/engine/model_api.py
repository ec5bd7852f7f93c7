"""The model's API, asked by the gateway itself: with its key or token, never with a login, which is the CLI's alone."""

from __future__ import annotations

from typing import Any, Final

import httpx2

from claude_code_api.engine.launch import Lane, lane_for
from claude_code_api.engine.options import Credentials, EngineOptions
from claude_code_api.engine.relay import API
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

CONNECT_S: Final = 10.0
_HEADERS: Final = {"content-type": "application/json", "anthropic-version": "2023-06-01"}


def api_url(options: EngineOptions) -> str:
    """Return where it is."""
    return (options.anthropic_base_url or API).rstrip("/")


def api_client(credentials: Credentials, for_what: str) -> httpx2.AsyncClient:
    """Make a client. Raises `TurnRefusedError` with a login; `for_what` says what it cannot be used for."""
    headers = {**_HEADERS, **_credential_header(credentials, for_what)}
    return httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(None, connect=CONNECT_S), trust_env=False)


def _credential_header(credentials: Credentials, for_what: str) -> dict[str, str]:
    if lane_for(credentials) is not Lane.CLEAN:
        message = (
            f"{for_what}, which the gateway itself can ask only with an API key or an auth token; this one works on a "
            "login of `claude`. Leave it out, or set ANTHROPIC_API_KEY."
        )
        raise TurnRefusedError(TurnError(ErrorKind.NOT_SERVED, message))
    if credentials.api_key:
        return {"x-api-key": credentials.api_key}
    return {"authorization": f"Bearer {credentials.auth_token}"}


def json_of(answer: httpx2.Response) -> dict[str, Any]:
    """Read an answer; {} where it is no object."""
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def words_of(said: dict[str, Any]) -> str | None:
    """Return what the API says of a request that it refused."""
    error = said.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return str(message) if message else None
