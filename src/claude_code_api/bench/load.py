"""Much at once, for minutes: conversations that go on and on, and a crowd that follows a stream that hardly speaks.

Judged is what must not happen under load: a failed turn, memory that grows, file descriptors or processes that stay.
How long things take is reported and not judged.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from claude_code_api.bench.client import HttpClient, HttpSystem
from claude_code_api.bench.floor import MODEL
from claude_code_api.bench.measure import BenchError, Conversation, Kind, Turn, median, percentile
from claude_code_api.bench.processes import HTTP_S, Server, cpu_s, deadline, gateway_server, rss_mb, standin_server
from claude_code_api.bench.scenarios import CHUNKS, FOLLOWED, SAID, TRICKLE, script
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.options import EngineOptions

# A stream says something every ten seconds, and be it that it is still there; under load it may be late.
FOLLOWER_HEARS_WITHIN_S: Final = 45.0
# In which the crowd comes.
CROWD_COMES_S: Final = 10.0
FOLLOWER_READS_BYTES: Final = 65_536
SAMPLE_S: Final = 2.0
# Between two turns of a conversation: with a hundred of them, more than may run at once want to.
THINKING_S: Final = 0.5
# What the last third may have more than the one before it.
MORE_MB: Final = 8.0
MORE_RATIO: Final = 1.1
MORE_DESCRIPTORS: Final = 64
# A CLI is two processes, its warden and itself, and has six descriptors of the gateway's: three pipes, the lifeline,
# and its door with a connection.
PROCESSES_OF_A_CLI: Final = 2
DESCRIPTORS_OF_A_PROCESS: Final = 3
# Beside those that have a turn: what is being started, a spare, and what is being ended.
MORE_CLIS: Final = 16
# As many as a slow machine needs for a look at its CLI.
WARM_UP_TURNS: Final = 10
# After the end, for the processes that are being replaced.
REST_S: Final = 3.0
MOST_FAILURES_KEPT: Final = 20
_EVENT_ID: Final = re.compile(rb"\nid: ?(\d+)")
_SESSION: Final = re.compile(rb"\nx-session-id: ?([0-9a-f-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How much, for how long."""

    minutes: float = 5.0
    conversations: int = 100
    at_once: int = 64
    idle_clients: int = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway at one moment."""

    at_s: float
    rss_mb: float
    descriptors: int
    processes: int


@dataclass(slots=True)
class LoadReport:
    """What came of it."""

    plan: LoadPlan
    seconds: float = 0.0
    turns: list[Turn] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    rested: Sample | None = None
    cpu_s: float | None = None
    failures: list[str] = field(default_factory=list)
    failed: int = 0

    def fail(self, what: str) -> None:
        """Count a failure; the first ones are told in full."""
        self.failed += 1
        if len(self.failures) < MOST_FAILURES_KEPT:
            self.failures.append(what)

    @property
    def per_s(self) -> float:
        """Turns a second."""
        return len(self.turns) / self.seconds if self.seconds else 0.0


class Overall(Protocol):
    """Is told how far it has come."""

    def begin(self, total: int) -> None:
        """So many calls of `step` will follow."""
        ...

    def step(self, what: str) -> None:
        """One of them."""
        ...


async def carry(report: LoadReport, progress: Overall) -> None:
    """Load a gateway of its own, and watch it; what is seen comes into the report at once."""
    plan = report.plan
    async with AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="claude-code-api-load-")))
        file = root / "script.json"
        file.write_bytes(script())
        binary = find_binary(EngineOptions(), Path.home())
        standin: Server = await stack.enter_async_context(standin_server(root / "standin", file, 0))
        # One more, for the turn that the crowd follows.
        wide = {
            "max_turns": plan.at_once + 1,
            "max_idle": plan.at_once,
            "max_waiting": plan.conversations,
            "wait_s": 120,
        }
        roomy = {"pool_mib": 512 * plan.at_once}
        gateway: Server = await stack.enter_async_context(
            gateway_server(root / "gateway", standin.url, binary, **wide, **roomy)
        )
        await _warm(gateway)
        samples = round(plan.minutes * 60 / SAMPLE_S)
        progress.begin(samples)
        await _run(plan, report, gateway, standin, lambda: progress.step("load"))
        await asyncio.sleep(REST_S)
        report.rested = _sample(gateway.pid)
    _judge(report)


async def _warm(gateway: Server) -> None:
    """Wait until processes stay after their turns: before that the gateway is still finding out what its CLI can do."""
    client = await HttpSystem("gateway", gateway.url, MODEL).connect(Conversation((), f"{TRICKLE} Ready?"))
    try:
        for _ in range(WARM_UP_TURNS):
            await client.turn()
            await asyncio.sleep(SAMPLE_S)
            if _processes_below(gateway.pid):
                return
    finally:
        await client.close()


async def _run(
    plan: LoadPlan, report: LoadReport, gateway: Server, standin: Server, sampled: Callable[[], None]
) -> None:
    began_s, cpu_before_s = time.perf_counter(), cpu_s(gateway.pid)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        followed = await _followed(gateway)
        idle = [group.create_task(_follow(gateway, followed, over, report)) for _ in range(plan.idle_clients)]
        places = asyncio.Semaphore(plan.at_once)
        for number in range(plan.conversations):
            group.create_task(_converse(number, gateway, places, over, report))
        group.create_task(_clear_records(standin, over))
        while time.perf_counter() - began_s < plan.minutes * 60:
            await asyncio.sleep(SAMPLE_S)
            report.samples.append(_sample(gateway.pid))
            sampled()
        over.set()
        report.seconds = time.perf_counter() - began_s
        for task in idle:
            task.cancel()
    after_s = cpu_s(gateway.pid)
    if cpu_before_s is not None and after_s is not None:
        report.cpu_s = after_s - cpu_before_s


async def _converse(
    number: int, gateway: Server, places: asyncio.Semaphore, over: asyncio.Event, report: LoadReport
) -> None:
    """One conversation: it grows, begins anew, and never fails."""
    chance = random.Random(number)
    talk = Conversation((), f"{TRICKLE} Conversation {number}: and then?", Kind.GROWING, SAID)
    client = await HttpSystem("gateway", gateway.url, MODEL).connect(talk)
    if not isinstance(client, HttpClient):
        raise TypeError
    try:
        while not over.is_set():
            async with places:
                if over.is_set():
                    return
                await _one_turn(client, number, report)
            await asyncio.sleep(chance.random() * 2 * THINKING_S)
    finally:
        await client.close()


async def _one_turn(client: HttpClient, number: int, report: LoadReport) -> None:
    try:
        turn = await client.turn()
    except BenchError as error:
        report.fail(f"conversation {number}: {error}")
        return
    if len(turn.chunks_ms) != CHUNKS:
        report.fail(f"conversation {number}: {len(turn.chunks_ms)} chunks instead of {CHUNKS}")
    report.turns.append(turn)


@dataclass(frozen=True, slots=True)
class Followed:
    """A running turn: the path of its stream, and the id of an event after which it can be read on."""

    path: str
    event_id: bytes


async def _followed(gateway: Server) -> Followed:
    """Begin a turn in which little happens. Whoever asked for it leaves; it goes on."""
    path = f"/claude/stream/{uuid.uuid4()}"
    reader, writer = await _opened(gateway, f"{path}?query={quote(FOLLOWED)}", b"")
    try:
        head, found = b"", None
        async with deadline(HTTP_S, "the first word of a stream"):
            while found is None:
                head += await reader.read(FOLLOWER_READS_BYTES)
                found = _EVENT_ID.search(head)
        named = _SESSION.search(head)
        if named is None:
            raise BenchError(f"a stream that belongs to no session: {head[:200]!r}")
        return Followed(f"/claude/stream/{named[1].decode()}", found[1])
    finally:
        writer.close()


async def _follow(gateway: Server, followed: Followed, over: asyncio.Event, report: LoadReport) -> None:
    """A client that reads a stream in which little happens."""
    await asyncio.sleep(random.random() * CROWD_COMES_S)
    try:
        reader, writer = await _opened(gateway, followed.path, b"Last-Event-ID: %b\r\n" % followed.event_id)
        try:
            async with deadline(HTTP_S, "the head of a stream"):
                head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 ") or b"text/event-stream" not in head:
                raise BenchError(f"answered {head[:30]!r}")
            while not over.is_set():
                async with deadline(FOLLOWER_HEARS_WITHIN_S, "a sign of life in a stream"):
                    if not await reader.read(FOLLOWER_READS_BYTES):
                        raise BenchError("a stream ended")
        finally:
            writer.close()
    except (BenchError, OSError, asyncio.IncompleteReadError) as error:
        report.fail(f"an idle client: {error!r}")


async def _opened(gateway: Server, path: str, more: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(gateway.url)
    async with deadline(HTTP_S, "a connection of an idle client"):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode() + more + b"\r\n")
    return reader, writer


async def _clear_records(standin: Server, over: asyncio.Event) -> None:
    """The stand-in keeps what it received; here nobody asks for it."""
    while not over.is_set():
        await asyncio.sleep(SAMPLE_S)
        await standin.get("/standin/received", "DELETE")


def _sample(pid: int) -> Sample:
    return Sample(time.perf_counter(), rss_mb(pid) or 0.0, _descriptors(pid), _processes_below(pid))


def _descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        # The system keeps no such list, or not for us: the gateway is closed to all but root.
        return 0


def _processes_below(pid: int) -> int:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        # It ended while it was being looked at, or the system keeps no such list.
        return 0
    return len(found) + sum(_processes_below(int(child)) for child in found)


def _judge(report: LoadReport) -> None:
    """Compare the last third with the middle one; in the first one the processes are being started."""
    third = len(report.samples) // 3
    if not third or not report.turns:
        report.fail("it was too short to say anything")
        return
    before, after = report.samples[third : 2 * third], report.samples[-third:]
    rss = [median([sample.rss_mb for sample in part]) for part in (before, after)]
    if rss[1] > rss[0] * MORE_RATIO + MORE_MB:
        report.fail(f"memory grew from {rss[0]:.0f} to {rss[1]:.0f} MB")
    bound = PROCESSES_OF_A_CLI * (report.plan.at_once + 1 + MORE_CLIS)
    most = max(sample.processes for sample in report.samples)
    if most > bound:
        report.fail(f"there were {most} processes, and no more than {bound} can be of use")
    others = [max(_descriptors_beside(sample) for sample in part) for part in (before, after)]
    if others[1] > others[0] + MORE_DESCRIPTORS:
        report.fail(f"descriptors that are no process's grew from {others[0]} to {others[1]}")


def _descriptors_beside(sample: Sample) -> int:
    return sample.descriptors - DESCRIPTORS_OF_A_PROCESS * sample.processes


def load_figures(report: LoadReport) -> dict[str, float]:
    """The figures of a load, by name."""
    first = [turn.first_ms for turn in report.turns]
    total = [turn.total_ms for turn in report.turns]
    gaps = list(itertools.chain.from_iterable(turn.gaps_ms for turn in report.turns))
    found = {"seconds": report.seconds, "turns": float(len(report.turns)), "turns/s": report.per_s}
    found["failed"] = float(report.failed)
    for name, values in (("first token ms", first), ("total ms", total), ("gap ms", gaps)):
        for percent in (50, 95, 99):
            found[f"{name} p{percent}"] = percentile(values, percent) if values else 0.0
    if report.cpu_s is not None and report.turns:
        found["CPU ms/turn"] = report.cpu_s * 1000 / len(report.turns)
        found["CPU µs/chunk"] = report.cpu_s * 1e6 / (len(report.turns) * CHUNKS)
    if report.samples:
        found["RSS MB, most"] = max(sample.rss_mb for sample in report.samples)
        found["descriptors, most"] = float(max(sample.descriptors for sample in report.samples))
        found["processes, most"] = float(max(sample.processes for sample in report.samples))
    if report.rested is not None:
        rested = report.rested
        found |= {"RSS MB, at rest": rested.rss_mb, "descriptors, at rest": float(rested.descriptors)}
        found["processes, at rest"] = float(rested.processes)
    return found
