"""`claude-code-api bench` from its arguments to its exit code. Slow figures are no error."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import uvloop

from claude_code_api.bench.load import LoadPlan, LoadReport, carry
from claude_code_api.bench.measure import BenchError
from claude_code_api.bench.picture import picture
from claude_code_api.bench.report import Bar, as_json, load_json, show, show_load
from claude_code_api.bench.run import Against, Report, run
from claude_code_api.bench.scenarios import plan_for

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
MOST_TURNS: Final = 1000
MOST_AT_ONCE: Final = 64
FAILED: Final = 1
STOPPED: Final = 130
# A thousand clients on both sides, and what else is open.
DESCRIPTORS: Final = 8192

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    quick: bool = False
    turns: int | None = None
    at_once: str | None = None
    against: str | None = None
    against_model: str = "sonnet"
    standin_port: int = 0
    json: Path | None = None
    picture: Path | None = None


def run_bench(wanted: Wanted) -> int:
    """Measure, and report."""

    def told() -> None:
        against = _against(wanted)
        plan = plan_for(_count(wanted.turns), _levels(wanted.at_once), quick=wanted.quick)
        report = Report()
        try:
            with Bar() as bar:
                _until_stopped(lambda: run(plan, bar, against, wanted.standin_port, report))
        except (BenchError, OSError) as error:
            if report.cut_short(str(error)):
                _tell(wanted, report)
            raise
        except (asyncio.CancelledError, KeyboardInterrupt):
            if report.cut_short("stopped"):
                _tell(wanted, report)
            raise
        _tell(wanted, report)

    return _judged(told)


def _tell(wanted: Wanted, report: Report) -> None:
    """Say what was measured, in all the ways that were asked for."""
    show(report)
    _write(wanted.json, as_json(report))
    _write(wanted.picture, picture(report))


def run_load(minutes: float, file: Path | None) -> int:
    """Load the gateway for some minutes. What goes wrong under load is a failure; how slow it is, is not."""
    failures: list[str] = []

    def told() -> None:
        if minutes <= 0:
            raise BenchError("the number of minutes has to be above 0")
        report = LoadReport(LoadPlan(minutes=minutes))
        try:
            with Bar() as bar:
                _until_stopped(lambda: carry(report, bar))
        finally:
            # Stopped or failed, it has seen something all the same.
            if report.samples:
                show_load(report)
                _write(file, load_json(report))
        failures.extend(report.failures)

    return _judged(told) or (FAILED if failures else 0)


def _judged(work: Callable[[], None]) -> int:
    _raise_descriptors()
    try:
        work()
    except (BenchError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return FAILED
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.stderr.write("bench: stopped\n")
        return STOPPED
    return 0


def _until_stopped(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    async def watched() -> Result:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        if task is not None:
            # Leaving every context ends every process that was started.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, task.cancel)
        return await work()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(watched())


def _raise_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _write(file: Path | None, content: bytes) -> None:
    if file is not None:
        file.write_bytes(content)


def _count(turns: int | None) -> int | None:
    if turns is not None and not 1 <= turns <= MOST_TURNS:
        raise BenchError(f"--turns is between 1 and {MOST_TURNS}")
    return turns


def _levels(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    problem = BenchError(f"--at-once takes numbers between 1 and {MOST_AT_ONCE}, separated by commas")
    try:
        levels = tuple(int(item) for item in text.split(","))
    except ValueError:
        raise problem from None
    if not all(1 <= level <= MOST_AT_ONCE for level in levels):
        raise problem
    return levels


def _against(wanted: Wanted) -> Against | None:
    if wanted.against is None:
        return None
    parts = urlsplit(wanted.against)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise BenchError("--against takes an http:// URL on this machine")
    return Against(wanted.against, wanted.against_model)
