"""The bundled `claude` on a stand-in upstream: engines, single processes, and what their turns say."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import override

from claude_code_api.engine import protocol
from claude_code_api.engine.child import Child
from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.launch import Home, Launch, chat_launch
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.overlay import parameter_fields
from claude_code_api.engine.process import CliProcess
from claude_code_api.engine.process_turn import RunningTurn
from claude_code_api.engine.resident import set_extra_body
from claude_code_api.engine.seat import Seating, arrange
from claude_code_api.engine.starter import NO_THINKING
from claude_code_api.engine.translate import Translator
from claude_code_api.flow.ports import Plan
from claude_code_api.models.capabilities import CapabilityTable
from claude_code_api.models.fit import fit
from claude_code_api.models.fitted import RequestControl
from claude_code_api.standin import Received, StandIn
from claude_code_api.turn.block_json import blocks_json
from claude_code_api.turn.events import Ended, Failed, TurnEvent
from claude_code_api.turn.order import Order
from claude_code_api.turn.request import Block, Message, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult, fold
from tests.harness.waiting import BOUND_S

MODEL = "claude-haiku-4-5"
KEY = "sk-ant-made-up-0123456789"
IDENTITY = "You are a Claude agent, built on Anthropic's Claude Agent SDK."
MESSAGES = "/v1/messages"

TABLE = CapabilityTable()
AT_THE_DOOR = RequestControl()

T = TypeVar("T")


def said(role: str, *texts: str) -> Message:
    """Make a message of text blocks."""
    assert role in {"user", "assistant"}
    blocks = tuple(TextBlock(text) for text in texts)
    return Message("user", blocks) if role == "user" else Message("assistant", blocks)


def asks(*texts: str, **fields: Any) -> TurnRequest:
    """Make a request of one user message."""
    return TurnRequest(MODEL, (said("user", *texts),), **fields)


def unfitted(request: TurnRequest, turn_id: str = "turn-1", model: str = MODEL) -> Plan:
    """Plan a turn with a request as it is, whether its model accepts it or not."""
    return Plan(turn_id, 1_700_000_000, model, request)


def plan(
    request: TurnRequest, turn_id: str = "turn-1", model: str = MODEL, control: RequestControl = AT_THE_DOOR
) -> Plan:
    """Plan a turn as the gateway does, with a request that its model accepts."""
    return Plan(turn_id, 1_700_000_000, model, fit(request, TABLE.of(model), control).request)


def checked(events: Iterable[TurnEvent]) -> TurnResult:
    """Hold a whole turn to the order of events, and fold it."""
    order, listed = Order(), list(events)
    for event in listed:
        order.check(event)
    assert order.over, listed
    return fold(listed)


async def blocking(call: Callable[..., T], *arguments: Any) -> T:
    """Call one of the stand-in's waiting methods while the loop runs on."""
    return await asyncio.to_thread(call, *arguments)


def texts_of(message: Mapping[str, Any]) -> list[str]:
    """The text blocks of an upstream message, whichever of the two forms it has."""
    content = message["content"]
    return [content] if isinstance(content, str) else [block["text"] for block in content]


def plain(value: Any) -> Any:
    """An upstream value without the CLI's own cache marks."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != "cache_control"}
    return [plain(item) for item in value] if isinstance(value, list) else value


def as_blocks(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Upstream messages as (role, blocks): a string is one text block."""
    found = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else plain(content)
        found.append((str(message["role"]), blocks))
    return found


class Recorder(Translator):
    """A translator that also keeps the CLI's results as they came."""

    def __init__(self, results: list[Mapping[str, Any]]) -> None:
        super().__init__("turn-1", 0)
        self._results = results

    @override
    def result(self, frame: protocol.ResultFrame) -> Iterator[TurnEvent]:
        self._results.append(frame.body)
        return super().result(frame)


@dataclass
class Live:
    """One initialised process."""

    process: CliProcess
    launch: Launch
    home: Home
    results: list[Mapping[str, Any]] = field(default_factory=list)

    async def begin(self, *blocks: Block) -> RunningTurn:
        message_uuid = str(uuid.uuid4())
        return await self.hand_over(message_uuid, protocol.user_line(message_uuid, blocks_json(blocks)))

    async def hand_over(self, message_uuid: str, line: bytes) -> RunningTurn:
        return await self.process.begin(Recorder(self.results), message_uuid, line)

    async def ask(self, *texts: str) -> list[TurnEvent]:
        turn = await self.begin(*(TextBlock(text) for text in texts))
        return await rest(turn)


async def rest(turn: RunningTurn) -> list[TurnEvent]:
    """Everything that a turn still says; returns once the process is done with it."""
    events = [event async for batch in turn.mailbox.batches() for event in batch]
    await turn.finished.wait()
    return events


@dataclass
class Rig:
    """The stand-in, and everything that makes a CLI talk to it."""

    upstream: StandIn
    directory: Path
    credentials: Credentials = field(default_factory=lambda: Credentials(api_key=KEY))
    silence_s: float = BOUND_S
    _homes: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def options(self) -> EngineOptions:
        return EngineOptions(anthropic_base_url=self.upstream.base_url, upstream_retries=0, silence_s=self.silence_s)

    @property
    def site(self) -> Site:
        run = self.directory / "run"
        run.mkdir(exist_ok=True)
        return Site(find_binary(EngineOptions(), Path("/nowhere")), self.credentials, run)

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[ClaudeEngine]:
        engine = ClaudeEngine(self.options, self.site)
        try:
            yield engine
        finally:
            await engine.close()

    async def answer(self, request: TurnRequest, model: str = MODEL) -> TurnResult:
        """Run one whole turn on an engine of its own."""
        async with self.engine() as engine:
            planned = plan(request, model=model, control=engine.control(None))
            async with engine.lease(planned) as lease:
                events = [event async for batch in lease.batches() for event in batch]
        return checked(events)

    @asynccontextmanager
    async def live(
        self,
        *,
        system: str | None = None,
        history: Sequence[Message] = (),
        request: TurnRequest | None = None,
        adapt: Callable[[Launch], Launch] = lambda launch: launch,
    ) -> AsyncIterator[Live]:
        """One process for several turns, started and seated as the engine does it."""
        home = Home(self.site.run_directory / f"live-{next(self._homes)}")
        home.make()
        seating: Seating = arrange((*history, said("user", "placeholder")))
        launch = adapt(chat_launch(self.options, self.site, home, MODEL, seating.write_transcript(home)))
        process = CliProcess(await Child.spawn(launch), silence_s=self.silence_s)
        try:
            await process.initialize(system, within_s=BOUND_S)
            fields = parameter_fields(request or asks("placeholder"))
            await process.controls([NO_THINKING, set_extra_body(json.dumps(fields))])
            yield Live(process, launch, home)
        finally:
            await process.stop()

    def bodies(self) -> list[Any]:
        """The bodies of all calls upstream."""
        return [record.body for record in self.calls()]

    def calls(self) -> list[Received]:
        """All calls upstream; asserts that there was none to any other place."""
        received = self.upstream.received
        assert {record.path for record in received} <= {MESSAGES}
        return received

    def body(self) -> Any:
        """The body of the only call upstream."""
        (body,) = self.bodies()
        return body


def terminal(events: Sequence[TurnEvent]) -> Ended | Failed:
    """The one terminal event, which has to be the last."""
    ends = [event for event in events if isinstance(event, (Ended, Failed))]
    assert len(ends) == 1
    assert events[-1] is ends[0]
    return ends[0]
