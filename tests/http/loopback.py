"""A gateway on a loopback socket, served inside the test's own loop, and what a test needs to talk with it."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import orjson
import structlog
from typing_extensions import override
from uvicorn.server import ServerState

from claude_code_api import app
from claude_code_api.engine.options import EngineOptions
from claude_code_api.engine.scripted import ScriptedEngine, Step, WaitFor
from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.flow.options import AccessOptions, FlowOptions
from claude_code_api.flow.ports import Plan, Store
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.http.options import HttpOptions
from claude_code_api.http.server import server_config
from claude_code_api.settings import Settings
from claude_code_api.storage.opening import open_store
from claude_code_api.storage.options import StorageOptions
from claude_code_api.telemetry import LogFormat, LogLevel, TelemetryOptions, set_up_logs
from claude_code_api.turn.events import Ended, EndReason, PartDelta, PartEnded, PartKind, PartStarted, Started, Usage
from claude_code_api.turn.profile import Profile
from tests.harness.waiting import BOUND_S

KEY = "cca-made-up-for-tests"
CHAT = "/v1/chat/completions"
CLAUDE_MODEL = "claude-test-1"
# Well formed, and nobody's.
SOME_ID = "00000000-0000-4000-8000-000000000000"
# Of all that a test says to one gateway; each single wait has half of it.
PATIENCE_S = 2 * BOUND_S


def with_key() -> Access:
    return Access({digest_of(KEY): Caller("tests", admin=True, highest=Profile.FULL)})


def asking(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": "sonnet", "messages": [{"role": "user", "content": text}], **fields}


# Scripts


class Door(asyncio.Event):
    """Stands in a script: tells when the script has come to it, and is opened by `set`."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    @override
    async def wait(self) -> Any:
        self.reached.set()
        return await super().wait()


def answer_events(plan: Plan, *texts: str) -> list[Step]:
    return [
        Started(plan.turn_id, CLAUDE_MODEL, plan.created_s),
        PartStarted(0, PartKind.TEXT),
        *(PartDelta(0, text) for text in texts),
        PartEnded(0),
        Usage(12, 5, 30, 8, cost_usd=0.25),
        Ended(EndReason.STOP),
    ]


def says(*texts: str) -> ScriptedEngine:
    return ScriptedEngine(lambda plan: answer_events(plan, *texts))


def plays(steps: Sequence[Step]) -> ScriptedEngine:
    return ScriptedEngine(lambda _: steps)


def stops_at(index: int, door: Door, *texts: str) -> ScriptedEngine:
    """An answer with a door before the event of that index."""

    def script(plan: Plan) -> list[Step]:
        steps = answer_events(plan, *texts)
        return [*steps[:index], WaitFor(door), *steps[index:]]

    return ScriptedEngine(script)


# Logs


class LogLines(io.StringIO):
    """The stream that log lines are written to; a test can wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    @override
    def write(self, text: str) -> int:
        written = super().write(text)
        self._more.set()
        return written

    def all(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.getvalue().splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.all() if line["event"] == "request"]

    async def until(self, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Wait until the canonical lines are as wanted."""
        while not wanted(self.requests()):
            self._more.clear()
            await self._more.wait()
        return self.requests()

    async def line(self, event: str) -> dict[str, Any]:
        """Wait for a line of this kind."""
        while not (found := [line for line in self.all() if line["event"] == event]):
            self._more.clear()
            await self._more.wait()
        return found[0]

    async def request(self, number: int = 1) -> dict[str, Any]:
        """Wait for the canonical line of a request: it is written when everything about it is over."""
        return (await self.until(lambda lines: len(lines) >= number))[number - 1]


@contextmanager
def logging_to(stream: io.StringIO, options: TelemetryOptions) -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    set_up_logs(options, stream)
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        structlog.reset_defaults()


# The gateway


