"""The engines that are held to the same behaviours: what a model does, said in one way for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.prove import NOTHING_PROVED, Proof
from claude_code_api.engine.scripted import AskFor, ScriptedEngine, Step, WaitFor
from claude_code_api.flow.ports import Engine, Lease, Plan
from claude_code_api.standin import Answer, Break, Gate, StandIn, Text, ToolUse, calls, fails
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import (
    ApprovalWanted,
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    TurnEvent,
    Usage,
)
from claude_code_api.turn.request import JsonObject, TextBlock

MODEL = "claude-haiku-4-5"


class Stage(Protocol):
    """An engine, and a model behind it that answers by the words of the question (see `Role`)."""

    engine: Engine
    # Where an agent can be at work.
    workplace: Path

    @property
    def asked(self) -> int:
        """How often the model has been asked."""
        ...

    async def wait_until_held(self) -> None:
        """Return once a turn waits in the middle of its answer."""
        ...

    def let_go(self) -> None:
        """Let the turns that wait go on."""
        ...

    async def model_stopped(self) -> None:
        """Return once the model no longer works on anything."""
        ...


class Role:
    """Questions, each with its one answer."""

    SAYS = "say hello"  # hel·lo
    HOLDS = "hold on"  # hel, then waits until it is let go, lo
    LONG = "say a lot"  # 600 pieces of 1,000 characters
    NOTHING = "say nothing"
    TOO_LONG = "never end"  # a, and a stop for length
    FAILS = "fail"  # 529 before anything
    BREAKS = "break"  # hel, and then the upstream is too busy
    WRITES = "write a file"  # wants to write one, and says "written" or "not written", as it was allowed or denied


# What a person says who denies that.
NO = "rather not"


def words_of(plan: Plan) -> str:
    (block,) = plan.request.messages[-1].blocks
    assert isinstance(block, TextBlock)
    return block.text


class Scripted:
    """ScriptedEngine as such a stage."""

    def __init__(self, directory: Path) -> None:
        self.workplace = directory
        self._gate, self._held = asyncio.Event(), asyncio.Event()
        self.scripted = ScriptedEngine(self._script, count=lambda plan: len(words_of(plan)))
        self.engine: Engine = self.scripted

    def _script(self, plan: Plan) -> Sequence[Step]:
        started = Started(plan.turn_id, plan.model, plan.created_s)
        busy = Failed(TurnError(ErrorKind.UPSTREAM_OVERLOADED, "busy", source="upstream"))
        opened: list[Step] = [started, PartStarted(0, PartKind.TEXT)]
        closed: list[Step] = [PartEnded(0), Usage(1, 2), Ended(EndReason.STOP)]
        hel, lo = PartDelta(0, "hel"), PartDelta(0, "lo")
        words = words_of(plan)
        if words == Role.HOLDS:
            self._held.set()
        scripts: dict[str, list[Step]] = {
            Role.HOLDS: [*opened, hel, WaitFor(self._gate), lo, *closed],
            Role.LONG: [*opened, *[PartDelta(0, "x" * 1000)] * 600, *closed],
            Role.NOTHING: [started, *closed[1:]],
            Role.TOO_LONG: [*opened, PartDelta(0, "a"), *closed[:2], Ended(EndReason.LENGTH)],
            Role.FAILS: [busy],
            Role.BREAKS: [*opened, hel, busy],
            Role.WRITES: [started, self._question(plan), *closed[1:]],
        }
        return scripts.get(words, [*opened, hel, lo, *closed])

    def _question(self, plan: Plan) -> AskFor:
        def says(text: str) -> list[TurnEvent]:
            return [PartStarted(0, PartKind.TEXT), PartDelta(0, text), PartEnded(0)]

        arguments: JsonObject = {"file_path": str(self.workplace / "out.txt"), "content": "new\n"}
        wanted = ApprovalWanted(f"of {plan.turn_id}", "toolu_1", "Write", arguments, {"kind": "diff"}, "Write")
        return AskFor(wanted, says("written"), says("not written"))

    @property
    def asked(self) -> int:
        return len(self.scripted.plans)

    async def wait_until_held(self) -> None:
        await self._held.wait()

    def let_go(self) -> None:
        self._gate.set()

    async def model_stopped(self) -> None:
        assert self.scripted.running == 0


class Real:
    """ClaudeEngine over the stand-in as such a stage."""

    def __init__(self, upstream: StandIn, directory: Path) -> None:
        self._upstream = upstream
        directory.mkdir()
        self.workplace = directory.parent / "project"
        self.workplace.mkdir()
        options = EngineOptions(anthropic_base_url=upstream.base_url, upstream_retries=0)
        site = Site(find_binary(EngineOptions(), directory), Credentials(api_key="sk-ant-made-up"), directory)
        self.real = ClaudeEngine(options, site)
        self.engine: Engine = self.real
        for words, answer in {
            Role.HOLDS: Answer((Text(pieces=("hel", Gate("held"), "lo")),)),
            Role.LONG: Answer((Text("x" * 600_000, pieces=1000),)),
            Role.NOTHING: Answer(()),
            Role.TOO_LONG: Answer((Text("a"),), stop_reason="max_tokens"),
            Role.FAILS: fails(529),
            Role.BREAKS: Answer((Text(pieces=("hel", Break("error"))),)),
            Role.WRITES: calls(
                ToolUse("toolu_1", "Write", {"file_path": str(self.workplace / "out.txt"), "content": "new\n"})
            ),
            "File created": Answer((Text("written"),)),
            NO: Answer((Text("not written"),)),
            "could not put this call on record": Answer((Text("not written"),)),
        }.items():
            upstream.when(words, answer)
        upstream.always(Answer((Text(pieces=("hel", "lo")),)))

    @property
    def asked(self) -> int:
        return len(self._upstream.messages)

    async def wait_until_held(self) -> None:
        await asyncio.to_thread(self._upstream.wait_at_gate, "held")

    def let_go(self) -> None:
        self._upstream.release("held")

    async def model_stopped(self) -> None:
        for record in self._upstream.received:
            await asyncio.to_thread(self._upstream.wait_closed, record.index)


Opening = Callable[[Path], AbstractAsyncContextManager[Stage]]


@asynccontextmanager
async def scripted(directory: Path) -> AsyncIterator[Stage]:
    yield Scripted(directory)


@asynccontextmanager
async def real(directory: Path) -> AsyncIterator[Stage]:
    """A process of its own for each turn."""
    async with _real(directory, NOTHING_PROVED) as stage:
        yield stage


@asynccontextmanager
async def warm(directory: Path) -> AsyncIterator[Stage]:
    """Processes that go from turn to turn."""
    async with _real(directory, Proof({"all": True})) as stage:
        yield stage


@asynccontextmanager
async def ahead(directory: Path) -> AsyncIterator[Stage]:
    """The same, each of them on its way before it is known what it is to ask."""
    async with _real(directory, Proof({"all": True})) as stage:
        stage.engine = Ahead(stage.real)
        yield stage


class Ahead:
    """An engine whose turns begin as the gateway begins them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Lease]:
        async with AsyncExitStack() as stack:
            begun = await stack.enter_async_context(self._engine.ahead(plan.principal, plan.model))
            yield await stack.enter_async_context(self._engine.lease(replace(plan, ahead=begun)))


@asynccontextmanager
async def _real(directory: Path, proof: Proof) -> AsyncIterator[Real]:
    with StandIn(pace_ms=0) as upstream:
        stage = Real(upstream, directory / "run")
        stage.real.trust(proof)
        try:
            yield stage
        finally:
            await stage.real.close()
        assert stage.real.live == 0
        assert list((directory / "run").iterdir()) == []
