"""Who may knock at all: Host, Origin, content type, body size and body pace, before any route is looked for.

Pure ASGI, and it decides on the scope alone, never on a URL put together again. It covers every route, WebSockets and
the ones without a key included: a page in somebody's browser must not reach a handler, and neither must a name that
was re-bound to this machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from claude_code_api.http.errors import error_answer
from claude_code_api.http.options import HttpOptions
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_OTHER_SITES: Final = frozenset({"cross-site", "same-site"})
_LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
_PROXY_HEADERS: Final = frozenset(
    {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
)
KIB: Final = 1024
MIB: Final = 1024 * KIB
# What is said of a key is short, and few have reason to say it.
_SHORT_PATH: Final = "/v1/keys"
_SHORT_BODY_KIB: Final = 64
MAX_PORT: Final = 65535


def is_loopback_address(text: str) -> bool:
    """Whether a literal address is this machine's own; a name is not an address."""
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


# Who sends a byte now and then is never silent, and never done: after a while a body has to have had this mean pace.
PACE_AFTER_S: Final = 15.0
PACE_BYTES_S: Final = 16 * KIB
_TOO_SLOW: Final = TurnError(
    ErrorKind.REQUEST_TIMEOUT,
    f"After {PACE_AFTER_S:g} seconds, the body has come at less than {PACE_BYTES_S // KIB} KiB a second.",
    source="client",
)


class Gate:
    """Pure ASGI middleware."""

    def __init__(self, app: ASGIApp, *, options: HttpOptions, without_keys: bool) -> None:
        """Wrap an application. `without_keys`: nobody is asked for a key, so nobody may come through a proxy."""
        self._app, self._options, self._without_keys = app, options, without_keys
        self._names = _LOOPBACK_NAMES | {name.lower() for name in options.allowed_hosts}
        self._exposed = not (is_loopback_address(options.host) or options.host.lower() in _LOOPBACK_NAMES)
        if self._exposed:
            self._names |= {options.host.lower()}
        self._origins = frozenset(origin.lower().rstrip("/") for origin in options.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, self._bounded(scope, receive), send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message[:120]})
        else:
            await error_answer(scope, refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> TurnError | None:
        headers = Headers(scope=scope)
        return (
            self._host_refusal(headers.getlist("host"))
            or self._origin_refusal(headers.getlist("origin"), headers.get("host", ""))
            or _site_refusal(headers)
            or self._proxy_refusal(headers)
            or _type_refusal(scope, headers)
            or self._length_refusal(scope, headers.get("content-length"))
        )

    def _host_refusal(self, hosts: Iterable[str]) -> TurnError | None:
        given = list(hosts)
        if len(given) == 1 and self._knows(given[0]):
            return None
        message = "The Host header names another machine; a further name is allowed by CLAUDE_CODE_API_ALLOWED_HOSTS."
        return TurnError(ErrorKind.MISDIRECTED, message, f"host {given!r}"[:200], source="client")

    def _knows(self, host: str) -> bool:
        name = _host_name(host)
        if name is None:
            return False
        # Behind an exposed address every literal address is this machine: only names can be re-bound.
        return name in self._names or is_loopback_address(name) or (self._exposed and _is_address(name))

    def _origin_refusal(self, origins: Iterable[str], host: str) -> TurnError | None:
        given = list(origins)
        if not given or (len(given) == 1 and self._welcomes(given[0].lower().rstrip("/"), host.lower())):
            return None
        message = (
            "Pages of this origin may not call the gateway; CLAUDE_CODE_API_ALLOWED_ORIGINS lists the ones that may."
        )
        return TurnError(ErrorKind.FORBIDDEN, message, f"origin {given!r}"[:200], source="client")

    def _welcomes(self, origin: str, host: str) -> bool:
        # The gateway's own pages have its own (already checked) name in their origin.
        return origin in self._origins or origin in {f"http://{host}", f"https://{host}"}

    def _proxy_refusal(self, headers: Headers) -> TurnError | None:
        # A tunnel on this machine turns loopback into the internet.
        if not self._without_keys or not any(name in _PROXY_HEADERS for name in headers):
            return None
        message = "This gateway runs without keys, so it answers no request that came through a proxy."
        return TurnError(ErrorKind.FORBIDDEN, message, source="client")

    def _length_refusal(self, scope: Scope, length: str | None) -> TurnError | None:
        too_long = length is not None and length.isdecimal() and int(length[:20]) > self._most_bytes(scope)
        return self._too_large(scope) if too_long else None

    def _most_bytes(self, scope: Scope) -> int:
        return _SHORT_BODY_KIB * KIB if scope["path"].startswith(_SHORT_PATH) else self._options.body_mib * MIB

    def _too_large(self, scope: Scope) -> TurnError:
        most = self._most_bytes(scope)
        message = f"The body is larger than {f'{most // MIB} MiB' if most >= MIB else f'{most // KIB} KiB'}."
        return TurnError(ErrorKind.BODY_TOO_LARGE, message, source="client")

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Count the body while it is read, and do not wait for it for ever."""
        if scope["type"] != "http":
            return receive
        most = left = self._most_bytes(scope)
        whole = False
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        async def bounded() -> Message:
            nonlocal left, whole
            if whole:
                return await receive()
            if (passed_s := loop.time() - began_s) > PACE_AFTER_S and most - left < PACE_BYTES_S * passed_s:
                raise TurnRefusedError(_TOO_SLOW)
            try:
                async with asyncio.timeout(self._options.body_silence_s):
                    message = await receive()
            except TimeoutError as error:
                text = f"Nothing of the body came for {self._options.body_silence_s:g} seconds."
                raise TurnRefusedError(TurnError(ErrorKind.REQUEST_TIMEOUT, text, source="client")) from error
            left -= len(message.get("body", b""))
            if left < 0:
                raise TurnRefusedError(self._too_large(scope))
            whole = not message.get("more_body", False)
            return message

        return bounded


def _host_name(host: str) -> str | None:
    """The name in a Host header, lower case and without port and brackets; None when it is not one."""
    try:
        split = urlsplit(f"//{host}")
        port_ok = split.port is None or 0 < split.port <= MAX_PORT
    except ValueError:
        return None
    plain = split.netloc == host and split.username is None and split.password is None
    return split.hostname if port_ok and plain and not split.path else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _site_refusal(headers: Headers) -> TurnError | None:
    """A picture or a link in somebody's page is asked for without an Origin; but browsers say that it is not ours."""
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in _OTHER_SITES:
        return None
    message = "Pages of other sites may not call the gateway."
    return TurnError(ErrorKind.FORBIDDEN, message, source="client")


def _type_refusal(scope: Scope, headers: Headers) -> TurnError | None:
    if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
        return None
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    no_body = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    if given == "application/json" or (not given and no_body):
        return None
    message = "Send the body as JSON, with the header `Content-Type: application/json`."
    return TurnError(ErrorKind.WRONG_MEDIA_TYPE, message, f"content type {given!r}"[:200], source="client")
