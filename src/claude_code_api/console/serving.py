"""`serve` and `demo`, from settings to the end of the process."""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import http.client
import json
import resource
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop
from rich.console import Console

from claude_code_api.app import Entrance, StartError, find_claude, open_entrance, serve
from claude_code_api.console.welcome import show_welcome
from claude_code_api.engine.options import EngineOptions
from claude_code_api.engine.versions import TooOldError
from claude_code_api.settings import Settings
from claude_code_api.standin import StandIn
from claude_code_api.storage.options import StorageOptions
from claude_code_api.telemetry import LogLevel, TelemetryOptions, set_up_logs

NO_CREDENTIALS: Final = (
    "No credentials for the model yet: set ANTHROPIC_API_KEY, or log in with `claude`. Until then turns answer 503."
)
# How quickly the demo's model speaks: fast enough to be pleasant, slow enough to be seen streaming.
_DEMO_PACE_MS: Final = 15
_DEMO_QUESTION: Final = "Introduce yourself: what is running here, and what can I try?"


# From <linux/prctl.h>.
PR_SET_DUMPABLE: Final = 4


def keep_memory_private() -> None:
    """All keys are in this process's memory: nobody may find them in a file after a crash, or look at them before.

    The limit alone does not keep the memory from a program that the kernel hands it to. On Linux the second call does,
    and closes `/proc/<pid>/environ` and `mem` and debuggers to other programs of the same user, if they are not root's.
    What the gateway starts is not concerned: a new program begins anew.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "this process cannot keep its memory to itself")


def run_server(settings: Settings) -> None:
    """Serve with the user's own credentials until asked to end."""
    keep_memory_private()
    set_up_logs(settings.telemetry)
    console = Console(stderr=True)
    problem = None if find_claude(settings)[1].source else NO_CREDENTIALS
    entrance = open_entrance(settings)
    _run(settings, entrance, lambda: show_welcome(console, entrance, problem=problem))


def run_demo(settings: Settings) -> None:
    """Serve on the stand-in: the real CLI runs, with no account, no network, and nothing kept afterwards."""
    with StandIn(pace_ms=_DEMO_PACE_MS) as standin, tempfile.TemporaryDirectory(prefix="claude-code-api-demo-") as kept:
        demo = dataclasses.replace(
            settings,
            engine=EngineOptions(
                claude_binary_path=settings.engine.claude_binary_path,
                anthropic_api_key="sk-ant-demo",
                anthropic_base_url=standin.base_url,
            ),
            # It talks to itself: a certificate for other names, or of its client's, would only be in the way.
            http=dataclasses.replace(settings.http, tls_cert=None, tls_key=None, tls_client_ca=None),
            storage=StorageOptions(data_dir=Path(kept) / "data"),
            telemetry=TelemetryOptions(log_level=LogLevel.WARNING, log_format=settings.telemetry.log_format),
        )
        set_up_logs(demo.telemetry)
        console = Console(stderr=True)
        entrance = open_entrance(demo)

        def listening() -> None:
            show_welcome(console, entrance, problem=None)
            # In a thread of its own: it is a client like any other, and the server's loop must not wait for it.
            threading.Thread(target=_show_a_turn, args=(console, entrance), daemon=True).start()

        _run(demo, entrance, listening)


def _run(settings: Settings, entrance: Entrance, listening: Callable[[], None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(serve(settings, entrance, listening))
        except TooOldError as error:
            raise StartError(error.error.message) from error


def _show_a_turn(console: Console, entrance: Entrance) -> None:
    """Ask one question over HTTP and show the answer as it streams."""
    console.print(f"[bold]A first turn.[/bold] You: {_DEMO_QUESTION}")
    console.print()
    body = {"model": "sonnet", "stream": True, "messages": [{"role": "user", "content": _DEMO_QUESTION}]}
    key = entrance.first_key.key if entrance.first_key else ""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(urlsplit(entrance.url).netloc)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    with connection.getresponse() as response:
        for line in response:
            if line.startswith(b"data: {"):
                _show_chunk(console, json.loads(line.removeprefix(b"data: ")))
    console.print("\n\n[dim]The gateway goes on serving. Ctrl-C ends it; nothing of the demo is kept.[/dim]")


def _show_chunk(console: Console, chunk: dict[str, object]) -> None:
    match chunk:
        case {"choices": [{"delta": {"content": str(text)}}]}:
            console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        case {"error": {"message": str(message)}}:
            console.print(f"[red]{message}[/red]")
        case _:
            pass
