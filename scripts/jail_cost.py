"""How much a jail costs at the start of an agent: time to the first words, by turns with and without, as a ratio.

Needs bubblewrap and the CLI; the model is the stand-in. usage: .venv/bin/python scripts/jail_cost.py [ROUNDS]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.jail import jail_support
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.flow.ports import Plan
from claude_code_api.standin import StandIn
from claude_code_api.turn.events import PartDelta
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TextBlock, TurnRequest

MODEL = "claude-haiku-4-5"
WITHOUT = Profile.EDIT
PROFILES = (WITHOUT, Profile.SHELL, Profile.FULL)


async def first_words_s(engine: ClaudeEngine, place: Path, profile: Profile) -> float:
    """Time one turn from being asked for to its first word."""
    request = TurnRequest(MODEL, (Message("user", (TextBlock("hi"),)),))
    began_s, first_s = time.perf_counter(), 0.0
    async with engine.lease(Plan("t", 0, MODEL, request, workplace=str(place), profile=profile)) as lease:
        async for batch in lease.batches():
            if not first_s and any(isinstance(event, PartDelta) for event in batch):
                first_s = time.perf_counter() - began_s
    return first_s


def made(kept: str) -> Path:
    """Make the directories that an engine stands on."""
    directory = Path(kept).resolve()
    for name in ("run", "project"):
        (directory / name).mkdir()
    return directory


async def main(rounds: int) -> None:
    """Measure by turns, so that whatever else the machine does falls on all of them."""
    with StandIn(pace_ms=0) as upstream, tempfile.TemporaryDirectory() as kept:
        upstream.always("word")
        directory = made(kept)
        options = EngineOptions(anthropic_base_url=upstream.base_url, full_profile=True)
        binary = find_binary(options, Path.home())
        support = jail_support(binary, directory)
        if support.program is None:
            sys.exit(f"No jail here: {support.reason}")
        engine = ClaudeEngine(options, Site(binary, Credentials(api_key="x"), directory / "run", jail=support))
        took: dict[Profile, list[float]] = {profile: [] for profile in PROFILES}
        for _ in range(rounds + 1):
            for profile in PROFILES:
                took[profile].append(await first_words_s(engine, directory / "project", profile))
        await engine.close()
    # The first round fills caches.
    medians = {profile: statistics.median(times[1:]) for profile, times in took.items()}
    for profile, median in medians.items():
        ratio = median / medians[WITHOUT]
        sys.stdout.write(f"{profile.value:6} n={rounds}  median {median * 1000:6.1f} ms  x{ratio:.3f}\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 12))
