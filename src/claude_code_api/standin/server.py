"""Running the stand-in: uvicorn's HTTP protocol on a loopback socket, in a thread of its own or on the caller's loop.

`uvicorn.Server` is left out: its main loop ticks every 100 ms, its shutdown waits for open streams, and it owns the
process's signals. A test double must start and stop in milliseconds, hundreds of times, inside another program.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import uvloop
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from claude_code_api.standin.app import CONNECTION, Application
from claude_code_api.standin.choice import Repertoire
from claude_code_api.standin.control import RemoteControl
from claude_code_api.standin.demo_model import DEFAULT_PACE_MS, DemoModel
from claude_code_api.standin.received import DEFAULT_TIMEOUT_S, Ledger, Received
from claude_code_api.standin.script import Answer, Body, Rule, Script, says

HOST = "127.0.0.1"
BACKLOG = 512
# Claude Code keeps its connections; the real API does not close them between two turns either.
KEEP_ALIVE_S = 600

_log = logging.getLogger(__name__)


def _protocol(config: Config, state: ServerState, loop: asyncio.AbstractEventLoop) -> HttpToolsProtocol:
    """Return uvicorn's protocol for one connection, known to the app and silent on uvicorn's process-wide loggers."""
    shown_to_app: dict[str, Any] = {}
    protocol = HttpToolsProtocol(config, state, shown_to_app, _loop=loop)
    protocol.logger = _log
    protocol.access_log = False
    shown_to_app[CONNECTION] = protocol
    return protocol


def _check_loopback(host: str) -> None:
    try:
        fine = ipaddress.ip_address(host).is_loopback
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"the stand-in listens on loopback addresses only, not on {host!r}")


def bind(host: str = HOST, port: int = 0) -> socket.socket:
    """Return a listening socket on a loopback address."""
    _check_loopback(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def url_of(listener: socket.socket) -> str:
    """Return the base URL under which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def serving(app: Application, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on the running loop; on leaving, everything still open is dropped at once."""
    config = Config(
        RemoteControl(app),
        http=HttpToolsProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(lambda: _protocol(config, state, loop), sock=listener)
    try:
        yield
    finally:
        server.close()
        # Connections first: uvicorn complains about a cancelled answer unless its connection is lost already.
        for connection in list(state.connections):
            connection.transport.abort()
        tasks = list(state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class StandIn:
    """A stand-in in a thread of this process.

        with StandIn() as upstream:
            upstream.play("Hello", Answer((Text("a"), Gate("go"), Text("b"))))
            ...  # let a client talk to upstream.base_url
            upstream.wait_received(1)

    All methods may be called from any thread but block; in async code call the waiting ones in a worker thread.
    `strict`: requests that the real API would refuse are refused in its words, and use up no scripted answer.
    """

    def __init__(
        self, *, host: str = HOST, port: int = 0, pace_ms: float = DEFAULT_PACE_MS, strict: bool = True
    ) -> None:
        _check_loopback(host)
        self._repertoire = Repertoire(DemoModel(pace_ms))
        self._ledger = Ledger()
        self._app = Application(self._repertoire, self._ledger, strict=strict)
        self._host, self._port = host, port
        self._base_url: str | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        """The value for ANTHROPIC_BASE_URL."""
        if self._base_url is None:
            raise RuntimeError("the stand-in was never started")
        return self._base_url

    def start(self) -> None:
        """Listen; on return, requests are served."""
        if self._thread is not None:
            raise RuntimeError("the stand-in is already running")
        listener = bind(self._host, self._port)
        self._port, self._base_url = listener.getsockname()[1], url_of(listener)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener, ready), name="stand-in", daemon=True)
        self._thread.start()
        if not ready.wait(DEFAULT_TIMEOUT_S) or self._stopping is None:
            raise RuntimeError("the stand-in's thread did not start; its error was printed by that thread")

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        with contextlib.closing(listener), contextlib.closing(uvloop.new_event_loop()) as loop:
            try:
                loop.run_until_complete(self._serve(listener, ready))
            finally:
                ready.set()

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        stopping = asyncio.Event()
        async with serving(self._app, listener):
            self._loop, self._stopping = asyncio.get_running_loop(), stopping
            ready.set()
            await stopping.wait()

    def stop(self) -> None:
        """Drop all connections and stop listening. Records and scripts stay."""
        if self._thread is None:
            return
        if self._stopping is not None:
            self._on_loop(self._stopping.set)
        self._thread.join(DEFAULT_TIMEOUT_S)
        self._thread = self._loop = self._stopping = None

    def restart(self) -> None:
        """Stop, and listen again on the same port."""
        self.stop()
        self.start()

    def _on_loop(self, call: Callable[[], None]) -> None:
        if self._loop is not None:
            # The loop may have ended by itself in the meantime; then there is nothing to tell it.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call)

    def play(self, *answers: Answer | str) -> None:
        """Queue answers, each given once, in this order. A string is an answer of that text."""
        self._repertoire.play(*map(_answer, answers))

    def always(self, answer: Answer | str | None) -> None:
        """Give this answer when nothing is queued; None brings the demo model back."""
        self._repertoire.always(None if answer is None else _answer(answer))

    def when(self, match: str | Callable[[Body], bool], *answers: Answer | str) -> None:
        """Answer requests whose last user message contains a marker, or that fit a predicate; the last answer stays."""
        self._repertoire.when(Rule(match, tuple(map(_answer, answers))))

    def load(self, script: Script) -> None:
        """Add a script, for example one read by `script_from_bytes`."""
        self._repertoire.load(script)

    def release(self, gate: str) -> None:
        """Let the streams at this gate go on, those that come later as well."""
        self._on_loop(lambda: self._app.gates.release(gate))

    @property
    def received(self) -> list[Received]:
        """Copies of all records, oldest first."""
        return self._ledger.snapshot()

    @property
    def messages(self) -> list[Received]:
        """The records of POST /v1/messages only."""
        return [record for record in self._ledger.snapshot() if record.path == "/v1/messages"]

    @property
    def refusals(self) -> list[tuple[str, Received]]:
        """The requests that the real API would have refused, each with the rule that it broke."""
        return [(record.refused, record) for record in self._ledger.snapshot() if record.refused is not None]

    def clear(self) -> None:
        """Forget records, scripts and released gates; streams that wait at a gate are let go."""
        self._ledger.clear()
        self._repertoire.clear()
        self._on_loop(self._app.gates.clear)

    def wait_received(
        self, count: int = 1, timeout_s: float = DEFAULT_TIMEOUT_S, *, path: str | None = None
    ) -> list[Received]:
        """Block until so many requests have arrived (at this path), and return them."""
        return self._ledger.wait_received(count, timeout_s, path)

    def wait_closed(self, index: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> Received:
        """Block until the exchange with this index is over, and return its record."""
        return self._ledger.wait_closed(index, timeout_s)

    def wait_at_gate(self, gate: str, timeout_s: float = DEFAULT_TIMEOUT_S, *, count: int = 1) -> None:
        """Block until so many streams wait at this gate."""
        self._ledger.wait_at_gate(gate, timeout_s, count)


def _answer(answer: Answer | str) -> Answer:
    return says(answer) if isinstance(answer, str) else answer
