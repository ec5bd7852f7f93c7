"""One live CLI: one owner, one turn at a time, one way to end.

    spawning → ready → running → draining → ready        any → dead

The CLI's output is worked off where it arrives, with no task in between; every write is one whole line, made in one
call. A turn begins with a uuid of ours and is over at the `result` that carries it: results of others are counted and
dropped. A reader that leaves early has its turn interrupted, and the process is `draining` until that very result has
come.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final

import structlog

from claude_code_api.engine import protocol
from claude_code_api.engine.asks import Asks, EveryAskRefused, pass_on
from claude_code_api.engine.child import Child
from claude_code_api.engine.failures import engine_died, failure_of, upstream_silent
from claude_code_api.engine.mailbox import Mailbox
from claude_code_api.engine.process_turn import RunningTurn
from claude_code_api.engine.translate import Translator
from claude_code_api.engine.watchdog import Watchdog
from claude_code_api.turn.request import JsonObject

_log = structlog.get_logger("claude_code_api.engine")

# An interrupted turn ends within 30 ms; after this long the process is stuck and is ended instead.
DRAIN_S: Final = 2.0
# Output in a burst is read no more often than this: what comes in between is read, worked off and sent on together.
BATCH_S: Final = 0.001
# So many reads, each that soon after the last one, are a burst. The start of an answer is shorter and goes out at once.
BURST_READS: Final = 8
# Control requests are answered in 1 to 50 ms.
CONTROL_S: Final = 10.0


class ProcessState(Enum):
    """Where a process stands."""

    SPAWNING = "spawning"
    READY = "ready"
    RUNNING = "running"
    DRAINING = "draining"
    DEAD = "dead"


class ProcessDeadError(Exception):
    """The process ended before it could answer; the text says what is known."""


class ControlRefusedError(Exception):
    """The CLI refused a control request."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A control request of ours, on its way."""

    id: str
    subtype: str
    line: bytes
    answer: asyncio.Future[protocol.ControlAnswer]


