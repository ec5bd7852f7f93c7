"""The only place where objects are made and handed to each other; nothing here decides about a request."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from claude_code_api import __version__
from claude_code_api.dialects.openai_responses import OPENAI_RESPONSES
from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import NoBinaryError, find_binary, find_credentials
from claude_code_api.engine.jail import jail_support
from claude_code_api.engine.options import Credentials, Site
from claude_code_api.engine.prove import NOTHING_PROVED, Proof, Stop, prove, remember, remembered
from claude_code_api.engine.run_directory import doors_base, own_run_directory
from claude_code_api.engine.versions import TooOldError
from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.flow.budgets import Budgets
from claude_code_api.flow.catalogue import Catalogue
from claude_code_api.flow.checkpoints import Checkpoints
from claude_code_api.flow.detached import Detached
from claude_code_api.flow.kept import Kept
from claude_code_api.flow.keys import Keys
from claude_code_api.flow.ledger import Ledger
from claude_code_api.flow.options import AccessOptions
from claude_code_api.flow.ports import Engine, Store, StoreError
from claude_code_api.flow.rates import RequestRates, windows_for
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.flow.sessions import Projects, Sessions
from claude_code_api.flow.stored_keys import StoredKeys
from claude_code_api.flow.strangers import Strangers
from claude_code_api.flow.system_clock import SystemClock
from claude_code_api.flow.token_count import TokenCounter
from claude_code_api.flow.upkeep import Upkeep
from claude_code_api.http.approvals import approval_routes
from claude_code_api.http.audit import audit_routes
from claude_code_api.http.checkpoints import checkpoint_routes
from claude_code_api.http.compression import Packed
from claude_code_api.http.connections import take_descriptors
from claude_code_api.http.cors import Cors
from claude_code_api.http.errors import on_bug, on_departure, on_refusal, on_status, on_store_error
from claude_code_api.http.gate import Gate
from claude_code_api.http.keys import key_routes
from claude_code_api.http.live import live_routes
from claude_code_api.http.manners import Manners
from claude_code_api.http.meta import Health, meta_routes
from claude_code_api.http.metrics import RequestTally, metrics_routes
from claude_code_api.http.models import model_routes
from claude_code_api.http.options import HttpOptions
from claude_code_api.http.projects import project_routes
from claude_code_api.http.pulse import Pulse
from claude_code_api.http.quota import QuotaHeaders
from claude_code_api.http.request_log import RequestLog
from claude_code_api.http.responses import RESPONSES, response_routes
from claude_code_api.http.server import Server, TransportError, check_transport, server_config
from claude_code_api.http.sessions import session_routes
from claude_code_api.http.token_count import token_count_routes
from claude_code_api.http.turns import Turns, turn_routes
from claude_code_api.http.usage import usage_routes
from claude_code_api.http.validation import on_invalid
from claude_code_api.settings import Settings
from claude_code_api.standin import Answer, StandIn, Text, ToolUse, calls
from claude_code_api.storage.address import StoreOpenError, address_of
from claude_code_api.storage.before_images import BeforeImageFiles
from claude_code_api.storage.inspection import holds_a_key
from claude_code_api.storage.key_file import FirstKey, KeyFileError, make_private_directory, read_key, read_or_make_key
from claude_code_api.storage.opening import open_store
from claude_code_api.storage.workplaces import ProjectDirectories
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.profile import Profile

BACKLOG: Final = 2048
# Below the data directory: one directory for each project.
PROJECTS: Final = "projects"
# Below it too: what files were before agents changed them.
CHECKPOINTS: Final = "checkpoints"
# It is taken, or only for root.
_PORT_ERRORS: Final = frozenset({errno.EADDRINUSE, errno.EACCES})


class StartError(Exception):
    """The gateway cannot start; the text says why and what to do."""


# Who may come in


@dataclass(frozen=True, slots=True)
class Entrance:
    """The address that is listened on, and what opens the door."""

    listener: socket.socket
    access: Access
    first_key: FirstKey | None
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The base URL for somebody on this machine."""
        host, port = self.listener.getsockname()[:2]
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
        return f"{self.scheme}://[{host}]:{port}" if ":" in host else f"{self.scheme}://{host}:{port}"


def open_entrance(settings: Settings) -> Entrance:
    """Bind the address, if it may be bound: an address that others reach is never opened without a key."""
    exposed = not _all_loopback(settings.http.host, settings.http.port)
    if exposed and not settings.access.require_auth:
        raise StartError(
            f"{settings.http.host} can be reached by others, and access without a key is for this machine alone. "
            "Leave out --no-auth, or listen on 127.0.0.1."
        )
    try:
        check_transport(settings.http)
    except TransportError as error:
        raise StartError(str(error)) from error
    try:
        first_key = _first_key(settings, exposed=exposed)
    except (KeyFileError, StoreOpenError, OSError) as error:
        raise StartError(str(error)) from error
    listener = _listen(settings.http)
    if not exposed and not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        listener.close()
        raise StartError(f"{settings.http.host} led to an address that others can reach; name the address itself.")
    scheme = "https" if settings.http.tls_cert is not None else "http"
    return Entrance(listener, access_of(settings.access, first_key), first_key, scheme)


