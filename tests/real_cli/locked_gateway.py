"""A program that does what a gateway does with one turn of a locked-in agent, and is then killed by a test.

`python locked_gateway.py <base URL> <directory> <profile>`: works in `project` below the directory, with its run
directory in `data`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.jail import jail_support
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.run_directory import own_run_directory
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TextBlock, TurnRequest


async def main(base_url: str, place: str, profile: str) -> None:
    directory = Path(place)
    with own_run_directory(directory / "data") as run:
        options = EngineOptions(anthropic_base_url=base_url, upstream_retries=0, full_profile=True)
        binary = find_binary(options, Path("/nowhere"))
        site = Site(binary, Credentials(api_key="sk-ant-made-up"), run, jail=jail_support(binary, directory))
        request = TurnRequest("claude-haiku-4-5", (Message("user", (TextBlock("hi"),)),))
        workplace = str(directory / "project")
        plan = Plan("turn-1", 0, request.model, request, workplace=workplace, profile=Profile(profile))
        async with ClaudeEngine(options, site).lease(plan) as lease:
            async for _ in lease.batches():
                pass


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
