"""The stand-in as an ASGI application: the routes of the Messages API and their bookkeeping.

Knows the protocol of ASGI and the shapes of the API; leaves choosing to `choice` and waiting to
`delivery`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, MutableMapping
from http import HTTPStatus
from time import monotonic
from typing import Any, TypeAlias

import orjson

from claude_code_api.standin import model_list, playback, sse, strict
from claude_code_api.standin.choice import Repertoire
from claude_code_api.standin.delivery import Delivery, Gates, Headers, Receive, Send
from claude_code_api.standin.playback import Occasion
from claude_code_api.standin.received import Ledger, Received
from claude_code_api.standin.script import ERROR_TYPES, Answer, Break
from claude_code_api.standin.word_count import count_body

Scope: TypeAlias = MutableMapping[str, Any]

# Where the ASGI scope's `state` holds the server's end of the connection: a script can drop it, plain ASGI cannot.
CONNECTION = "standin.connection"


class Application:
    """Answers requests out of a repertoire and records them in a ledger."""

    def __init__(self, repertoire: Repertoire, ledger: Ledger, *, strict: bool = True) -> None:
        self.repertoire = repertoire
        self.ledger = ledger
        self._strict = strict
        self.gates = Gates()
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the stand-in serves http only, not {scope['type']}")
        raw = await read_body(receive)
        if raw is None:
            return
        self._count += 1
        # The server cancels what is open when it stops; connections are lost by then and nobody waits for an answer.
        with contextlib.suppress(asyncio.CancelledError):
            await self._serve(scope, raw, receive, send)

    async def _serve(self, scope: Scope, raw: bytes, receive: Receive, send: Send) -> None:
        record = self.ledger.add(_record(scope, raw))
        delivery = Delivery(record, self.ledger, self.gates, receive, send, scope["state"][CONNECTION].transport)
        await delivery.run(self._answer(delivery, f"req_standin_{self._count:06d}", self._count))

    async def _answer(self, delivery: Delivery, request_id: str, number: int) -> None:
        record = delivery.record
        headers: Headers = [(b"request-id", request_id.encode())]
        payload: Mapping[str, object]
        match (record.method, record.path):
            case ("POST", "/v1/messages" | "/v1/messages/count_tokens") if refused := self._refused(record):
                self.ledger.refused(record, refused.rule, refused.message)
                status, payload = refused.status, sse.error_body(refused.error, refused.message, request_id)
            case ("POST", "/v1/messages"):
                answer, source, place = self.repertoire.choose(record.body, number)
                self.ledger.answered(record, source, place)
                await _speak(delivery, answer, request_id, number)
                return
            case ("POST", "/v1/messages/count_tokens"):
                status, payload = 200, {"input_tokens": count_body(record.body)}
            # Claude Code looks for /api/hello at its start unless non-essential traffic is switched off.
            case ("GET" | "HEAD", "/" | "/api/hello"):
                status, payload = 200, {"service": "stand-in of the Anthropic Messages API", "model": "none"}
            case ("GET", path) if path.startswith("/v1/models"):
                status, payload = model_list.answer(path, record.query, request_id)
            case _:
                problem = f"The stand-in has no {record.method} {record.path}"
                status, payload = 404, sse.error_body("not_found_error", problem, request_id)
        self.ledger.answered(record, "built-in", record.index)
        await delivery.json(status, payload, headers)

    def _refused(self, record: Received) -> strict.Refusal | None:
        """Return how the real API would refuse a request; without strictness, only what cannot be answered at all."""
        counting = record.path.endswith("/count_tokens")
        if self._strict:
            return strict.refusal(record.body, record.headers, len(record.raw), counting=counting)
        problem = _problem(record.body)
        return None if problem is None else strict.Refusal(400, "invalid_request_error", problem, "unanswerable")


async def read_body(receive: Receive) -> bytes | None:
    """Return the whole body, however large, or None when the client leaves while sending it."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _record(scope: Scope, raw: bytes) -> Received:
    try:
        body = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        body = None
    return Received(
        index=0,
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        raw=raw,
        body=body,
        at_s=monotonic(),
    )


def _problem(body: object) -> str | None:
    """Return why a body cannot be answered."""
    if not isinstance(body, dict):
        return "The request body is not a JSON object"
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return "messages: at least one message is required"
    if not isinstance(body.get("model"), str):
        return "model: Field required"
    return None


async def _speak(delivery: Delivery, answer: Answer, request_id: str, number: int) -> None:
    """Deliver a scripted or demo answer."""
    if answer.hold is not None:
        await delivery.wait(answer.hold)
    headers: Headers = [(b"request-id", request_id.encode())]
    headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    if answer.status != HTTPStatus.OK:
        await delivery.json(answer.status, sse.error_body(answer.error_kind, answer.error_message, request_id), headers)
        return
    record = delivery.record
    occasion = Occasion(
        message_id=_message_id(record.raw, number),
        request_id=request_id,
        model=record.body["model"],
        raw_body=record.raw,
        input_tokens=count_body(record.body) if answer.usage is None else 0,
    )
    if record.body.get("stream"):
        headers += [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await delivery.stream(playback.stream(answer, occasion), headers)
        return
    for wait in playback.waits(answer):
        if isinstance(wait, Break) and wait.kind == "error":
            status = next((code for code, name in ERROR_TYPES.items() if name == wait.error_type), 500)
            await delivery.json(status, sse.error_body(wait.error_type, wait.message, request_id), headers)
            return
        await delivery.wait(wait)
    await delivery.json(200, playback.message(answer, occasion), headers)


def _message_id(raw: bytes, number: int) -> str:
    # Claude Code joins history entries of one message id, so ids must also differ between two runs of the stand-in.
    return f"msg_{hashlib.sha1(raw, usedforsecurity=False).hexdigest()[:18]}{number:06d}"
