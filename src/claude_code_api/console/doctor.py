"""`doctor`: looks at everything that a turn needs, and says for each thing that is wrong how to put it right."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import platform
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from claude_code_api.app import StartError, claude_engine, find_claude, look_at_the_cli
from claude_code_api.engine.bounds import find_groups
from claude_code_api.engine.discover import find_credentials
from claude_code_api.engine.jail import INSTALL, jail_support
from claude_code_api.engine.options import EngineOptions
from claude_code_api.engine.prove import MODEL_CHANGES, Proof
from claude_code_api.engine.versions import NEWEST_TESTED, TooOldError, shown, version_of
from claude_code_api.flow.ports import Plan
from claude_code_api.settings import Settings
from claude_code_api.standin import StandIn, says
from claude_code_api.storage.key_file import KeyFileError, read_key
from claude_code_api.storage.options import StorageOptions
from claude_code_api.telemetry import LogLevel, TelemetryOptions, set_up_logs
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import TurnEvent
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult, fold


class Verdict(Enum):
    """How a thing stands."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    what: str
    verdict: Verdict
    found: str
    fix: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; this takes about a second, and no token."""
    # What goes wrong on the way is told by the findings; the log is for what nobody expected.
    set_up_logs(TelemetryOptions(log_level=LogLevel.ERROR), sys.stderr)
    findings = [_python(), *_data_directory(settings.storage.data_dir), _port(settings), _credentials(settings)]
    return [*findings, *_claude(settings)]


def report(findings: list[Finding], *, as_json: bool) -> bool:
    """Print the findings; true when nothing is wrong."""
    if as_json:
        lines = [{**dataclasses.asdict(finding), "verdict": finding.verdict.value} for finding in findings]
        sys.stdout.write(json.dumps({"ok": _healthy(findings), "findings": lines}, indent=2) + "\n")
        return _healthy(findings)
    console = Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        # Paths are to be copied, so they are never cut.
        table.add_column(overflow="fold")
    marks = {Verdict.OK: "[green]ok[/]", Verdict.WARNING: "[yellow]note[/]", Verdict.WRONG: "[red]wrong[/]"}
    for finding in findings:
        fix = f"\n[bold]→[/] {finding.fix}" if finding.fix else ""
        table.add_row(marks[finding.verdict], finding.what, finding.found + fix)
    console.print(table)
    return _healthy(findings)


def _healthy(findings: list[Finding]) -> bool:
    return all(finding.verdict is not Verdict.WRONG for finding in findings)


def _python() -> Finding:
    return Finding("python", Verdict.OK, f"{platform.python_version()} on {platform.system()}")


def _data_directory(data_dir: Path) -> Iterator[Finding]:
    nearest = next(place for place in (data_dir, *data_dir.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        yield Finding("data directory", Verdict.WRONG, f"{data_dir}: {error.strerror}", "Choose another by --data-dir.")
        return
    state = "" if data_dir.exists() else " (made at the first start)"
    yield Finding("data directory", Verdict.OK, f"{data_dir}{state}")
    try:
        key = read_key(data_dir)
    except KeyFileError as error:
        yield Finding(
            "first key", Verdict.WRONG, str(error), f"Put the rights of {data_dir} right, or delete the file."
        )
        return
    found = str(key.path) if key else "made at the first start on a loopback address"
    yield Finding("first key", Verdict.OK, found)


def _port(settings: Settings) -> Finding:
    host, port = settings.http.host, settings.http.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = f"{host}:{port}: {error.strerror}"
        return Finding("port", Verdict.WRONG, reason, "End what listens there, or choose another by --port.")
    return Finding("port", Verdict.OK, f"{host}:{port} is free")


def _credentials(settings: Settings) -> Finding:
    source = find_credentials(settings.engine, Path.home()).source
    if source is None:
        fix = "Set ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN, or log in with `claude`."
        return Finding("credentials", Verdict.WRONG, "none: turns would answer 503", fix)
    return Finding("credentials", Verdict.OK, source)


def _claude(settings: Settings) -> Iterator[Finding]:
    try:
        binary, _ = find_claude(settings)
    except StartError as error:
        fix = "pip install claude-agent-sdk, or set CLAUDE_BINARY_PATH."
        yield Finding("claude found", Verdict.WRONG, str(error), fix)
        return
    yield Finding("claude found", Verdict.OK, str(binary))
    yield _jail(binary, settings.storage.data_dir)
    with StandIn(pace_ms=0) as standin, tempfile.TemporaryDirectory(prefix="claude-code-api-doctor-") as kept:
        trial = dataclasses.replace(
            settings,
            engine=EngineOptions(
                claude_binary_path=binary, anthropic_api_key="sk-ant-doctor", anthropic_base_url=standin.base_url
            ),
            storage=StorageOptions(data_dir=Path(kept)),
        )
        try:
            yield from asyncio.run(_proof(trial, standin))
        except TooOldError as refusal:
            yield Finding("claude version", Verdict.WRONG, "too old", refusal.error.message)
        except TurnRefusedError as refusal:
            yield Finding("claude runs", Verdict.WRONG, refusal.error.detail, f"Try `{binary} --version`.")


def _jail(binary: Path, data_dir: Path) -> Finding:
    """Without one, agents that run commands are refused; everything else works."""
    support = jail_support(binary, data_dir)
    if support.program is None:
        fix = f"The profiles `shell` and `full` answer 503 until then. {INSTALL}"
        return Finding("jail", Verdict.WARNING, support.reason, fix)
    bounded = find_groups().bounded
    if not {"pids", "memory"} <= bounded:
        fix = "Give the gateway control groups of its own: docs/profiles.md says how."
        found = f"{support.program}, but a jail's memory has no bound here, and the CPU none"
        return Finding("jail", Verdict.WARNING, found, fix)
    return Finding("jail", Verdict.OK, f"{support.program}, with control groups for {', '.join(sorted(bounded))}")


# What must reach the model as it stands, although each of it means something to the CLI.
_LITERAL: Final = "/compact @/etc/passwd !ls #note --help"


async def _proof(settings: Settings, standin: StandIn) -> list[Finding]:
    """Run one turn against the stand-in and judge it by what reached the stand-in."""
    standin.play(says("proved"))
    async with claude_engine(settings) as engine:
        version = (await engine.offer()).version
        request = TurnRequest("doctor", (Message("user", (TextBlock(_LITERAL),)),))
        plan = Plan("doctor", 0, "sonnet", request)
        events: list[TurnEvent] = []
        async with engine.lease(plan) as lease:
            async for batch in lease.batches():
                events.extend(batch)
        proof = await look_at_the_cli(engine, settings.storage.data_dir)
    return [_version(version), _judge(fold(events), standin), *_table(proof)]


def _table(proof: Proof) -> list[Finding]:
    """Show each thing that warm processes rely on. One that does not hold costs time, not correctness."""
    slow = "Warm processes are not used with this CLI: every turn starts one."
    apart = "With this CLI each model has warm processes of its own."
    return [
        Finding("warm processes", Verdict.OK, what)
        if held
        else Finding("warm processes", Verdict.WARNING, f"not: {what}", apart if what == MODEL_CHANGES else slow)
        for what, held in proof.held.items()
    ]


def _version(version: str) -> Finding:
    known = version_of(version)
    if known is not None and known <= NEWEST_TESTED:
        return Finding("claude version", Verdict.OK, version)
    fix = "It will probably work; the test suite of this gateway has not been run with it."
    return Finding("claude version", Verdict.WARNING, f"{version}, tested: up to {shown(NEWEST_TESTED)}", fix)


def _judge(result: TurnResult, standin: StandIn) -> Finding:
    name = "claude proved"
    if result.error is not None:
        return Finding(name, Verdict.WRONG, result.error.detail, "Use a tested version of the CLI.")
    arrived = [message.body for message in standin.messages]
    texts = [_last_text(body) for body in arrived]
    if texts != [_LITERAL]:
        fix = "Do not serve with this CLI: it does not deliver text literally."
        return Finding(name, Verdict.WRONG, f"the model was asked {texts!r}", fix)
    return Finding(name, Verdict.OK, "text arrives literally, one request for one turn")


def _last_text(body: object) -> str:
    match body:
        case {"messages": [*_, {"content": [{"text": str(text)}]}]}:
            return text
        case _:
            return ""
