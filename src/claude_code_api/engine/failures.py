"""The CLI's and the upstream's failures → `TurnError`. Pure, and the only place that reads them.

The CLI's own text is for the log: it names hosts and paths. The one text that is passed on is what the model's API
itself said about a request that it refused, because only that tells the client what to change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed

# What is kept of a private text for the log: enough to recognise it, too little to fill a disk.
DETAIL_CHARS: Final = 500

_BY_STATUS: Final[Mapping[int, tuple[ErrorKind, str]]] = {
    400: (ErrorKind.UPSTREAM_INVALID, "The model's API refused the request."),
    401: (ErrorKind.UPSTREAM_AUTH, "The gateway's own credentials were refused by the model's API."),
    403: (ErrorKind.UPSTREAM_AUTH, "The gateway's own credentials may not do this at the model's API."),
    404: (ErrorKind.MODEL_NOT_FOUND, "The model's API does not know this model."),
    408: (ErrorKind.UPSTREAM_TIMEOUT, "The model's API did not answer in time."),
    413: (ErrorKind.BODY_TOO_LARGE, "The request is larger than the model's API accepts."),
    429: (ErrorKind.UPSTREAM_RATE_LIMITED, "The model's API limits the rate of requests; try again later."),
    503: (ErrorKind.UPSTREAM_OVERLOADED, "The model's API is not available just now; try again later."),
    504: (ErrorKind.UPSTREAM_TIMEOUT, "The model's API did not answer in time."),
    529: (ErrorKind.UPSTREAM_OVERLOADED, "The model's API is overloaded; try again later."),
}
_FIRST_ERROR: Final = 400
# No status says these.
_KNOWN_BY_THE_CLI: Final = frozenset({ErrorKind.CONTEXT_TOO_LONG, ErrorKind.INTERRUPTED})
_TOO_LONG: Final = frozenset({"prompt_too_long", "blocking_limit"})


def failure_of(body: Mapping[str, Any], error_word: str) -> Failed:
    """Read a `result` that reports an error; `error_word` is the CLI's own name for it."""
    text = str(body.get("result") or body.get("errors") or "")
    reason = str(body.get("terminal_reason") or body.get("subtype") or "")
    status = body.get("api_error_status")
    detail = f"{reason} {status} {error_word}: {text}"[:DETAIL_CHARS]
    kind, message = _classify(status, reason, error_word)
    if kind is ErrorKind.UPSTREAM_INVALID:
        message = _said_by_the_api(body, text) or message
    return _failed(kind, message, detail)


def _classify(status: object, reason: str, error_word: str) -> tuple[ErrorKind, str]:
    if reason in _TOO_LONG:
        return ErrorKind.CONTEXT_TOO_LONG, "The conversation is longer than the model's context window."
    if reason.startswith("aborted"):
        return ErrorKind.INTERRUPTED, "The turn was interrupted."
    if isinstance(status, int):
        return _by_status(status)
    if error_word == "authentication_failed":
        return ErrorKind.NO_CREDENTIALS, "The gateway has no working credentials for the model's API."
    return ErrorKind.UPSTREAM_ERROR, "The connection to the model's API failed."


def _by_status(status: int) -> tuple[ErrorKind, str]:
    return _BY_STATUS.get(status, (ErrorKind.UPSTREAM_ERROR, f"The model's API failed with status {status}."))


def as_told(error: TurnError, status: int | None, refusal: str | None) -> TurnError:
    """Say what the upstream itself told instead of what the CLI made of it; no status: it could not be reached."""
    if error.source != "upstream" or error.kind in _KNOWN_BY_THE_CLI:
        return error
    if status is None:
        return replace(error, kind=ErrorKind.UPSTREAM_ERROR, message="The model's API could not be reached.")
    if status < _FIRST_ERROR:
        # It began to answer; what went wrong afterwards only the CLI has seen.
        return error
    kind, message = _by_status(status)
    if kind is ErrorKind.UPSTREAM_INVALID:
        message = refusal or message
    return replace(error, kind=kind, message=message)


def _said_by_the_api(body: Mapping[str, Any], text: str) -> str | None:
    """The `error.message` of the API's answer; without an error type it was not the API that answered."""
    if not body.get("api_error_type"):
        return None
    said = text.removeprefix(f"API Error: {body.get('api_error_status')} ")
    if said == text:
        return None
    return _quoted(said) or said


def _quoted(text: str) -> str | None:
    """The same where the CLI quotes the whole JSON body."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return None
    error = value.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) and message else None


def upstream_broke(detail: str) -> Failed:
    """The answer stopped half-way, and nothing honest can be said about its end."""
    return _failed(ErrorKind.UPSTREAM_ERROR, "The model's answer broke off.", detail)


def upstream_silent(silence_s: float) -> Failed:
    """Nothing came for too long."""
    message = f"The model sent nothing for {silence_s:g} seconds."
    return _failed(ErrorKind.UPSTREAM_TIMEOUT, message, "silence watchdog")


def stopped_by_hook(words: str) -> Failed:
    """A hook of the project's, which is trusted, let the model not be asked. Its words are meant for whoever asked."""
    said = f": {words.strip()[:DETAIL_CHARS]}" if words.strip() else "."
    message = f"A hook of the project refused this prompt{said}"
    return Failed(TurnError(ErrorKind.FORBIDDEN, message, "stopped by a hook", source="engine"))


def engine_died(detail: str) -> Failed:
    """The CLI process is gone."""
    message = "The process that answered ended unexpectedly."
    return Failed(TurnError(ErrorKind.ENGINE_DIED, message, detail[:DETAIL_CHARS], source="engine"))


def _failed(kind: ErrorKind, message: str, detail: str) -> Failed:
    return Failed(TurnError(kind, message, detail, source="upstream"))
