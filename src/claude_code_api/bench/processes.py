"""Starting, watching and ending the processes of a run. Each is ended by its own id, whatever happens."""

from __future__ import annotations

import asyncio
import ctypes
import http.client
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from claude_code_api.bench.measure import BenchError

START_S: Final = 30.0
# The gateway lets its turns end first; there are none by then.
TERM_S: Final = 10.0
POLL_S: Final = 0.002
HTTP_S: Final = 10.0
TURN_S: Final = 60.0
_URL: Final = re.compile(r"http://127\.0\.0\.1:\d+")
# PR_SET_PDEATHSIG; see prctl(2).
_SET_PARENT_DEATH_SIGNAL: Final = 1
FAKE_KEY: Final = "sk-ant-bench-not-a-key"


def clean_environment(directory: Path, **more: str) -> dict[str, str]:
    """Nothing of the caller's environment or home reaches a measured process."""
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(directory), "TMPDIR": str(directory), **more}


@asynccontextmanager
async def deadline(seconds: float, what: str) -> AsyncIterator[None]:
    """Nothing here is waited for without end."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise BenchError(f"{what} did not come within {seconds:g} s") from error


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens on loopback."""

    url: str
    pid: int
    start_ms: float

    async def get(self, path: str, method: str = "GET") -> Any:  # noqa: ANN401 - JSON
        """Ask it something beside the measured path."""
        status, body = await asyncio.to_thread(ask, self.url, path, method)
        if status != 200:
            raise BenchError(f"{method} {self.url}{path} answered {status}: {body[:200]!r}")
        return orjson.loads(body)


def ask(url: str, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=HTTP_S)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@asynccontextmanager
async def server(
    arguments: list[str], directory: Path, environment: Mapping[str, str], *, ready: str
) -> AsyncIterator[Server]:
    """Run `python -m <arguments>` until the context ends. It prints its URL; `ready` is the path that answers 200."""
    output = _output_in(directory)
    # A file and not a pipe: nobody here has to read the server's log while turns are being timed.
    with output.open("wb") as file:
        began_s = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *arguments),
            cwd=directory,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Ctrl-C is for this program, which then ends the others in order.
            start_new_session=True,
            preexec_fn=_end_with(os.getpid()) if sys.platform == "linux" else None,
        )
        try:
            async with asyncio.timeout(START_S):
                url = await _url_in(output, process)
                await _until_ready(url, ready, process)
            yield Server(url, process.pid, (time.perf_counter() - began_s) * 1000)
        except TimeoutError as error:
            raise BenchError(f"{arguments[0]} did not start within {START_S:g} s: {_tail(output)}") from error
        finally:
            await asyncio.shield(end(process))


async def _url_in(output: Path, process: asyncio.subprocess.Process) -> str:
    while (found := _URL.search(_text_of(output))) is None:
        if process.returncode is not None:
            raise BenchError(f"a server ended at once: {_tail(output)}")
        await asyncio.sleep(POLL_S)
    return found[0]


async def _until_ready(url: str, path: str, process: asyncio.subprocess.Process) -> None:
    while process.returncode is None:
        with suppress(OSError, http.client.HTTPException):
            if (await asyncio.to_thread(ask, url, path))[0] == 200:
                return
        await asyncio.sleep(POLL_S)
    raise BenchError(f"the server at {url} ended before it was ready")


def _output_in(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory / "output.txt"


def _text_of(output: Path) -> str:
    return output.read_text(encoding="utf-8", errors="replace")


def _tail(output: Path) -> str:
    return _text_of(output)[-2000:].strip() or "it printed nothing"


def _end_with(parent: int) -> Callable[[], None]:
    """Have the process that is about to be started end with this one: killed, this one could end nothing any more."""

    def before_it_starts() -> None:
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return before_it_starts


async def end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL for what does not listen; nothing of its group stays."""
    try:
        await _end_alone(process)
    finally:
        # It leads a group of its own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _end_alone(process: asyncio.subprocess.Process) -> None:
    for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, TERM_S)):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.wait()


def standin_server(directory: Path, script: Path, port: int) -> Any:  # noqa: ANN401 - the context manager of `server`
    """The upstream."""
    arguments = ["claude_code_api.standin", "--print-url", "--script", str(script), "--port", str(port)]
    return server(arguments, directory, clean_environment(directory), ready="/")


def gateway_server(directory: Path, upstream: str, binary: Path, **settings: int) -> Any:  # noqa: ANN401 - as above
    """The gateway, with the same CLI and the same upstream as the floor."""
    environment = clean_environment(
        directory,
        ANTHROPIC_BASE_URL=upstream,
        ANTHROPIC_API_KEY=FAKE_KEY,
        CLAUDE_BINARY_PATH=str(binary),
        **{f"CLAUDE_CODE_API_{name.upper()}": str(value) for name, value in settings.items()},
    )
    arguments = ["claude_code_api", "serve", "--port", "0", "--no-auth", "--data-dir", str(directory / "data")]
    return server(arguments, directory, environment, ready="/healthz")


# What the kernel knows of a process


def cpu_s(pid: int) -> float | None:
    """CPU time of all threads of a process, without its children, to the nanosecond.

    The same count as utime + stime in /proc/<pid>/stat, which comes in steps of 10 ms. None where there is no such
    clock (it is Linux' own), or the process is gone.
    """
    if sys.platform != "linux":
        return None
    try:
        # How the kernel names the clock of another process; see clock_getcpuclockid(3).
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def rss_mb(pid: int) -> float | None:
    """Resident memory, shared pages included; None where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
