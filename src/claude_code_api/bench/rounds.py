"""Running scenarios in interleaved rounds: every system in turn, again and again, so that noise meets all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from claude_code_api.bench.measure import BenchError, Client, Kind, Scenario, Series, System, Wave
from claude_code_api.bench.processes import Server


class Progress(Protocol):
    """Is told what is going on."""

    def step(self, what: str) -> None:
        """One more wave is done."""
        ...


# The first holds the id of a session, which is made up for each process. The others the CLI says by itself, and the
# gateway takes away what the client did not ask for (docs/decisions/0005): some bytes, and the same work for both.
_NOT_COMPARED: Final = frozenset({"metadata", "thinking", "output_config", "temperature"})


@dataclass(slots=True)
class Upstream:
    """What the stand-in saw. Systems are comparable only if they send the same."""

    server: Server
    # Systems of others, which need not be able to do everything.
    strangers: frozenset[str] = frozenset()
    bodies: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    # What they could not do.
    left_out: list[str] = field(default_factory=list)

    async def forget(self) -> None:
        """Let go of the records."""
        await self.server.get("/standin/received", "DELETE")

    async def note(self, scenario: str, system: str) -> None:
        """Keep the last body that a system sent."""
        records = await self.server.get("/standin/received")
        asked = [record for record in records if record["path"] == "/v1/messages"]
        if not asked:
            raise BenchError(f"{system} asked nothing of the upstream in {scenario}")
        self.bodies[scenario, system] = asked[-1]["body"]
        await self.forget()

    def differences(self) -> list[str]:
        """Name the fields in which a system's body differs from the floor's."""
        found = []
        for (scenario, system), body in self.bodies.items():
            floor = self.bodies.get((scenario, "floor"), body)
            fields = sorted((body.keys() | floor.keys()) - _NOT_COMPARED)
            differing = [name for name in fields if body.get(name) != floor.get(name)]
            if differing:
                found.append(f"{scenario}: {system} sends upstream other {', '.join(differing)} than the floor")
        return found


async def run_wave(clients: Sequence[Client]) -> Wave:
    """One turn of each client, all at once; then let the machine come to rest."""
    began_s = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.turn()) for client in clients]
        wall_ms = (time.perf_counter() - began_s) * 1000
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.rest())
    except ExceptionGroup as problems:
        raise BenchError(str(problems.exceptions[0])) from problems
    # A process that served one turn ends after it: that shall not fall into the next system's turn.
    await asyncio.sleep(0.1 + 0.02 * len(clients))
    return Wave(wall_ms, tuple(task.result() for task in tasks))


@asynccontextmanager
async def connected(
    systems: Sequence[System], scenario: Scenario, width: int
) -> AsyncIterator[list[tuple[System, list[Client]]]]:
    """Get every system ready for a scenario."""
    clients: list[tuple[System, list[Client]]] = []
    try:
        for system in systems:
            mine: list[Client] = []
            clients.append((system, mine))
            for _ in range(width):
                mine.append(await system.connect(scenario.conversation))  # noqa: PERF401 - closed below even if the next one fails
        yield clients
    finally:
        await asyncio.shield(_close([client for _, mine in clients for client in mine]))


async def _close(clients: list[Client]) -> None:
    await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)


async def run_together(
    scenarios: Sequence[Scenario], systems: Sequence[System], upstream: Upstream, warm_ups: int, progress: Progress
) -> None:
    """Run scenarios that share a conversation, on the same clients; fills in their series.

    A stranger that cannot have this conversation is left out of it.
    """
    widest = max(scenarios, key=lambda scenario: scenario.width)
    await upstream.forget()
    async with connected(systems, widest, widest.width) as everybody:
        for _ in range(warm_ups):
            for system, clients in tuple(everybody):
                try:
                    await run_wave(clients)
                except BenchError as problem:
                    if system.name not in upstream.strangers:
                        raise
                    everybody.remove((system, clients))
                    upstream.left_out.append(f"{widest.name}: {system.name} is left out, because of {problem}")
                    continue
                if widest.conversation.kind is Kind.PLAIN:
                    await upstream.note(widest.name, system.name)
                progress.step(f"{widest.name}: warm-up")
        for scenario in scenarios:
            await _run(scenario, everybody, progress)
            await upstream.forget()


async def _run(scenario: Scenario, everybody: list[tuple[System, list[Client]]], progress: Progress) -> None:
    taking_part = [(system, clients[: scenario.width], Series(system.name, [])) for system, clients in everybody]
    before = [system.cpu_s(clients) for system, clients, _ in taking_part]
    for _ in range(scenario.rounds):
        for _, clients, series in taking_part:
            series.waves.append(await run_wave(clients))
            progress.step(scenario.name)
    for (system, clients, series), began in zip(taking_part, before, strict=True):
        ended = system.cpu_s(clients)
        series.cpu_s = ended - began if began is not None and ended is not None else None
        scenario.series.append(series)


def steps(scenarios: Sequence[Scenario], systems: int, warm_ups: int) -> int:
    """How often `progress` is told something by `run_together`."""
    return systems * (warm_ups + sum(scenario.rounds for scenario in scenarios))
