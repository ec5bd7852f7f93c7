"""The clients of the matrix: programs in environments of their own, which are told where the gateway is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.harness.waiting import BOUND_S
from tests.http.loopback import KEY

ROOT = Path(__file__).resolve().parents[2]
# Resolved by the shell's rules and not by the file system's: Python finds its environment by the link.
PROGRAMS = ROOT / ".venv-clients" / "bin"
AIDER = ROOT / ".venv-aider" / "bin" / "aider"
# Some need seconds to be imported, more on a machine that is busy, and a scenario is several requests.
PATIENCE_S = 2 * BOUND_S

EVERYWHERE = ("whole", "stream", "tools", "tools_stream", "structured", "unknown_model", "rate_limited", "cut")


@dataclass(frozen=True, slots=True)
class Client:
    """A program of `clients/`, what it is told, what it can do, and the names of the errors that it raises."""

    name: str
    program: str
    also: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    not_found: str = "NotFoundError"
    too_fast: str = "RateLimitError"
    cut_off: str = "APIError"

    @property
    def scenarios(self) -> tuple[str, ...]:
        """What it is asked to do."""
        return tuple(name for name in (*EVERYWHERE, *self.also) if name not in self.without)


def environment(home: Path, url: str) -> dict[str, str]:
    """Tell a program where the gateway is, and nothing of this machine."""
    return {
        "HOME": str(home),
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": KEY,
        # A list of prices is not fetched for a test.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


async def runs(*command: str | Path, cwd: Path, env: Mapping[str, str]) -> str:
    """Run a program as a person would, and return what it says."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=env,
    )
    try:
        said, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{said.decode()}\n{complaints.decode()}"
    return said.decode()


async def performs(client: Client, scenario: str, home: Path, url: str) -> dict[str, Any]:
    """Let a client play a scenario, and return what it saw."""
    node = client.program.endswith(".mjs")
    folder = ROOT / "clients" / ("node" if node else "python")
    program = PROGRAMS / ("node" if node else "python")
    env = {**environment(home, url), **client.settings}
    said = await runs(program, folder / client.program, scenario, cwd=home, env=env)
    outcome: dict[str, Any] = orjson.loads(said.strip("\n").split("\n")[-1])
    return outcome