def _first_key(settings: Settings, *, exposed: bool) -> FirstKey | None:
    if not settings.access.require_auth:
        return None
    if not exposed:
        return read_or_make_key(settings.storage.data_dir)
    found = read_key(settings.storage.data_dir)
    if found is None and not settings.access.keys and not holds_a_key(address_of(settings.storage), time.time()):
        raise StartError(
            f"{settings.http.host} can be reached by others, and there is no key yet. Make one with "
            "`claude-code-api keys create NAME`, or start once on 127.0.0.1 to have one made."
        )
    return found


def access_of(options: AccessOptions, first_key: FirstKey | None) -> Access:
    """Know the keys by their hashes. Both kinds have every right, and no limit."""
    if not options.require_auth:
        return Access(None)
    callers = {
        digest_of(key): Caller(f"static-{number}", admin=True, highest=Profile.FULL)
        for number, key in enumerate(options.keys, 1)
    }
    if first_key is not None:
        callers[digest_of(first_key.key)] = Caller("first", admin=True, highest=Profile.FULL)
    return Access(callers)


def _all_loopback(host: str, port: int) -> bool:
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # noqa: S104 - an empty host means every address, so it counts as that
    except OSError as error:
        raise StartError(f"The address {host!r} is not known here: {error.strerror}.") from error
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def _listen(options: HttpOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=BACKLOG)
    except OSError as error:
        advice = "another port with --port" if error.errno in _PORT_ERRORS else "an address of this machine with --host"
        reason = f"Cannot listen on {options.host}:{options.port}: {error.strerror}."
        raise StartError(f"{reason} Choose {advice}.") from error


