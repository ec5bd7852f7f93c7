"""The remote control of a stand-in that runs in a process of its own: routes under `/standin/`.

    GET    /standin/received          the records, as JSON      DELETE  forgets them
    GET    /standin/received/{n}/raw  the bytes of one request
    GET    /standin/refusals          the records that the real API would have refused
    POST   /standin/script            a script, see `script_json.script_from_json`      DELETE  forgets it
    POST   /standin/release/{gate}    opens a gate

Stands in front of `app`, so nothing here is recorded. In one process, use the methods of `StandIn` instead.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeAlias

import orjson

from claude_code_api.standin import sse
from claude_code_api.standin.app import Application, Scope, read_body
from claude_code_api.standin.delivery import Receive, Send
from claude_code_api.standin.script import ScriptError
from claude_code_api.standin.script_json import script_from_bytes

Reply: TypeAlias = tuple[HTTPStatus, Any]

PREFIX = "/standin/"


class RemoteControl:
    """Takes the control requests and passes all others on."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        raw = await read_body(receive)
        if raw is None:
            return
        status, payload = self._act(scope["method"], scope["path"].removeprefix(PREFIX).split("/"), raw)
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        kind = b"application/octet-stream" if isinstance(payload, bytes) else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _act(self, method: str, what: list[str], raw: bytes) -> Reply:
        done: Reply = HTTPStatus.OK, {"ok": True}
        match (method, what):
            case ("GET", ["received"]):
                done = HTTPStatus.OK, [record.to_json() for record in self._app.ledger.snapshot()]
            case ("GET", ["refusals"]):
                refused = [record for record in self._app.ledger.snapshot() if record.refused is not None]
                done = HTTPStatus.OK, [record.to_json() for record in refused]
            case ("DELETE", ["received"]):
                self._app.ledger.clear()
            case ("GET", ["received", index, "raw"]) if index.isdecimal():
                done = self._raw(int(index))
            case ("POST", ["script"]):
                done = self._script(raw)
            case ("DELETE", ["script"]):
                self._app.repertoire.clear()
            case ("POST", ["release", *gate]) if any(gate):
                self._app.gates.release("/".join(gate))
            case _:
                done = _refusal(HTTPStatus.NOT_FOUND, "not_found_error", f"no {method} {PREFIX}{'/'.join(what)}")
        return done

    def _raw(self, index: int) -> Reply:
        records = self._app.ledger.snapshot()
        if index >= len(records):
            return _refusal(HTTPStatus.NOT_FOUND, "not_found_error", f"only {len(records)} requests were received")
        return HTTPStatus.OK, records[index].raw

    def _script(self, raw: bytes) -> Reply:
        try:
            script = script_from_bytes(raw)
        except ScriptError as problem:
            return _refusal(HTTPStatus.BAD_REQUEST, "invalid_request_error", str(problem))
        self._app.repertoire.load(script)
        return HTTPStatus.OK, {"ok": True, "answers": len(script.answers), "rules": len(script.rules)}


def _refusal(status: HTTPStatus, error_type: str, message: str) -> Reply:
    return status, sse.error_body(error_type, message, "req_standin_control")
