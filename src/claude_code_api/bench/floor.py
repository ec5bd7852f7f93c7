"""The CLI without a gateway: a live process driven by the smallest loop there is, and a new process for each turn.

Both start what the engine starts (`launch.chat_launch`, without its warden), and send upstream what the gateway sends.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import orjson
from typing_extensions import override

from claude_code_api.bench.client import GROWING_TURNS
from claude_code_api.bench.measure import BenchError, Client, Conversation, Kind, Turn
from claude_code_api.bench.processes import FAKE_KEY, START_S, TURN_S, cpu_s, deadline, rss_mb
from claude_code_api.bench.scenarios import SHORT
from claude_code_api.engine import protocol
from claude_code_api.engine.launch import Home, Launch, Resume, chat_launch
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.starter import NO_THINKING
from claude_code_api.engine.transcript import transcript_lines
from claude_code_api.turn.request import JsonObject

MODEL: Final = "sonnet"
EOF_S: Final = 1.0
TERM_S: Final = 5.0


class CliPipes(asyncio.SubprocessProtocol):
    """Reads the CLI's lines. A turn costs it a search for a few words in each line, and nothing is parsed meanwhile."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._partial = b""
        self._stderr = b""
        self._uuid = b""
        self._chunks_s: list[float] = []
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._result: asyncio.Future[tuple[float, bytes]] | None = None

    def expect_turn(self, message_uuid: str) -> asyncio.Future[tuple[float, bytes]]:
        """Watch for the turn of this message: the future is its end and its result line."""
        self._check_alive()
        self._uuid, self._chunks_s = message_uuid.encode(), []
        self._result = asyncio.get_running_loop().create_future()
        return self._result

    def expect_answer(self, request_id: str) -> asyncio.Future[dict[str, Any]]:
        """Watch for the answer to a control request."""
        self._check_alive()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = future
        return future

    @property
    def chunks_s(self) -> list[float]:
        """When the chunks of this turn came."""
        return self._chunks_s

    @override
    def pipe_data_received(self, fd: int, data: bytes) -> None:
        now_s = time.perf_counter()
        if fd == 2:
            self._stderr = (self._stderr + data)[-2000:]
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            if b'"text_delta"' in line:
                self._chunks_s.append(now_s)
            elif b'"type":"result"' in line and self._uuid in line:
                if self._result is not None and not self._result.done():
                    self._result.set_result((now_s, line))
            elif b'"control_response"' in line:
                self._take_answer(orjson.loads(line)["response"])

    def _take_answer(self, answer: dict[str, Any]) -> None:
        future = self._answers.pop(answer["request_id"], None)
        if future is None or future.done():
            return
        if answer["subtype"] == "success":
            future.set_result(answer.get("response") or {})
        else:
            future.set_exception(BenchError(f"the CLI refused a control request: {answer.get('error')}"))

    @override
    def process_exited(self) -> None:
        self.ended.set()
        problem = self._ending()
        for future in (self._result, *self._answers.values()):
            if future is not None and not future.done():
                future.set_exception(problem)
                # Nobody may be waiting for it, which is no second problem.
                future.exception()

    def _check_alive(self) -> None:
        if self.ended.is_set():
            raise self._ending()

    def _ending(self) -> BenchError:
        return BenchError(f"a bare CLI ended: {self._stderr.decode(errors='replace').strip()}")


class Cli:
    """One CLI process."""

    def __init__(self, transport: asyncio.SubprocessTransport, pipes: CliPipes) -> None:
        self._transport, self._pipes = transport, pipes
        self._stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
        self._numbers = itertools.count(1)
        self.pid: int = transport.get_pid()

    @classmethod
    async def spawn(cls, launch: Launch) -> Cli:
        """Start it, on bare pipes."""
        transport, pipes = await asyncio.get_running_loop().subprocess_exec(
            CliPipes, *launch.argv, env=dict(launch.env), cwd=launch.cwd, start_new_session=True
        )
        return cls(transport, pipes)

    async def control(self, *bodies: JsonObject) -> list[dict[str, Any]]:
        """Ask several things at once and wait for the answers."""
        named = [(f"b{next(self._numbers)}", body) for body in bodies]
        futures = [self._pipes.expect_answer(name) for name, _ in named]
        self._stdin.write(b"".join(protocol.control_line(name, body) for name, body in named))
        async with deadline(START_S, "an answer of the bare CLI to a control request"):
            return [await future for future in futures]

    async def turn(self, message_uuid: str, lines: bytes, began_s: float) -> Turn:
        """Write, and read to the result."""
        result = self._pipes.expect_turn(message_uuid)
        self._stdin.write(lines)
        async with deadline(TURN_S, "the end of a turn of the bare CLI"):
            end_s, line = await result
        body = orjson.loads(line)
        if body.get("is_error") or not self._pipes.chunks_s:
            raise BenchError(f"a turn of the bare CLI failed: {line[:500]!r}")
        chunks_ms = tuple((at_s - began_s) * 1000 for at_s in self._pipes.chunks_s)
        return Turn(chunks_ms, (end_s - began_s) * 1000)

    async def stop(self) -> None:
        """End of input, SIGTERM, SIGKILL."""
        self._stdin.close()
        for ask, patience_s in ((None, EOF_S), (self._transport.terminate, TERM_S), (self._transport.kill, TERM_S)):
            if self._pipes.ended.is_set():
                break
            if ask is not None:
                with suppress(ProcessLookupError):
                    ask()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._pipes.ended.wait()
        self._transport.close()


def start_controls() -> list[JsonObject]:
    """What the engine asks of a process before its first turn."""
    return [{"subtype": "initialize", "hooks": None, "systemPrompt": []}, NO_THINKING]