# What answers


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything that answers requests."""

    app: ASGIApp
    routes: FastAPI
    runner: TurnRunner
    ledger: Ledger
    detached: Detached
    keys: StoredKeys
    upkeep: Upkeep

    async def close(self) -> None:
        """Leave nothing running, and nothing unwritten."""
        await self.detached.close()
        await self.ledger.close()
        with suppress(StoreError):
            # When keys were last used: of the last seconds, nobody misses it.
            await self.keys.write_use()


def build(engine: Engine, store: Store, access: Access, settings: Settings) -> Gateway:
    """Put the rooms together around an engine and a store."""
    clock, http, flow = SystemClock(), settings.http, settings.flow
    catalogue = Catalogue(flow, engine.offer)
    ledger = Ledger(store, flow, clock, engine.unworkable)
    runner = TurnRunner(engine=engine, catalogue=catalogue, ledger=ledger, options=flow, clock=clock)
    detached = Detached(runner, store)
    counter = TokenCounter(engine=engine, catalogue=catalogue, admission=runner.admission, options=flow, clock=clock)
    workplaces = ProjectDirectories(settings.storage.data_dir / PROJECTS)
    api = _api()
    keys = StoredKeys(store, clock)
    patience = Strangers(per_minute=settings.access.failed_keys_per_minute, clock=clock)
    api.state.access = access.beside(keys, patience)
    api.state.budgets = Budgets(store, clock)
    api.state.rates = RequestRates(windows_for(settings.access, store, clock))
    turns = Turns(runner, detached, Pulse(every_s=http.heartbeat_s), clock)
    images = before_images(settings)
    sessions = Sessions(store, runner, images, flow, clock)
    requests = RequestTally()
    for routes in (
        turn_routes(turns, apart=[RESPONSES]),
        response_routes(turns, Kept(store, detached, OPENAI_RESPONSES.name)),
        token_count_routes(counter),
        model_routes(catalogue),
        project_routes(Projects(store, workplaces, clock)),
        session_routes(sessions, clock),
        approval_routes(sessions),
        checkpoint_routes(Checkpoints(store, sessions, ledger.writers, images, clock)),
        live_routes(turns, sessions),
        usage_routes(store),
        audit_routes(store),
        key_routes(Keys(store, clock), keys, settings.access),
        metrics_routes(engine, runner, requests),
        meta_routes(Health(engine, runner, store)),
    ):
        api.include_router(routes)
    gate = Gate(QuotaHeaders(Packed(Manners(api)), clock=clock), options=http, without_keys=access.open)
    app = RequestLog(Cors(gate, origins=http.allowed_origins), clock=clock, count=requests.count)
    return Gateway(app, api, runner, ledger, detached, keys, Upkeep(ledger, store, keys, images, flow, clock))


def before_images(settings: Settings) -> BeforeImageFiles:
    """Say where the engine keeps what agents change, and where the way back begins."""
    return BeforeImageFiles(settings.storage.data_dir / CHECKPOINTS)


def _api() -> FastAPI:
    api = FastAPI(
        title="claude-code-api",
        version=__version__,
        description="The APIs that your tools already speak, answered by the Claude Code CLI.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.add_exception_handler(TurnRefusedError, on_refusal)
    api.add_exception_handler(StoreError, on_store_error)
    api.add_exception_handler(HTTPException, on_status)
    api.add_exception_handler(RequestValidationError, on_invalid)
    api.add_exception_handler(ClientDisconnect, on_departure)
    api.add_exception_handler(Exception, on_bug)
    return api


def find_claude(settings: Settings) -> tuple[Path, Credentials]:
    """Find the CLI, and what it may use to speak to the model."""
    home = Path.home()
    try:
        return find_binary(settings.engine, home), find_credentials(settings.engine, home)
    except NoBinaryError as error:
        raise StartError(str(error)) from error


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """Hold the store, its schema up to date."""
    try:
        async with open_store(settings.storage) as store:
            yield store
    except StoreOpenError as error:
        raise StartError(str(error)) from error


@asynccontextmanager
async def claude_engine(settings: Settings) -> AsyncIterator[ClaudeEngine]:
    """Hold the real engine, with a directory for its processes."""
    binary, credentials = find_claude(settings)
    data_dir = settings.storage.data_dir
    try:
        make_private_directory(data_dir)
    except KeyFileError as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"The data directory {data_dir} cannot be used: {error.strerror}. Set --data-dir.") from error
    with own_run_directory(data_dir) as run_directory, own_run_directory(_doors_base()) as doors:
        jail = await asyncio.to_thread(jail_support, binary, data_dir)
        images = before_images(settings)
        engine = ClaudeEngine(settings.engine, Site(binary, credentials, run_directory, doors, jail), images)
        engine.trust(remembered(data_dir, binary) or NOTHING_PROVED)
        try:
            yield engine
        finally:
            await engine.close()


def _doors_base() -> Path:
    try:
        return doors_base()
    except OSError as error:
        raise StartError(f"No place for sockets: {error}.") from error


async def serve(settings: Settings, entrance: Entrance, listening: Callable[[], None]) -> None:
    """Serve until the process is asked to end; `listening` is called as soon as requests are taken."""
    async with opened_store(settings) as store, claude_engine(settings) as engine:
        gateway = build(engine, store, entrance.access, settings)
        await gateway.ledger.recover()
        config = server_config(gateway.app, settings.http, descriptors=take_descriptors())
        server = Server(config, gateway.runner, settings.http.drain_s)
        # The CLI is asked what it offers behind the open door, so that no client pays for it.
        warm_up = asyncio.create_task(
            _once_it_listens(server, engine, settings, listening), name="first look at the cli"
        )
        upkeep = asyncio.create_task(gateway.upkeep.run(), name="upkeep")
        try:
            await server.serve(sockets=[entrance.listener])
        finally:
            warm_up.cancel()
            upkeep.cancel()
            # It has processes of its own to end before the engine's directory goes.
            await asyncio.wait([warm_up, upkeep])
            await gateway.close()


class _Ground:
    """The stand-in, as the proof wants it."""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin

    @property
    def base_url(self) -> str:
        return self._standin.base_url

    def will_say(self, text: str, stop_reason: Stop) -> None:
        self._standin.play(Answer((Text(text),), stop_reason=stop_reason))

    def will_call(self, tool: str) -> None:
        self._standin.play(calls(ToolUse("toolu_proof", tool, {})))

    def asked(self) -> Sequence[tuple[Mapping[str, str], Mapping[str, Any]]]:
        return [(asked.headers, asked.body) for asked in self._standin.messages if isinstance(asked.body, Mapping)]


async def look_at_the_cli(engine: ClaudeEngine, data_dir: Path) -> Proof:
    """Prove the installed CLI against a stand-in, unless that is known, and let the engine rely on it."""
    proof = remembered(data_dir, engine.site.binary)
    if proof is None:
        with StandIn(pace_ms=0) as standin:
            proof = await prove(engine.options, engine.site, _Ground(standin))
        remember(data_dir, engine.site.binary, proof)
    engine.trust(proof)
    return proof


async def _once_it_listens(
    server: Server, engine: ClaudeEngine, settings: Settings, listening: Callable[[], None]
) -> None:
    await server.listening.wait()
    listening()
    # What is wrong with the CLI is told by /health and by the first turn, with the reason.
    with suppress(TurnRefusedError), server.ended_by(TooOldError):
        await engine.offer()
        await look_at_the_cli(engine, settings.storage.data_dir)
        model = await Catalogue(settings.flow, engine.offer).resolve(settings.flow.default_model)
        engine.prepare(model.value)
