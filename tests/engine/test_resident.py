"""Resident: what its door lets through while its model is being changed, and afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from claude_code_api.engine.door import Door, Terms
from claude_code_api.engine.launch import Home
from claude_code_api.engine.process import CliProcess, ControlRefusedError
from claude_code_api.engine.resident import Resident
from claude_code_api.turn.request import JsonObject
from tests.engine.doors import UVLOOP, Entry, entry, wire

TRY_OUT = b'{"model": "n", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}'
PLACEHOLDER = {"messages": [{"role": "user", "content": "."}]}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return UVLOOP


@dataclass
class TriesOut:
    """A CLI that tries a model out at its door before it changes to it, as often as it is told to."""

    inner: Entry
    times: int = 1
    pid: int = 7

    async def control(self, body: JsonObject) -> dict[str, Any]:
        for _ in range(self.times):
            answer = await self.inner.ask(TRY_OUT)
            if answer.status_code != 200:
                raise ControlRefusedError(answer.text)
            assert answer.json()["usage"]["input_tokens"] == 0
        return {"model": f"{body['model']}[1m]"}


def resident(process: TriesOut, door: Door) -> Resident:
    return Resident(cast(CliProcess, process), Home(Path("/nowhere/at/all")), "m", door, lambda _: None)


@pytest.mark.parametrize("times", [0, 1])
async def test_a_try_out_is_answered_at_the_door_and_nobody_is_asked(tmp_path: Path, times: int) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        changed = resident(TriesOut(inner, times), inner.door)
        assert await changed.change_model("n")
        assert changed.model == "n"
        assert upstream.heads == []
        assert (await inner.ask(TRY_OUT)).status_code == 400, "it is shut until the turn, used or not"
        for model, status in (("m", 400), ("n", 200)):
            inner.door.admit(Terms(fields={"messages": []}))
            assert (await inner.ask(json.dumps({**PLACEHOLDER, "model": model}).encode())).status_code == status
        assert [json.loads(body)["model"] for body in upstream.bodies] == ["n"]


async def test_what_asks_more_than_once_is_not_changed(tmp_path: Path) -> None:
    async with wire(b"ok") as upstream, entry(tmp_path, upstream.url) as inner:
        kept = resident(TriesOut(inner, 2), inner.door)
        assert not await kept.change_model("n")
        assert kept.model == "m"
        assert upstream.heads == []
        assert (await inner.ask(TRY_OUT)).status_code == 400
