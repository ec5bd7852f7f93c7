"""Two gateways on one database: each leaves alone what the other one does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.http.loopback import Door, running, says, stops_at


async def test_a_turn_of_the_other_one_is_not_ended(tmp_path: Path) -> None:
    door, data = Door(), tmp_path / "data"
    async with running(stops_at(2, door, "whole"), data_dir=data) as first:
        asked = asyncio.create_task(first.post("a"))
        await door.reached.wait()
        async with running(says("yes"), data_dir=data) as second:
            assert await second.gateway.ledger.recover() == 0
            assert (await second.post("b")).status_code == 200
            door.set()
            answer = await asked
        assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "whole")
        (turn,) = await first.store.turns_of(answer.headers["x-session-id"], "tests", from_fence=1)
        assert turn.state.value == "completed"
        assert turn.boot_id == first.store.boot_id
