"""A key that is revoked while its requests wait begins nothing any more."""

from __future__ import annotations

import asyncio

import pytest

from claude_code_api.flow import places
from tests.http.loopback import CHAT, Door, asking, running, stops_at
from tests.http.test_api_keys import KEYS, make


@pytest.mark.parametrize("revoked", [True, False])
async def test_who_waits_for_a_place_has_to_have_his_key_still(monkeypatch: pytest.MonkeyPatch, revoked: bool) -> None:
    # However short the wait: half a second of it is within what a revocation may take.
    monkeypatch.setattr(places, "FRESH_S", 0.0)
    door = Door()
    async with running(stops_at(2, door, "a")) as gateway:
        made = await make(gateway, concurrent_turns=1)
        async with gateway.client(authorization=f"Bearer {made['key']}") as client:
            runs = asyncio.create_task(client.post(CHAT, json=asking("one")))
            await door.reached.wait()
            waits = asyncio.create_task(client.post(CHAT, json=asking("two")))
            while not gateway.runner.admission.waiting:
                await asyncio.wait([waits], timeout=0.01)
            if revoked:
                assert (await gateway.http.delete(f"{KEYS}/{made['id']}")).status_code == 200
            door.set()
            # What ran comes to its end.
            assert (await runs).status_code == 200
            answer = await waits
    assert answer.status_code == (401 if revoked else 200)
    assert len(gateway.engine.plans) == (1 if revoked else 2)
    if revoked:
        assert answer.json()["error"]["code"] == "invalid_api_key"