@dataclass
class Running:
    """A gateway that can be talked to."""

    engine: ScriptedEngine
    runner: TurnRunner
    routes: Any
    port: int
    logs: LogLines
    http: httpx2.AsyncClient
    server_tasks: set[asyncio.Task[None]]
    gateway: app.Gateway
    store: Store

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **headers: str) -> httpx2.AsyncClient:
        """A client without a key, unless one is given."""
        return _client(self.port, headers)

    async def post(self, text: str = "hi", **fields: Any) -> httpx2.Response:
        return await self.http.post(CHAT, json=asking(text, **fields))

    async def raw(self, *pieces: bytes) -> bytes:
        """Send bytes as they are, and read until the gateway closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        finally:
            writer.close()


def filled(path: str) -> str:
    """A route's path, with something in the place of each parameter."""
    path = path.replace("{model_id:path}", "sonnet").replace("{model_id}", "sonnet")
    return re.sub(r"\{(project|session|response|key|approval|checkpoint)_id\}", SOME_ID, path)


def routes_of(gateway: Running) -> list[tuple[str, str]]:
    """Every method and path, from the router and not from a list."""
    found = []
    for route in every_route(gateway.routes.routes):
        path = filled(str(route.path))
        assert "{" not in path, "say here what stands for the parameter"
        found += [(method, path) for method in sorted(route.methods)]
    assert ("POST", CHAT) in found
    assert len(found) >= 10
    return found


def every_route(routes: Any) -> Iterator[Any]:
    """Walk into routers that the framework keeps as routes of their own."""
    for route in routes:
        inner = getattr(route, "effective_candidates", None)
        if callable(inner):
            yield from every_route(inner())
        else:
            yield route


@asynccontextmanager
async def running(
    engine: ScriptedEngine | None = None,
    *,
    access: Access | None = None,
    http: HttpOptions | None = None,
    flow: FlowOptions | None = None,
    keys: AccessOptions | None = None,
    data_dir: Path | None = None,
    database_url: str = "",
    level: LogLevel = LogLevel.DEBUG,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[Running]:
    """Serve as `app.serve` does, with the same server configuration, but without signals and ticks."""
    engine, logs = engine or says("Hello", "!"), LogLines()
    async with a_store(data_dir, database_url) as (store, storage):
        settings = settings_of(http=http, flow=flow, keys=keys, storage=storage)
        gateway = app.build(engine, store, access or with_key(), settings)
        try:
            async with (
                _served(gateway, engine, logs, store, level, http or HttpOptions()) as served,
                asyncio.timeout(patience_s),
            ):
                yield served
        finally:
            await gateway.close()
    assert getattr(engine, "running", 0) == 0
    assert gateway.runner.admission.running == gateway.runner.admission.waiting == 0


def settings_of(
    *,
    http: HttpOptions | None = None,
    flow: FlowOptions | None = None,
    keys: AccessOptions | None = None,
    storage: StorageOptions | None = None,
) -> Settings:
    return Settings(
        http=http or HttpOptions(),
        access=keys or AccessOptions(),
        flow=flow or FlowOptions(),
        engine=EngineOptions(),
        storage=storage or StorageOptions(),
        telemetry=TelemetryOptions(),
        listing=(),
    )


@asynccontextmanager
async def a_store(data_dir: Path | None = None, database_url: str = "") -> AsyncIterator[tuple[Store, StorageOptions]]:
    """An empty store, or the one that is there."""
    with tempfile.TemporaryDirectory() as own:
        options = StorageOptions(data_dir=data_dir or Path(own) / "data", database_url=database_url)
        async with open_store(options) as store:
            yield store, options


def _client(port: int, headers: dict[str, str]) -> httpx2.AsyncClient:
    # `running` has the patience for all of it; by itself the client would give up a busy machine's turn after 5 s.
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=None, trust_env=False)


@asynccontextmanager
async def _served(
    gateway: app.Gateway, engine: ScriptedEngine, logs: LogLines, store: Store, level: LogLevel, http: HttpOptions
) -> AsyncIterator[Running]:
    config = server_config(gateway.app, http)
    state, loop = ServerState(), asyncio.get_running_loop()
    protocol: Any = config.http_protocol_class
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    with logging_to(logs, TelemetryOptions(level, LogFormat.JSON)):
        server = await loop.create_server(lambda: protocol(config, state, {}), sock=listener, ssl=config.ssl)
        headers = {"authorization": f"Bearer {KEY}"}
        client = _client(port, headers)
        try:
            async with client:
                yield Running(engine, gateway.runner, gateway.routes, port, logs, client, state.tasks, gateway, store)
        finally:
            server.close()
            for connection in list(state.connections):
                connection.transport.abort()
            tasks = list(state.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
