"""One whole run: starts everything, measures, ends everything."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from claude_code_api.bench.client import HttpSystem
from claude_code_api.bench.crowd import idle_streams, slow_readers
from claude_code_api.bench.floor import MODEL, Cold, Floor, Workshop
from claude_code_api.bench.measure import Repeated, Scenario, System, chunk_costs
from claude_code_api.bench.processes import Server, cpu_s, gateway_server, rss_mb, standin_server
from claude_code_api.bench.rounds import Progress, Upstream, run_together, steps
from claude_code_api.bench.scenarios import Plan, parallel, script, sequential, staying
from claude_code_api.bench.startup import import_time
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.options import EngineOptions

# Above this, other programs are at work on the machine.
QUIET_LOAD: Final = 1.5
# What is the default; a wider scenario needs more.
MAX_TURNS: Final = 16
# More than a CLI ever takes here: how many stay warm is not what is measured.
CLI_MIB: Final = 512
IDLE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Against:
    """Another server of the same API."""

    url: str
    model: str


@dataclass(slots=True)
class Report:
    """What came out of a run, or has come so far."""

    machine: dict[str, Any] = field(default_factory=dict)
    scenarios: list[Scenario] = field(default_factory=list)
    repeated: list[Repeated] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def cut_short(self, why: str) -> bool:
        """Keep what is whole, and say what is missing; returns whether there is anything."""
        missing = ", ".join(scenario.name for scenario in self.scenarios if not scenario.series)
        self.scenarios = [scenario for scenario in self.scenarios if scenario.series]
        self.notes.insert(0, f"PARTIAL: {why}. Not measured: {missing or 'what comes after the scenarios'}")
        return bool(self.scenarios or self.repeated)


class Overall(Progress, Protocol):
    """A progress that is told the number of steps first."""

    def begin(self, total: int) -> None:
        """So many calls of `step` will follow."""
        ...


async def run(plan: Plan, progress: Overall, against: Against | None, standin_port: int, report: Report) -> None:
    """Measure everything in the plan, and put it into the report as it comes."""
    load_before = os.getloadavg()[0]
    one_by_one, following, together = sequential(plan), staying(plan), parallel(plan)
    report.scenarios = [*one_by_one, *following, *together]
    report.machine = _machine(load_before)
    async with AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="claude-code-api-bench-")))
        file = root / "script.json"
        file.write_bytes(script())
        binary = find_binary(EngineOptions(), Path.home())
        standin: Server = await stack.enter_async_context(standin_server(root / "standin", file, standin_port))
        others = [HttpSystem("other", against.url, against.model)] if against else []
        fewer = 2 + len(others)
        progress.begin(plan.starts + 3 + _waves(plan, one_by_one, following, together, fewer))

        widest = max(MAX_TURNS, *plan.levels)
        report.repeated.append(await import_time(root, plan.imports))
        progress.step("import of the command line")
        starts = await _starts(root, standin.url, binary, plan.starts - 1, progress)
        gateway: Server = await stack.enter_async_context(
            gateway_server(
                root / "gateway", standin.url, binary, max_turns=widest, max_idle=widest, pool_mib=widest * CLI_MIB
            )
        )
        progress.step("start of the gateway")
        report.machine["claude"] = str((await gateway.get("/health")).get("claude_version"))
        idle_mb = rss_mb(gateway.pid)
        idling = await _idling(gateway.pid)

        workshop = Workshop(binary, standin.url, root / "floor")
        floor = Floor(workshop)
        live: list[System] = [floor, HttpSystem("gateway", gateway.url, MODEL, gateway.pid), *others]
        upstream = Upstream(standin, frozenset(other.name for other in others))
        for scenario in one_by_one:
            everybody: list[System] = [floor, Cold(workshop), *live[1:]]
            await run_together([scenario], everybody, upstream, plan.warm_ups, progress)
        cli_mb = floor.rss_mb
        for scenario in following:
            await run_together([scenario], live, upstream, plan.warm_ups, progress)
        await run_together(together, live, upstream, plan.wide_warm_ups, progress)

        report.repeated[:0] = [
            Repeated("start until it listens", "ms", (*starts, gateway.start_ms), "CLI initialized", _few(floor)),
        ]
        report.repeated += [
            *idling,
            *chunk_costs(_named("burst", one_by_one), _named("trickle", one_by_one), _named("session", following)),
            *_memory("memory, idle after the start", idle_mb, cli_mb),
            *_memory("memory, after the run", rss_mb(gateway.pid), cli_mb),
        ]
        report.repeated += await _crowds(plan, root, standin.url, binary, progress)
        load_after = os.getloadavg()[0]
        report.machine["load_after"] = round(load_after, 2)
        report.notes += [*_load_notes(load_before, load_after), *upstream.left_out, *upstream.differences()]
        if cpu_s(gateway.pid) is None:
            report.notes.append("CPU times are measured on Linux only")


def _waves(
    plan: Plan, one_by_one: list[Scenario], following: list[Scenario], together: list[Scenario], systems: int
) -> int:
    singles = sum(steps([scenario], 1 + systems, plan.warm_ups) for scenario in one_by_one)
    kept = sum(steps([scenario], systems, plan.warm_ups) for scenario in following)
    return singles + kept + steps(together, systems, plan.wide_warm_ups)


async def _starts(root: Path, upstream: str, binary: Path, count: int, progress: Progress) -> list[float]:
    found = []
    for number in range(count):
        async with gateway_server(root / f"start-{number}", upstream, binary) as gateway:
            found.append(gateway.start_ms)
        progress.step("start of the gateway")
    return found


async def _crowds(plan: Plan, root: Path, upstream: str, binary: Path, progress: Progress) -> list[Repeated]:
    idle = await idle_streams(root, upstream, binary, plan.idle_clients)
    progress.step("idle streams")
    slow = await slow_readers(root, upstream, binary, plan.slow_readers)
    progress.step("slow readers")
    return [*idle, *slow]


async def _idling(pid: int) -> list[Repeated]:
    began_s = cpu_s(pid)
    await asyncio.sleep(IDLE_S)
    ended_s = cpu_s(pid)
    if began_s is None or ended_s is None:
        return []
    return [Repeated("CPU while idle, each second", "ms", ((ended_s - began_s) * 1000 / IDLE_S,))]


def _few(floor: Floor) -> tuple[float, ...]:
    """The starts of the CLIs that were started alone and without a history."""
    return tuple(floor.start_ms[:2])


def _named(name: str, scenarios: Sequence[Scenario]) -> Scenario:
    return next(scenario for scenario in scenarios if scenario.name == name)


def _memory(name: str, value: float | None, cli: float | None) -> list[Repeated]:
    if value is None:
        return []
    return [Repeated(name, "MB", (value,), "one live CLI", () if cli is None else (cli,))]


def _machine(before: float) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(before, 2),
    }


def _load_notes(before: float, after: float) -> list[str]:
    if before > QUIET_LOAD:
        noisy = f"NOISY: the load average was {before:.2f} before the run began, so other programs were at work."
        return [f"{noisy} Times are too long; only ratios within this run say something"]
    if after > QUIET_LOAD:
        risen = f"the load average was {after:.2f} at the end ({before:.2f} before)."
        return [f"{risen} The parallel scenarios raise it by themselves; other programs may have helped"]
    return []
