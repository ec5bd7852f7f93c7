"""A program that does what a gateway does with one turn, and is then killed by a test.

`python gateway_like.py <base URL> <data directory>`: prints its run directory once the first words have come.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.run_directory import own_run_directory
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.events import PartDelta
from claude_code_api.turn.request import Message, TextBlock, TurnRequest


async def main(base_url: str, data_directory: str) -> None:
    with own_run_directory(Path(data_directory)) as run:
        options = EngineOptions(anthropic_base_url=base_url, upstream_retries=0)
        site = Site(find_binary(EngineOptions(), Path("/nowhere")), Credentials(api_key="sk-ant-made-up"), run)
        request = TurnRequest("claude-haiku-4-5", (Message("user", (TextBlock("hi"),)),))
        async with ClaudeEngine(options, site).lease(Plan("turn-1", 0, "claude-haiku-4-5", request)) as lease:
            async for batch in lease.batches():
                if any(isinstance(event, PartDelta) for event in batch):
                    sys.stdout.write(f"{run}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
