"""`python -m bench`: arguments, the end by signal, and the exit code. Slow figures are no error."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

from bench.measure import BenchError
from bench.report import Bar, as_json, show
from bench.run import Against, Report, run
from bench.scenarios import Plan, plan_for

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
MOST_TURNS: Final = 1000
MOST_AT_ONCE: Final = 16
FAILED: Final = 1
STOPPED: Final = 130


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures the gateway beside the bare CLI. No account, no network."
    )
    parser.add_argument("--quick", action="store_true", help="about 30 s instead of about 2 min")
    parser.add_argument("--turns", type=_count, help="turns for each system and scenario")
    parser.add_argument("--at-once", type=_levels, help="how many turns at once in the parallel scenarios: 1,4,8")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures")
    parser.add_argument("--against", type=_loopback_url, metavar="URL", help="another OpenAI-compatible server")
    parser.add_argument("--against-model", default="sonnet", metavar="M", help="the model to ask it for")
    parser.add_argument(
        "--standin-port", type=int, default=0, help="a fixed port, so that it can use the same upstream"
    )
    return parser.parse_args(argv)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MOST_TURNS:
        raise argparse.ArgumentTypeError(f"between 1 and {MOST_TURNS}")
    return count


def _levels(text: str) -> tuple[int, ...]:
    levels = tuple(int(item) for item in text.split(","))
    if not all(1 <= level <= MOST_AT_ONCE for level in levels):
        raise argparse.ArgumentTypeError(f"between 1 and {MOST_AT_ONCE}, separated by commas")
    return levels


def _loopback_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise argparse.ArgumentTypeError("an http:// URL on this machine")
    return text


async def _measure(plan: Plan, bar: Bar, arguments: argparse.Namespace) -> Report:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        # Leaving every context ends every process that was started.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
    against = Against(arguments.against, arguments.against_model) if arguments.against else None
    return await run(plan, bar, against, arguments.standin_port)


def main(argv: list[str] | None = None) -> int:
    """Measure and report."""
    arguments = _arguments(argv)
    plan = plan_for(arguments.turns, arguments.at_once, quick=arguments.quick)
    try:
        with Bar() as bar, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(_measure(plan, bar, arguments))
        show(report)
        if arguments.json is not None:
            arguments.json.write_bytes(as_json(report))
    except (BenchError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return FAILED
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.stderr.write("bench: stopped\n")
        return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
