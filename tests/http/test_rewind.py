"""A rewind and a turn of the same session exclude each other, from before the turn begins until after its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from typing_extensions import override

from claude_code_api.flow.access import Caller
from claude_code_api.flow.checkpoints import Checkpoints
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.records import FileChange
from claude_code_api.flow.sessions import Sessions
from claude_code_api.flow.system_clock import SystemClock
from claude_code_api.storage.before_images import BeforeImageFiles
from claude_code_api.turn.profile import Profile
from tests.http.loopback import CHAT, Door, Running, asking, running, says


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(says("Done."), data_dir=tmp_path) as gateway:
        yield gateway


async def at_work(gateway: Running) -> tuple[str, str]:
    """Make a session in a project, with a turn; returns the ids of both."""
    project = (await gateway.http.post("/v1/projects", json={"name": "p", "profile": "edit"})).json()
    session = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()["id"]
    assert (await ask(gateway, session)) == 200
    said = (await gateway.http.get(f"/v1/sessions/{session}/messages")).json()["data"]
    return session, said[0]["turn_id"]


async def ask(gateway: Running, session: str) -> int:
    answer = await gateway.http.post(CHAT, json=asking("go on"), headers={"x-session-id": session})
    return answer.status_code


class HeldImages(BeforeImageFiles):
    """Images whose restoring waits in the middle."""

    def __init__(self, root: Path, door: Door) -> None:
        super().__init__(root)
        self._door = door

    @override
    async def restore(self, turn_ids: Sequence[str], workplace: Path) -> tuple[FileChange, ...]:
        await self._door.wait()
        return await super().restore(turn_ids, workplace)


async def test_a_turn_that_is_about_to_begin_is_one_that_runs(gateway: Running) -> None:
    session, turn = await at_work(gateway)
    path, body = f"/v1/sessions/{session}/rewind", {"turn_id": turn}
    async with gateway.gateway.ledger.writers.alone(session):
        refused = await gateway.http.post(path, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
        assert (await gateway.http.post(path, json={**body, "dry_run": True})).status_code == 200
    assert (await gateway.http.post(path, json=body)).status_code == 200


async def test_no_turn_begins_while_files_are_put_back(gateway: Running, tmp_path: Path) -> None:
    session, turn = await at_work(gateway)
    caller = Caller("tests", admin=True, highest=Profile.FULL)
    inside, clock = gateway.gateway, SystemClock()
    images = HeldImages(tmp_path / "checkpoints", door := Door())
    sessions = Sessions(gateway.store, inside.runner, images, FlowOptions(), clock)
    checkpoints = Checkpoints(gateway.store, sessions, inside.ledger.writers, images, clock)
    rewinding = asyncio.create_task(checkpoints.rewind(session, caller, turn_id=turn, message_id=None, dry_run=False))
    await door.reached.wait()
    asked = len(gateway.engine.plans)
    asking_again = asyncio.create_task(ask(gateway, session))
    await asyncio.wait([asking_again], timeout=0.3)
    assert not asking_again.done()
    assert len(gateway.engine.plans) == asked
    door.set()
    assert (await rewinding).turn_id == turn
    assert await asking_again == 200
