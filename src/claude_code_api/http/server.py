"""How HTTP is served: uvicorn, which lets the turns end before it closes the doors."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from claude_code_api.flow.run_turn import TurnRunner

# After the drain every turn is over; what still holds a connection open then is cut.
CLOSE_S: Final = 3
# Between two requests on one connection.
KEEP_ALIVE_S: Final = 30
# A prompt may hold pictures; it is as large as a body may be.
MAX_WS_MESSAGE_BYTES: Final = 32 * 1024 * 1024


def server_config(app: ASGIApp) -> uvicorn.Config:
    """Say how HTTP is spoken."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=MAX_WS_MESSAGE_BYTES,
        # A few bytes of text gain nothing by it, and each connection would hold its dictionaries.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        # Nobody is taken at the word of an X-Forwarded-For.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
    )


class Server(uvicorn.Server):
    """Uvicorn, which lets the turns end before it closes the doors."""

    def __init__(self, config: uvicorn.Config, runner: TurnRunner, drain_s: float) -> None:
        """Take what has to end first, and how long that may take."""
        super().__init__(config)
        self._runner, self._drain_s = runner, drain_s
        self.listening = asyncio.Event()

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
