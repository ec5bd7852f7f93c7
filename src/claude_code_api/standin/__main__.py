"""The stand-in as a process of its own: `python -m claude_code_api.standin`.

Arguments, the listening line and the end by signal; everything else is `server`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from claude_code_api.standin.app import Application
from claude_code_api.standin.choice import Repertoire
from claude_code_api.standin.demo_model import DEFAULT_PACE_MS, DemoModel
from claude_code_api.standin.received import Ledger
from claude_code_api.standin.script import ScriptError
from claude_code_api.standin.script_json import script_from_bytes
from claude_code_api.standin.server import HOST, bind, serving, url_of


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m claude_code_api.standin",
        description="A loopback stand-in of the Anthropic Messages API: no account, no network, no model.",
    )
    parser.add_argument("--host", default=HOST, help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--script", type=Path, help="a JSON script to load before listening")
    parser.add_argument("--pace-ms", type=float, default=DEFAULT_PACE_MS, help="between words of the demo model")
    parser.add_argument("--lenient", action="store_true", help="accept what the real API would refuse")
    parser.add_argument("--print-url", action="store_true", help="print only the URL, for programs that read it")
    return parser.parse_args(argv)


async def _serve(app: Application, arguments: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with bind(arguments.host, arguments.port) as listener:
        async with serving(app, listener):
            url = url_of(listener)
            what = "" if arguments.print_url else "stand-in of the Anthropic Messages API, loopback only, no model: "
            sys.stdout.write(f"{what}{url}\n")
            sys.stdout.flush()
            await stopping.wait()


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT."""
    arguments = _arguments(argv)
    repertoire = Repertoire(DemoModel(arguments.pace_ms))
    try:
        if arguments.script is not None:
            repertoire.load(script_from_bytes(arguments.script.read_bytes()))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(Application(repertoire, Ledger(), strict=not arguments.lenient), arguments))
    except (ScriptError, OSError, ValueError) as problem:
        sys.stderr.write(f"stand-in: {problem}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
