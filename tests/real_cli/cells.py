"""Agents of every profile on the real CLI, in a jail where they need one; and what became of their calls."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.jail import jail_support
from claude_code_api.engine.launch import profile_flags
from claude_code_api.engine.modes import tools_in
from claude_code_api.engine.options import Credentials, EngineOptions, JailSupport, Site
from claude_code_api.flow.ports import Lease, Plan
from claude_code_api.standin import Answer, StandIn, ToolUse, calls, says
from claude_code_api.turn.events import PartKind, TurnEvent
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult, fold
from tests.real_cli.rig import KEY, MODEL


def jail_here() -> JailSupport:
    """The jail of this machine. Without one, tests skip with the reason, but never where CI promises one."""
    support = jail_support(find_binary(EngineOptions(), Path("/nowhere")), Path("/nowhere"))
    if support.program is None:
        if os.environ.get("CI"):
            pytest.fail(f"no jail in CI, where there has to be one: {support.reason}")
        pytest.skip(f"no jail here: {support.reason}")
    return support


@dataclass(frozen=True)
class Done:
    """A turn that is over: its answer, and what the model was told of each call."""

    result: TurnResult
    results: Mapping[str, Any]
    bodies: Sequence[Any]
    offered: frozenset[str]

    @property
    def text(self) -> str:
        return self.result.text_of(PartKind.TEXT)

    def told(self, tool_id: str) -> str:
        """What came of a call, as text."""
        content = self.results[tool_id]["content"]
        return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)

    def denied(self, tool_id: str) -> bool:
        return bool(self.results[tool_id].get("is_error"))


@dataclass
class Cells:
    """An engine whose agents can be locked in."""

    engine: ClaudeEngine
    upstream: StandIn
    directory: Path
    history: list[Message] = field(default_factory=list)

    def place(self, name: str = "project") -> Path:
        """Make a project's directory."""
        place = self.directory / name
        place.mkdir(exist_ok=True)
        return place

    def plan(self, place: Path, profile: Profile, text: str = "go", **more: Any) -> Plan:
        said = (*self.history, Message("user", (TextBlock(text),)))
        request = TurnRequest(MODEL, said)
        return Plan(str(uuid.uuid4()), 1, MODEL, request, workplace=str(place), profile=profile, **more)

    @asynccontextmanager
    async def leased(self, place: Path, profile: Profile, *played: Answer, **more: Any) -> AsyncIterator[Lease]:
        self.upstream.play(*played)
        async with self.engine.lease(self.plan(place, profile, **more)) as lease:
            yield lease

    async def turn(self, place: Path, profile: Profile, *uses: ToolUse, **more: Any) -> Done:
        """One turn in which the model makes these calls at once, and then answers."""
        before = len(self.upstream.messages)
        played = [calls(*uses), says("done")] if uses else [says("done")]
        events: list[TurnEvent] = []
        async with self.leased(place, profile, *played, **more) as lease:
            async for batch in lease.batches():
                events.extend(batch)
        bodies: list[Any] = [record.body for record in self.upstream.messages[before:]]
        blocks = [b for m in bodies[-1]["messages"] if isinstance(m["content"], list) for b in m["content"]]
        results = {b["tool_use_id"]: b for b in blocks if b["type"] == "tool_result"}
        offered = frozenset(tool["name"] for tool in bodies[0].get("tools", []))
        return Done(fold(events), results, bodies, offered)

    @staticmethod
    def tools(profile: Profile) -> frozenset[str]:
        """What a profile has."""
        return tools_in(profile_flags(profile))

    async def apart(self, place: Path, profile: Profile, *uses: ToolUse) -> str:
        """A turn among others that run at the same time; returns everything that the model was told in it."""
        name = f"turn in {place}"
        self.upstream.when(name, calls(*uses), says("done"))
        async with self.engine.lease(self.plan(place, profile, name)) as lease:
            async for _ in lease.batches():
                pass
        bodies = [json.dumps(record.body) for record in self.upstream.messages]
        return "\n".join(body for body in bodies if name in body).replace(name, "")

    async def bash(self, place: Path, command: str, profile: Profile = Profile.FULL, **more: Any) -> str:
        """What a command says, run by the agent."""
        return (await self.turn(place, profile, ToolUse("toolu_1", "Bash", {"command": command}), **more)).told(
            "toolu_1"
        )


@asynccontextmanager
async def cells(
    directory: Path, upstream: StandIn, *, jail: JailSupport, key: str = KEY, **more: Any
) -> AsyncIterator[Cells]:
    """Hold an engine; `more` are its options."""
    wanted = {"full_profile": True, "upstream_retries": 0, "silence_s": 15.0, **more}
    options = EngineOptions(anthropic_base_url=upstream.base_url, **wanted)
    run = directory / "run"
    run.mkdir(exist_ok=True)
    site = Site(find_binary(options, Path("/nowhere")), Credentials(api_key=key), run, jail=jail)
    engine = ClaudeEngine(options, site)
    try:
        yield Cells(engine, upstream, directory)
    finally:
        await engine.close()
    assert engine.live == 0
