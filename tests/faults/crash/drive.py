"""Kills a gateway, its CLI processes, or both, while clients talk to it; then asks the checker what became of it all.

usage: python -m tests.faults.crash.drive [--kills N] [--seed N] [--bug NAME] [--keep DIRECTORY]

Exit code 1 if the checker finds something. The upstream, the clients and the checker are outside of what is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.options import EngineOptions
from claude_code_api.engine.prove import Proof, remember
from claude_code_api.standin import StandIn
from tests.console.gateway_process import environment
from tests.faults.crash.gateway import STEPS
from tests.faults.crash.talk import Client, Habits, Log, Site
from tests.real_cli.living import Mourner, processes_of

HERE: Final = Path(__file__).parent
TOP: Final = HERE.parents[2]
CLIENTS: Final = 3
# A gateway that does not come to its step is killed all the same.
STEP_S: Final = 8.0
# Kills at random moments come within this time of the first request that reaches the model: some hit a beginning, some
# an end, some what lies between two turns. So long is that request waited for.
RANDOM_S: Final = 0.5
FIRST_S: Final = 6.0
# Processes of a gateway that was killed are gone within this time.
GONE_S: Final = 2.0
START_S: Final = 30.0
END_S: Final = 30.0


@dataclass
class Evidence:
    """Where the checker finds what happened."""

    directory: Path

    @property
    def clients(self) -> Path:
        return self.directory / "clients.jsonl"

    @property
    def upstream(self) -> Path:
        return self.directory / "upstream.jsonl"

    @property
    def data(self) -> Path:
        return self.directory / "home" / "data"

    @property
    def database(self) -> Path:
        return self.data / "gateway.db"


class Gateway:
    """A gateway, from its start to its end, whichever that is."""

    def __init__(self, evidence: Evidence, upstream: str, *own: str) -> None:
        self._data = evidence.data
        # Requests that had reached the upstream before it took any.
        self.known = 0
        home = evidence.data.parent
        settings = ("journal_s=0.05", "upstream_retries=0", "spares=0", "session_wait_s=10")
        with (evidence.directory / "gateway.log").open("a") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.faults.crash.gateway", *own, "serve", "--no-auth", "--port", "0"),
                    *("--data-dir", str(self._data), *(part for one in settings for part in ("--set", one))),
                ],
                env={
                    **environment(home),
                    # The tree that this file is in, wherever it was installed from.
                    "PYTHONPATH": f"{TOP / 'src'}{os.pathsep}{TOP}",
                    "ANTHROPIC_BASE_URL": upstream,
                    "ANTHROPIC_API_KEY": "sk-ant-made-up",
                },
                cwd=home,
                stdout=log,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.welcome = ""
        # Where it listens; empty, if it ended before it did.
        self.url = ""
        self._said = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._said.wait(START_S), self.welcome

    def _listen(self) -> None:
        """Read what it says, to the end."""
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.welcome += line
                if " at http" in line:
                    self.url = line.split()[-1]
                    self._said.set()
        self._said.set()

    def ended_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def processes(self) -> dict[int, str]:
        return processes_of(self._data)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def left(self) -> list[str]:
        """What is still there when it should be gone. A process that was just being started is seen a little later."""
        began_s = time.monotonic()
        while (found := self.processes()) and time.monotonic() < began_s + GONE_S:
            with contextlib.suppress(AssertionError):
                Mourner(list(found)).all_gone_after_s(began_s)
        return list(found.values())


@dataclass(frozen=True)
class Wanted:
    """What is to happen."""

    kills: int
    seed: int = 0
    # Arguments of the gateways that are killed: a bug.
    bug: tuple[str, ...] = ()
    # Where gateways kill themselves, one after another and over again.
    steps: tuple[str, ...] = STEPS
    habits: Habits = field(default_factory=Habits)


class Killer:
    """Starts gateways, and ends them in every way."""

    def __init__(self, wanted: Wanted, evidence: Evidence, upstream: StandIn, site: Site, log: Log) -> None:
        self._wanted, self._evidence, self._upstream = wanted, evidence, upstream
        self._site, self._log, self._chance = site, log, random.Random(wanted.seed)
        self.kills: Counter[str] = Counter()

    def rounds(self) -> None:
        """Go on until so many have been killed: at a step, and at random, by turns."""
        steps = list(self._wanted.steps)
        self._chance.shuffle(steps)
        for step in itertools.cycle(steps):
            self._at_a_step(step)
            if self.kills.total() >= self._wanted.kills:
                return
            self._at_random(self.start())
            if self.kills.total() >= self._wanted.kills:
                return

    def start(self, *own: str) -> Gateway:
        """Start a gateway, and let the clients to it."""
        while True:
            gateway = Gateway(self._evidence, self._upstream.base_url, *self._wanted.bug, *own)
            if gateway.url:
                self._log.write(event="started", unended=_unended(self._evidence.database))
                gateway.known = len(self._upstream.received)
                self._site.publish(gateway.url)
                return gateway
            # It came to its step before it listened: when it ended what the one before it had left.
            assert gateway.process.wait() == -signal.SIGKILL, gateway.welcome
            self._killed(own[-1].partition(":")[0], gateway)
            own = ()

    def _at_a_step(self, step: str) -> None:
        before = self.kills.total()
        gateway = self.start("--die-at", f"{step}:{self._chance.randint(1, 3)}")
        if step.endswith("recovery") or self.kills.total() > before:
            # It has been there before it listened; or it will not be, for there was nothing to recover.
            self._at_random(gateway)
        elif gateway.ended_within(STEP_S):
            assert gateway.process.returncode == -signal.SIGKILL, gateway.process.returncode
            self._killed(step, gateway)
        else:
            gateway.kill()
            self._killed(f"{step} not reached", gateway)

    def _at_random(self, gateway: Gateway) -> None:
        with contextlib.suppress(TimeoutError):
            self._upstream.wait_received(gateway.known + 1, FIRST_S)
        how = self._chance.choice(("gateway", "gateway and cli", "cli"))
        if how == "cli":
            for _ in range(2):
                gateway.ended_within(self._chance.uniform(0, RANDOM_S))
                self._kill_a_process(gateway)
        gateway.ended_within(self._chance.uniform(0, RANDOM_S))
        if how == "gateway and cli":
            self._kill_a_process(gateway)
        gateway.kill()
        self._killed("gateway at random", gateway)

    def _kill_a_process(self, gateway: Gateway) -> None:
        found = gateway.processes()
        if found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(sorted(found)), signal.SIGKILL)
                self.kills["cli"] += 1
                self._log.write(event="killed", what="cli", left=[])

    def _killed(self, what: str, gateway: Gateway) -> None:
        self.kills[what] += 1
        self._log.write(event="killed", what=what, left=gateway.left())


def _unended(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as connection:
        count: int = connection.execute("SELECT count(*) FROM turns WHERE ended_s IS NULL").fetchone()[0]
        return count


def drive(evidence: Evidence, wanted: Wanted) -> Counter[str]:
    """Let clients talk and processes die; says what was killed how often. What happened is then in the evidence."""
    evidence.data.mkdir(mode=0o700, parents=True)
    # The checks of the installed CLI have tests of their own, and would take the first second of many lives.
    remember(evidence.data, find_binary(EngineOptions(), Path("/nowhere")), Proof({"all": True}))
    site, log = Site(), Log(evidence.clients)
    with contextlib.closing(log), StandIn(pace_ms=0) as upstream:
        killer = Killer(wanted, evidence, upstream, site, log)
        clients = [Client(f"c{number}", site, upstream, log, wanted.habits) for number in range(CLIENTS)]
        with talking(clients):
            killer.rounds()
            last = killer.start()
        last.process.terminate()
        log.write(event="stopped", code=last.process.wait(END_S), left=last.left())
        with evidence.upstream.open("w", encoding="utf-8") as file:
            for received in upstream.messages:
                file.write(json.dumps({"messages": received.body["messages"]}) + "\n")
    return killer.kills


@contextlib.contextmanager
def talking(clients: Sequence[Client]) -> Iterator[None]:
    """Have clients talk; at the end each of them gets its last answer."""
    for client in clients:
        client.start()
    yield
    for client in clients:
        client.stop.set()
    for client in clients:
        client.join(END_S)
        assert not client.is_alive(), f"{client.name} still waits"
        assert client.problem is None, client.problem


def judge(evidence: Evidence) -> dict[str, Any]:
    """Ask the checker, which is another program."""
    files = (evidence.clients, evidence.database, evidence.upstream)
    checked = subprocess.run(
        [sys.executable, "-I", HERE / "check.py", *files], capture_output=True, text=True, check=False
    )
    assert checked.stdout, checked.stderr
    verdict: dict[str, Any] = json.loads(checked.stdout)
    return verdict


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bug", default="")
    parser.add_argument("--keep", type=Path, help="a directory for what happened; it must not exist")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as own:
        evidence = Evidence(wanted.keep or Path(own) / "evidence")
        began_s = time.monotonic()
        bug = ("--bug", wanted.bug) if wanted.bug else ()
        kills = drive(evidence, Wanted(wanted.kills, wanted.seed, bug))
        verdict = judge(evidence)
        figures = {"kills": kills.total(), "killed": dict(kills.most_common()), "took_s": time.monotonic() - began_s}
        sys.stdout.write(json.dumps({**figures, **verdict}, indent=2, ensure_ascii=False) + "\n")
        return 1 if verdict["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
