"""The operating system's side of one CLI: pipes, the warden's lifeline, and the ladder down which it is ended.

Knows nothing of frames or turns. `stop` goes end of input → SIGTERM → lifeline, and does not return before the warden
is gone, which it is only after everything below it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Final

from claude_code_api.engine.launch import Launch

# Reads of this size take a burst of tokens in one go; a pipe holds no more.
READ_BYTES: Final = 64 * 1024
# What is kept of the CLI's standard error: a refused start explains itself there and nowhere else.
STDERR_BYTES: Final = 4096
# An idle CLI exits 30 to 80 ms after the end of its input; a busy one not at all.
EOF_S: Final = 0.5
# After SIGTERM a CLI ends its tools and itself within 1 to 3 s.
TERM_S: Final = 3.0


class Child:
    """A spawned CLI with its warden."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int) -> None:
        """Take over a spawned process and the writing end of its lifeline."""
        self._process = process
        self._lifeline: int | None = lifeline
        self._stderr = b""
        self._stderr_reader = asyncio.create_task(self._drain_stderr(), name=f"stderr of cli {process.pid}")

    @classmethod
    async def spawn(cls, launch: Launch) -> Child:
        """Start it. The lifeline's writing end never leaves the gateway: no child inherits it."""
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.under_warden(read_end),
                env=dict(launch.env),
                cwd=launch.cwd,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(read_end,),
                start_new_session=True,
            )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        return cls(process, write_end)

    @property
    def pid(self) -> int:
        """The warden's process id."""
        return self._process.pid

    def write(self, line: bytes) -> None:
        """Queue one whole line. A child that no longer reads is noticed by its owner, at the end of its output."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(line)

    async def drain(self) -> None:
        """Wait until the child has taken most of what was written."""
        stdin = self._process.stdin
        if stdin is not None:
            with suppress(ConnectionError):
                await stdin.drain()

    async def read(self) -> bytes:
        """Return the next bytes of its output; b"" at the end."""
        stdout = self._process.stdout
        return await stdout.read(READ_BYTES) if stdout is not None else b""

    async def _drain_stderr(self) -> None:
        stderr = self._process.stderr
        while stderr is not None and (chunk := await stderr.read(READ_BYTES)):
            self._stderr = (self._stderr + chunk)[-STDERR_BYTES:]

    async def farewell(self) -> str:
        """Its last words, once it has ended; its output ends a moment before it does."""
        await self._gone_within(EOF_S)
        return self.last_words()

    def last_words(self) -> str:
        """What it said on its standard error; for the log alone, as it may name paths."""
        code = self._process.returncode
        ending = "still running" if code is None else f"exit code {code}"
        return f"{ending}; stderr: {self._stderr.decode(errors='replace').strip()}"

    def kill_all(self) -> None:
        """Let go of the lifeline: the warden kills everything below it and ends."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    async def stop(self) -> None:
        """Walk down the ladder until it is gone."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if not await self._gone_within(EOF_S):
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._gone_within(TERM_S)
        self.kill_all()
        await self._process.wait()
        await self._stderr_reader

    async def _gone_within(self, seconds: float) -> bool:
        if self._lifeline is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._process.wait()
                return True
        return False
