"""What turns used, added up over HTTP."""

from __future__ import annotations

import datetime as dt

import pytest

from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed
from tests.flow.talk import you
from tests.http.loopback import CLAUDE_MODEL, KEY, Running, plays, running
from tests.http.test_sessions import OTHER_KEY, echoes, get, say

ADMIN_AND_TENANT = Access(
    {digest_of(KEY): Caller("boss", admin=True), digest_of(OTHER_KEY): Caller("tenant", admin=False)}
)


async def test_by_day_and_in_total() -> None:
    async with running(echoes()) as gateway:
        for text in "ab":
            await say(gateway, you(text))
        used = await get(gateway, "/v1/usage")
        numbers = {
            "input_tokens": 24,
            "cached_tokens": 60,
            "cache_creation_tokens": 16,
            "output_tokens": 10,
            "reasoning_tokens": 0,
            "total_tokens": 110,
            "total_cost": 0.5,
        }
        (row,) = used["data"]
        assert row.pop("day") == dt.datetime.now(dt.UTC).date().isoformat()
        assert row == {"turns": 2, "failed_turns": 0, **numbers}
        assert used["total"] == numbers


async def test_by_several_things_at_once() -> None:
    async with running(echoes()) as gateway:
        session = (await say(gateway, you("a"))).headers["x-session-id"]
        await say(gateway, you("b"), session=session)
        await say(gateway, you("c"))
        rows = (await get(gateway, "/v1/usage", group_by="session,model,key"))["data"]
        assert {(row["session"] == session, row["model"], row["key"], row["turns"]) for row in rows} == {
            (True, CLAUDE_MODEL, "tests", 2),
            (False, CLAUDE_MODEL, "tests", 1),
        }
        only = await get(gateway, "/v1/usage", session_id=session)
        assert only["data"][0]["turns"] == 2
        assert (await get(gateway, "/v1/usage", until=1))["data"] == []


async def test_who_manages_the_gateway_sees_everybodys() -> None:
    async with running(echoes(), access=ADMIN_AND_TENANT) as gateway:
        await say(gateway, you("a"))
        async with gateway.client(authorization=f"Bearer {OTHER_KEY}") as tenant:
            await say(gateway, you("b"), client=tenant)
            own = (await tenant.get("/v1/usage", params={"group_by": "key"})).json()["data"]
        assert [row["key"] for row in own] == ["tenant"]
        everybodys = (await get(gateway, "/v1/usage", group_by="key"))["data"]
        assert {row["key"] for row in everybodys} == {"boss", "tenant"}


async def test_failures_are_counted() -> None:
    busy = Failed(TurnError(ErrorKind.UPSTREAM_OVERLOADED, "busy", source="upstream"))
    async with running(plays([busy])) as gateway:
        await say(gateway, you("a"))
        (row,) = (await get(gateway, "/v1/usage"))["data"]
        assert (row["turns"], row["failed_turns"], row["total_tokens"]) == (1, 1, 0)


@pytest.mark.parametrize(("params", "status"), [({"group_by": "week"}, 400), ({"since": "x"}, 422)])
async def test_what_cannot_be_asked(gateway: Running, params: dict[str, str], status: int) -> None:
    assert (await gateway.http.get("/v1/usage", params=params)).status_code == status
