"""The operating system's side of one CLI: pipes, the warden's lifeline, and the ladder down which it is ended.

Knows nothing of frames or turns. `stop` goes end of input → SIGTERM → lifeline, and does not return before the warden
is gone, which it is only after everything below it.

Output is pushed, not fetched: a task that waits for bytes would be woken once more for each of them, and when tokens
trickle the waking is what costs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from typing_extensions import override

from claude_code_api.engine.launch import Launch

# What is kept of the CLI's standard error: a refused start explains itself there and nowhere else.
STDERR_BYTES: Final = 4096
# An idle CLI exits 30 to 80 ms after the end of its input; a busy one not at all.
EOF_S: Final = 0.5
# After SIGTERM a CLI ends its tools and itself within 1 to 3 s.
TERM_S: Final = 3.0
_STDIN: Final = 0
_STDOUT: Final = 1


class _Pipes(asyncio.SubprocessProtocol):
    """What the event loop tells of one process."""

    def __init__(self) -> None:
        self._transport: asyncio.BaseTransport = asyncio.BaseTransport()
        self.gone = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.stderr = b""
        # What was said before anybody listened; that is at most what one round of the loop brings.
        self.early: list[bytes] = []
        self.output_ended = False
        self.take: Callable[[bytes], None] = self.early.append
        self.ended: Callable[[], None] = lambda: None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    @override
    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDOUT:
            self.take(data)
        else:
            self.stderr = (self.stderr + data)[-STDERR_BYTES:]

    @override
    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _STDOUT:
            self.output_ended = True
            self.ended()
        elif fd == _STDIN:
            self.room.set()

    @override
    def pause_writing(self) -> None:
        """Its input is full."""
        self.room.clear()

    @override
    def resume_writing(self) -> None:
        """It has taken most of it."""
        self.room.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        # After its exit, and after everything that it has said was read.
        self._transport.close()
        self.room.set()
        self.gone.set()


class Child:
    """A spawned CLI with its warden."""

    def __init__(self, transport: asyncio.SubprocessTransport, pipes: _Pipes, lifeline: int) -> None:
        """Take over a spawned process and the writing end of its lifeline."""
        self._transport, self._pipes = transport, pipes
        self._lifeline: int | None = lifeline
        self._stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(_STDIN))
        self._stdout = cast("asyncio.ReadTransport", transport.get_pipe_transport(_STDOUT))
        self._paused = False
        self.pid: Final = transport.get_pid()

    @classmethod
    async def spawn(cls, launch: Launch) -> Child:
        """Start it. The lifeline's writing end never leaves the gateway: no child inherits it."""
        read_end, write_end = os.pipe()
        spawning = asyncio.ensure_future(
            asyncio.get_running_loop().subprocess_exec(
                _Pipes,
                *launch.under_warden(read_end),
                env=dict(launch.env),
                cwd=launch.cwd,
                pass_fds=(read_end,),
                start_new_session=True,
            )
        )
        try:
            transport, pipes = await asyncio.shield(spawning)
        except BaseException:
            # Cancelled in the middle, there is a process all the same: it ends before this does.
            await asyncio.wait([spawning])
            os.close(write_end)
            if spawning.exception() is None:
                # Its warden sees the lifeline closed, and goes after everything below it.
                _, told = spawning.result()
                await told.gone.wait()
            raise
        finally:
            os.close(read_end)
        return cls(transport, pipes, write_end)

    def tell(self, take: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        """Have its output pushed to `take` from now on; `ended` is called after the last of it."""
        pipes = self._pipes
        pipes.take, pipes.ended = take, ended
        for data in pipes.early:
            take(data)
        pipes.early = []
        if pipes.output_ended:
            ended()

    @property
    def ended(self) -> bool:
        """Whether the system has seen its end, of which nothing need have been heard here yet."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def pause(self) -> None:
        """Read nothing for now: its pipe fills, and it waits."""
        if not self._paused and self._lifeline is not None and not self._pipes.output_ended:
            self._paused = True
            self._stdout.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if not self._pipes.output_ended:
                self._stdout.resume_reading()

    def write(self, line: bytes) -> None:
        """Queue one whole line. A child that no longer reads is noticed by its owner, at the end of its output."""
        if not self._stdin.is_closing():
            self._stdin.write(line)

    async def drain(self) -> None:
        """Wait until the child has taken most of what was written, or never will."""
        await self._pipes.room.wait()

    async def farewell(self) -> str:
        """Its last words, once it has ended; its output ends a moment before it does."""
        await self._gone_within(EOF_S)
        return self.last_words()

    def last_words(self) -> str:
        """What it said on its standard error; for the log alone, as it may name paths."""
        code = self._transport.get_returncode()
        ending = "still running" if code is None else f"exit code {code}"
        return f"{ending}; stderr: {self._pipes.stderr.decode(errors='replace').strip()}"

    def kill_all(self) -> None:
        """Let go of the lifeline: the warden kills everything below it and ends."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        # Its output has to be read to the end, or it never counts as gone.
        self.resume()

    async def stop(self) -> None:
        """Walk down the ladder until it is gone."""
        self._stdin.close()
        if not await self._gone_within(EOF_S):
            with suppress(ProcessLookupError):
                self._transport.terminate()
            await self._gone_within(TERM_S)
        self.kill_all()
        await self._pipes.gone.wait()

    async def _gone_within(self, seconds: float) -> bool:
        if self._lifeline is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._pipes.gone.wait()
                return True
        return False
