"""A gateway as its users start it: the command, in a process of its own, with an environment built from nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from tests.harness import programs
from tests.harness.programs import Program
from tests.harness.waiting import BOUND_S, NeverCameError

GATEWAY = (sys.executable, "-m", "claude_code_api")


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "NO_COLOR": "1", **(more or {})}


def run(
    *arguments: str, home: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the gateway's to its end."""
    return programs.run([*GATEWAY, *arguments], env=environment(home, env), cwd=cwd or home)


class GatewayProcess:
    """`claude-code-api serve …`, from its start to its end."""

    def __init__(self, *arguments: str, home: Path, env: Mapping[str, str] | None = None) -> None:
        self.data_dir = home / "data"
        self._program = Program([*GATEWAY, *arguments], env=environment(home, env), cwd=home)
        try:
            self.url = self.wait_for_line(" at http").split()[-1]
            self.wait_for_line("export ANTHROPIC_AUTH_TOKEN")
        except NeverCameError:
            self.__exit__(None, None, None)
            raise

    @property
    def welcome(self) -> str:
        return self._program.stderr.text

    @property
    def log(self) -> list[str]:
        return self._program.stdout.lines

    def wait_for_line(self, part: str) -> str:
        """Return the first new line of the welcome that holds `part`."""
        return self._program.stderr.line(part)

    @property
    def pid(self) -> int:
        return self._program.pid

    @property
    def key(self) -> str:
        return (self.data_dir / "api-key").read_text().strip()

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=BOUND_S)

    def signal(self, number: int) -> None:
        self._program.signal(number)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return self._program.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask it to end, as its users do. Whatever happened, it ends here, with all that is below it."""
        with self._program as program:
            if program.running and error is None:
                program.signal(signal.SIGTERM)
                program.wait()


@contextmanager
def streaming(client: httpx2.Client, body: Mapping[str, object]) -> Iterator[Iterator[str]]:
    """Open a streamed chat completion and hand out its lines."""
    with client.stream("POST", "/v1/chat/completions", json={"stream": True, **body}) as response:
        assert response.status_code == 200, response.read()
        yield response.iter_lines()