class Workshop:
    """Makes launches: homes, transcripts and the command line of the engine's own chat processes."""

    def __init__(self, binary: Path, upstream: str, directory: Path) -> None:
        self._options = EngineOptions(anthropic_base_url=upstream)
        self._site = Site(binary, Credentials(api_key=FAKE_KEY), directory)
        self._numbers = itertools.count(1)

    def launch(self, conversation: Conversation) -> tuple[Launch, Home]:
        """Make a home that holds the history."""
        home = Home(self._site.run_directory / str(next(self._numbers)))
        home.make()
        resume = None
        if conversation.history:
            uuids = [str(uuid.uuid4()) for _ in conversation.history]
            home.transcript.write_bytes(transcript_lines(conversation.history, uuids, str(uuid.uuid4())))
            resume = Resume(home.transcript)
        return chat_launch(self._options, self._site, home, MODEL, resume), home


def question_line(conversation: Conversation, message_uuid: str) -> bytes:
    return protocol.user_line(message_uuid, [{"type": "text", "text": conversation.question}])


class LiveClient:
    """One live process that is asked the same question again and again."""

    def __init__(self, cli: Cli, home: Home, conversation: Conversation) -> None:
        self.cli, self._home, self._conversation = cli, home, conversation
        # The messages that the process still knows.
        self._asked: list[str] = []
        self.rss_mb: float | None = None
        self.cpu_s: float | None = None

    async def turn(self) -> Turn:
        """Ask; for a tool's round trip, twice, because that is what it costs the CLI."""
        before_s = cpu_s(self.cli.pid)
        began_s = time.perf_counter()
        if self._conversation.kind is Kind.TOOL:
            await self._ask(began_s)
        turn = await self._ask(began_s)
        after_s = cpu_s(self.cli.pid)
        if before_s is not None and after_s is not None:
            self.cpu_s = (self.cpu_s or 0.0) + after_s - before_s
        return turn

    async def _ask(self, began_s: float) -> Turn:
        self._asked.append(str(uuid.uuid4()))
        # The answer to a call is as short as any short one.
        asked = Conversation((), SHORT) if self._conversation.kind is Kind.TOOL else self._conversation
        return await self.cli.turn(self._asked[-1], question_line(asked, self._asked[-1]), began_s)

    async def rest(self) -> None:
        """Take the questions and their answers back, so that the next turn carries the same body."""
        if self._conversation.kind is Kind.GROWING and len(self._asked) < GROWING_TURNS:
            return
        subject: JsonObject = {
            "target_message_uuid": self._asked[0],
            "last_seen_user_message_uuid": self._asked[-1],
        }
        self._asked = []
        (answer,) = await self.cli.control({"subtype": "rewind_conversation", **subject})
        if not answer.get("rewound"):
            raise BenchError(f"the CLI did not rewind its conversation: {answer}")

    async def close(self) -> None:
        """End the process."""
        self.rss_mb = rss_mb(self.cli.pid)
        await self.cli.stop()
        shutil.rmtree(self._home.root, ignore_errors=True)


class Floor:
    """Bare live CLIs."""

    name: Final = "floor"

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._clients: list[LiveClient] = []
        self.start_ms: list[float] = []

    async def connect(self, conversation: Conversation) -> Client:
        """Start a process and get it ready."""
        launch, home = self._workshop.launch(conversation)
        began_s = time.perf_counter()
        cli = await Cli.spawn(launch)
        try:
            await cli.control(*start_controls())
        except BaseException:
            await asyncio.shield(cli.stop())
            raise
        self.start_ms.append((time.perf_counter() - began_s) * 1000)
        client = LiveClient(cli, home, conversation)
        self._clients.append(client)
        return client

    @property
    def rss_mb(self) -> float | None:
        """Memory of the first one, at its end."""
        return self._clients[0].rss_mb if self._clients else None

    def cpu_s(self, clients: Sequence[Client]) -> float | None:
        """CPU time of the CLIs in their turns. In between they compile and collect garbage, at times for 100 ms."""
        times = [client.cpu_s for client in clients if isinstance(client, LiveClient)]
        known = [time_s for time_s in times if time_s is not None]
        return sum(known) if known else None


class ColdClient:
    """A new process for each turn, the fastest way: its home is made beforehand, and nothing waits for an answer."""

    def __init__(self, workshop: Workshop, conversation: Conversation) -> None:
        self._workshop, self._conversation = workshop, conversation
        self._cli: Cli | None = None
        self._launch, self._home = workshop.launch(conversation)

    async def turn(self) -> Turn:
        """Start, ask, read."""
        message_uuid = str(uuid.uuid4())
        asked = b"".join(protocol.control_line(f"b{at}", body) for at, body in enumerate(start_controls()))
        lines = asked + question_line(self._conversation, message_uuid)
        began_s = time.perf_counter()
        self._cli = await Cli.spawn(self._launch)
        return await self._cli.turn(message_uuid, lines, began_s)

    async def rest(self) -> None:
        """End the process, and make the home of the next one."""
        await self.close()
        self._launch, self._home = self._workshop.launch(self._conversation)

    async def close(self) -> None:
        """End the process."""
        if self._cli is not None:
            await self._cli.stop()
            self._cli = None
        shutil.rmtree(self._home.root, ignore_errors=True)


class Cold:
    """What a gateway without warm processes can reach at best."""

    name: Final = "cold"

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    async def connect(self, conversation: Conversation) -> Client:
        """Nothing is kept between two turns."""
        return ColdClient(self._workshop, conversation)

    def cpu_s(self, _clients: Sequence[Client]) -> float | None:
        """Nobody looks."""
        return None
