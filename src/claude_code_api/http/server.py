"""How HTTP is served: uvicorn, which lets the turns end before it closes the doors."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.http.connections import DESCRIPTORS, Connection, Crowd, Socket
from claude_code_api.http.options import HttpOptions

# After the drain every turn is over; what still holds a connection open then is cut.
CLOSE_S: Final = 3
# Between two requests on one connection.
KEEP_ALIVE_S: Final = 30
# A prompt may hold pictures; it is as large as a body may be.
MAX_WS_MESSAGE_BYTES: Final = 32 * 1024 * 1024


# TLS 1.3 and the suites of 1.2 that keep a secret even if the key is lost later.
TLS_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
# As browsers send it: a scheme (extensions of browsers have their own), a name or an address, perhaps a port.
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?")


def server_config(app: ASGIApp, options: HttpOptions, *, descriptors: int = DESCRIPTORS) -> uvicorn.Config:
    """Say how HTTP is spoken, and to how many."""
    crowd = Crowd.of(options.max_connections, options.max_unknown_connections, descriptors)
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(Connection, crowd)),
        ws=Socket,
        ws_max_size=MAX_WS_MESSAGE_BYTES,
        # A few bytes of text gain nothing by it, and each connection would hold its dictionaries.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        # Nobody else is taken at the word of an X-Forwarded-For.
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
        ssl_context_factory=None if options.tls_cert is None else lambda _config, _default: tls_context(options),
    )
    config.load()
    return config


class TransportError(Exception):
    """What is set about TLS, proxies or origins cannot be; the text says why."""


def check_transport(options: HttpOptions) -> None:
    """Return if TLS, proxies and origins are set so that they work; raises `TransportError` else."""
    for name in options.trusted_proxies:
        try:
            network = ipaddress.ip_network(name, strict=False)
        except ValueError as error:
            # A star, for one, would let everybody say where he comes from.
            raise TransportError(f"The setting trusted_proxies names no address and no network: {name!r}.") from error
        if not network.prefixlen:
            raise TransportError(f"The setting trusted_proxies would believe everybody: {name!r}.")
    for origin in options.allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            # A star allows nothing here, and would be believed to; `null` is what any page can call itself.
            raise TransportError(f"The setting allowed_origins names no origin like `https://app.example`: {origin!r}.")
    if options.tls_cert is None:
        if options.tls_key is not None or options.tls_client_ca is not None:
            raise TransportError("The settings tls_key and tls_client_ca need tls_cert, the certificate itself.")
        return
    try:
        tls_context(options)
    except (OSError, ssl.SSLError) as error:
        raise TransportError(f"TLS cannot be served with {options.tls_cert}: {error}.") from error


def tls_context(options: HttpOptions) -> ssl.SSLContext:
    """Make what HTTPS is served with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # With an empty password it would ask at the terminal.
    context.load_cert_chain(str(options.tls_cert), options.tls_key, options.tls_key_password or (lambda: b""))
    if options.tls_client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(options.tls_client_ca)
    return context


class Server(uvicorn.Server):
    """Uvicorn, which lets the turns end before it closes the doors."""

    def __init__(self, config: uvicorn.Config, runner: TurnRunner, drain_s: float) -> None:
        """Take what has to end first, and how long that may take."""
        super().__init__(config)
        self._runner, self._drain_s = runner, drain_s
        self.listening = asyncio.Event()
        self._cause: Exception | None = None

    @contextmanager
    def ended_by(self, cause: type[Exception]) -> Iterator[None]:
        """End when this is raised here: `serve` raises it again."""
        try:
            yield
        except cause as error:
            self._cause, self.should_exit = error, True
            raise

    @override
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets)
        if self._cause is not None:
            raise self._cause

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # The doors stay open meanwhile, to tell a balancer and new requests that this gateway is going.
        await self._runner.drain(self._drain_s)
        await super().shutdown(sockets)

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The original raises the signal again once it is done, which would end the process before it has cleaned up.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._asked_to_end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _asked_to_end(self) -> None:
        if self.should_exit:
            # Asked twice: somebody is waiting.
            self._runner.hurry()
        self.should_exit = True