class CliProcess:
    """Owns one CLI. Not made by hand: see `start`."""

    def __init__(self, child: Child, *, silence_s: float) -> None:
        """Take over a child that was just spawned."""
        self.state = ProcessState.SPAWNING
        self.turns = 0
        self.unread: dict[str, int] = {}
        # Whether it ended by itself, or had to be ended because what it said made no sense.
        self.crashed = False
        self._asked_to_end = False
        self._child = child
        self._silence_s = silence_s
        # Who answers what it asks of the gateway.
        self.asks: Asks = EveryAskRefused()
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[protocol.ControlAnswer]] = {}
        self._turn: RunningTurn | None = None
        self._quick_reads = 0
        self._watchdog = Watchdog(silence_s, excused=self._may_be_silent, bark=self._too_silent)
        self._splitter = protocol.LineSplitter()
        self._ending: asyncio.Task[None] | None = None
        child.tell(self._take_output, self._output_ended)

    @property
    def pid(self) -> int:
        """The warden's process id."""
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Whether the system has seen its end, of which nothing need have been heard here yet."""
        return self._child.ended

    # Talking to it

    async def initialize(
        self, system_prompt: str | None, *, within_s: float, append: bool = False, hooks: JsonObject | None = None
    ) -> dict[str, Any]:
        """Shake hands; the answer says what this CLI offers. An empty prompt is not the same as none given.

        `append`: the prompt comes after the CLI's own, which stays. `hooks`: what it is to tell of beforehand.
        """
        parts = [system_prompt] if system_prompt else []
        prompt: JsonObject = {"systemPrompt": parts}
        if append:
            prompt = {"appendSystemPrompt": system_prompt} if system_prompt else {}
        body: JsonObject = {"subtype": "initialize", "hooks": hooks, **prompt}
        answer = await self.control(body, within_s=within_s)
        self.state = ProcessState.READY
        return answer

    async def control(self, body: JsonObject, *, within_s: float = CONTROL_S) -> dict[str, Any]:
        """Send one control request and wait for its answer."""
        (answer,) = await self.controls([body], within_s=within_s)
        return answer

    async def controls(self, bodies: list[JsonObject], *, within_s: float = CONTROL_S) -> list[dict[str, Any]]:
        """Send several at once: they are carried out in order, and cost one wake-up."""
        asked = [self._ask(body) for body in bodies]
        self._child.write(b"".join(question.line for question in asked))
        return await self._answers(asked, within_s)

    async def _answers(self, asked: list[_Question], within_s: float) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(within_s):
                answers = [await question.answer for question in asked]
        except TimeoutError as error:
            msg = f"no answer to {asked[0].subtype} within {within_s:g} s"
            raise ProcessDeadError(msg) from error
        finally:
            for question in asked:
                self._waiting.pop(question.id, None)
        for question, answer in zip(asked, answers, strict=True):
            if not answer.ok:
                msg = f"{question.subtype}: {answer.error}"
                raise ControlRefusedError(msg)
        return [dict(answer.body) for answer in answers]

    def _ask(self, body: JsonObject) -> _Question:
        """Prepare a question; the caller writes its line."""
        if self.state is ProcessState.DEAD:
            raise ProcessDeadError(self._child.last_words())
        request_id = f"g{next(self._numbers)}"
        future = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        return _Question(request_id, str(body.get("subtype")), protocol.control_line(request_id, body), future)

    # Turns

    async def begin(
        self, translator: Translator, uuid: str, line: bytes, controls: Sequence[JsonObject] = ()
    ) -> RunningTurn:
        """Set what the turn needs and hand over its message, in one write; events come out of the turn's mailbox."""
        if self.state is not ProcessState.READY:
            msg = f"a turn was begun while {self.state.value}"
            raise ProcessDeadError(msg)
        turn = RunningTurn(uuid, translator, Mailbox(self._child.resume), asyncio.Event())
        self._turn, self.state = turn, ProcessState.RUNNING
        self.turns += 1
        self._watchdog.watch()
        asked = [self._ask(body) for body in controls]
        self._child.write(b"".join([*(question.line for question in asked), line]))
        await self._child.drain()
        # They are answered before the model is asked; a refused one means that the turn is not what it should be.
        await self._answers(asked, CONTROL_S)
        return turn

    async def end(self, turn: RunningTurn) -> bool:
        """The reader is done with its turn: come back to `ready`, by interrupting if need be. False: it is dead."""
        turn.mailbox.close()
        if not turn.finished.is_set():
            self._interrupt(turn)
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await turn.finished.wait()
        return self.state is ProcessState.READY

    def interrupt(self, turn: RunningTurn) -> None:
        """Ask the CLI to end the turn; its reader still gets the end of it."""
        if not turn.finished.is_set():
            self._interrupt(turn)

    def _interrupt(self, turn: RunningTurn) -> None:
        if turn.interrupted or self.state is ProcessState.DEAD:
            return
        turn.interrupted = True
        self.state = ProcessState.DRAINING
        question = self._ask({"subtype": "interrupt", "cancel_queued": True})
        question.answer.add_done_callback(partial(self._interrupt_answered, turn, question.id))
        self._child.write(question.line)
        asyncio.get_running_loop().call_later(DRAIN_S, self._give_up_on, turn)

    def _interrupt_answered(
        self, turn: RunningTurn, asked: str, answer: asyncio.Future[protocol.ControlAnswer]
    ) -> None:
        self._waiting.pop(asked, None)
        told = answer.result().body if not answer.cancelled() and answer.exception() is None else {}
        if self._turn is turn and turn.uuid in (told.get("cancelled") or ()):
            turn.dropped = True
            turn.fail(failure_of({"terminal_reason": "aborted_before_it_began"}, ""))
            self._finish(turn)

    def _give_up_on(self, turn: RunningTurn) -> None:
        if not turn.finished.is_set():
            _log.warning("cli_stuck", pid=self.pid, reason="no result after an interrupt")
            self._asked_to_end = True
            self._child.kill_all()

    # Silence

    def _may_be_silent(self) -> bool:
        # A reader that does not keep up, or a person who has not decided yet, is not the model's silence.
        return self.asks.waiting or (self._turn is not None and self._turn.mailbox.full)

    def _too_silent(self) -> None:
        turn = self._turn
        if turn is not None and not turn.finished.is_set():
            turn.fail(upstream_silent(self._silence_s))
            self._interrupt(turn)

    # Its output

    def _take_output(self, chunk: bytes) -> None:
        if self.state is ProcessState.DEAD:
            return
        self._follow_pace()
        try:
            for line in self._splitter.feed(chunk):
                self._take(protocol.parse_line(line))
        except protocol.BrokenLineError as error:
            self.crashed = True
            self._give_up(str(error))
        except Exception as error:  # noqa: BLE001 - a frame of a shape that nobody foresaw ends its process, nothing else
            _log.exception("cli_unreadable", pid=self.pid)
            self.crashed = True
            self._give_up(f"unreadable: {type(error).__name__}")
        turn = self._turn
        if turn is not None and turn.mailbox.full:
            # The pipe fills, and the CLI waits for the reader.
            self._child.pause()

    def _follow_pace(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._quick_reads = self._quick_reads + 1 if now_s - self._watchdog.last_s <= BATCH_S else 0
        self._watchdog.last_s = now_s
        if self._quick_reads >= BURST_READS:
            self._child.pause()
            loop.call_later(BATCH_S, self._read_on)

    def _read_on(self) -> None:
        if self._turn is None or not self._turn.mailbox.full:
            self._child.resume()

    def _output_ended(self) -> None:
        self._ending = asyncio.create_task(self._end_of_output(), name=f"end of cli {self.pid}")

    async def _end_of_output(self) -> None:
        self.crashed = self.crashed or not self._asked_to_end
        self._give_up(await self._child.farewell())

    def _give_up(self, reason: str) -> None:
        self._asked_to_end = True
        self._child.kill_all()
        if self.state is not ProcessState.DEAD:
            self._die(reason)

    def _die(self, reason: str) -> None:
        self.state = ProcessState.DEAD
        words = reason or self._child.last_words()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ProcessDeadError(words))
                # Not everybody waits for the answer; asyncio would complain about an exception that nobody took.
                future.exception()
        turn = self._turn
        if turn is not None:
            turn.fail(engine_died(words))
            self._finish(turn)

    def _take(self, frame: protocol.Frame) -> None:
        match frame:
            case protocol.StreamFrame():
                self._take_stream(frame)
            case protocol.ResultFrame():
                self._take_result(frame)
            case protocol.SyntheticFrame() | protocol.HookStopFrame() if self._turn is not None:
                self._turn.translator.foretold(frame)
            case protocol.ToolResultFrame():
                self._take_tool_results(frame)
            case protocol.BoundaryFrame() | protocol.SummaryFrame() if self._turn is not None:
                self._take_compaction(self._turn, frame)
            case protocol.ControlAnswer():
                self._take_answer(frame)
            case protocol.ControlAsk() | protocol.ControlCancel():
                pass_on(frame, self.asks, self._child.write)
            case protocol.OtherFrame():
                self._count(f"{frame.type}/{frame.subtype}")
            case _:
                # Of a turn that is over, or of interest to nobody.
                pass

    def _take_answer(self, answer: protocol.ControlAnswer) -> None:
        future = self._waiting.get(answer.request_id)
        if future is not None and not future.done():
            future.set_result(answer)

    def _take_stream(self, frame: protocol.StreamFrame) -> None:
        turn = self._turn
        if turn is None or not self._is_of(turn, frame):
            self._count("stream_event/foreign")
            return
        push = turn.mailbox.offer
        for event in turn.translator.stream(frame):
            push(event)
        if turn.translator.over:
            turn.mailbox.close()
        if turn.translator.cut_short:
            self._interrupt(turn)

    def _take_tool_results(self, frame: protocol.ToolResultFrame) -> None:
        turn = self._turn
        if turn is None or frame.parent_tool_id is not None:
            self._count("user/foreign")
            return
        for event in turn.translator.tool_results(frame):
            turn.push(event)

    def _take_compaction(self, turn: RunningTurn, frame: protocol.BoundaryFrame | protocol.SummaryFrame) -> None:
        for event in turn.translator.compaction(frame):
            turn.push(event)

    def _is_of(self, turn: RunningTurn, frame: protocol.StreamFrame) -> bool:
        # The start of a message says whose it is; what follows carries only the upstream's id of that message.
        if frame.parent_tool_id is not None:
            return False
        if frame.event.get("type") != "message_start":
            return frame.message_id in ("", turn.message_id)
        own = not frame.user_uuids or turn.uuid in frame.user_uuids
        if own:
            turn.message_id = frame.message_id
        return own

    def _take_result(self, frame: protocol.ResultFrame) -> None:
        turn = self._turn
        if turn is None or turn.uuid not in frame.user_uuids:
            self._count("result/foreign")
            return
        for event in turn.translator.result(frame):
            turn.push(event)
        self._finish(turn)

    def _finish(self, turn: RunningTurn) -> None:
        self._turn = None
        self._watchdog.stop()
        if self.state is not ProcessState.DEAD:
            self.state = ProcessState.READY
        turn.mailbox.close()
        turn.finished.set()

    def _count(self, what: str) -> None:
        self.unread[what] = self.unread.get(what, 0) + 1

    # The end

    async def stop(self) -> None:
        """End it, kindly first. Afterwards neither it nor anything that it started is alive."""
        self._asked_to_end = True
        turn = self._turn
        if turn is not None:
            await self.end(turn)
        await self._child.stop()
        if self._ending is not None:
            await self._ending
