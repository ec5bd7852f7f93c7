"""Keys over HTTP: made, shown once, changed, replaced, revoked, and what each of them opens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from claude_code_api.flow.access import digest_of
from claude_code_api.flow.key_records import Scope
from claude_code_api.http.guards import SCOPES
from claude_code_api.http.live_socket import UNAUTHORIZED
from claude_code_api.storage.opening import open_store
from claude_code_api.storage.options import StorageOptions
from tests.flow.talk import you
from tests.http.loopback import CHAT, SOME_ID, Running, asking, every_route, filled, running
from tests.http.test_live import socket, told_until
from tests.http.test_sessions import echoes, say

KEYS = "/v1/keys"
# Of a key that was just made with nothing but a name.
USUAL = {
    "object": "key",
    "name": "ci",
    "scopes": ["turns", "manage", "usage"],
    "projects": None,
    "models": None,
    "profile": "chat",
    "requests_per_minute": 100,
    "burst": 10,
    "concurrent_turns": 4,
    "queue": 16,
    "budget_usd": None,
    "budget_usd_per_day": None,
    "budget_tokens": None,
    "budget_tokens_per_day": None,
    "created_by": "tests",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}


async def make(gateway: Running, name: str = "ci", **more: Any) -> dict[str, Any]:
    answer = await gateway.http.post(KEYS, json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def guarded_routes(gateway: Running) -> list[tuple[str, str, list[Scope | None]]]:
    """Every method and path of the router, with the scopes that it asks for. (A WebSocket, which is in no list of
    methods, hears the key when the connection stands: see `test_live.py`.)"""
    found = []
    for route in every_route(gateway.routes.routes):
        for method in sorted(route.methods or ()):
            scopes = [SCOPES[guard.call] for guard in route.dependant.dependencies if guard.call in SCOPES]
            found.append((method, str(route.path), scopes))
    return found


@asynccontextmanager
async def holder(gateway: Running, name: str = "ci", **more: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with a key of its own."""
    made = await make(gateway, name, **more)
    async with gateway.client(authorization=f"Bearer {made['key']}") as client:
        yield client


class TestMaking:
    async def test_the_key_is_told_once(self, gateway: Running) -> None:
        made = await make(gateway)
        key, key_id = made.pop("key"), made.pop("id")
        assert isinstance(made.pop("created_at"), int)
        assert made == USUAL
        assert key.startswith("cca-")
        assert len(key) >= 4 + 43, "256 random bits"
        listed = (await gateway.http.get(KEYS)).json()
        assert [one["id"] for one in listed["data"]] == [key_id]
        one = await gateway.http.get(f"{KEYS}/{key_id}")
        assert key not in one.text
        assert "key" not in one.json()

    async def test_item_02_the_database_and_the_log_hold_only_its_hash(self, tmp_path: Path) -> None:
        async with running(data_dir=tmp_path / "data") as gateway:
            made = await make(gateway)
            async with gateway.client(authorization=f"Bearer {made['key']}") as client:
                assert (await client.post(CHAT, json=asking())).status_code == 200
            assert made["key"] not in gateway.logs.getvalue()
        files = {file: file.read_bytes() for file in (tmp_path / "data").glob("gateway.db*")}
        assert any(digest_of(made["key"]) in content for content in files.values())
        assert not any(made["key"].encode() in content for content in files.values())

    async def test_everything_that_can_be_said_of_one(self, gateway: Running) -> None:
        wanted: dict[str, Any] = {
            "name": "everything",
            "scopes": ["usage", "turns"],
            "projects": [SOME_ID],
            "models": ["haiku"],
            "profile": "edit",
            "requests_per_minute": 7,
            "burst": 3,
            "concurrent_turns": 2,
            "queue": 0,
            "budget_usd": 1.5,
            "budget_usd_per_day": 0.25,
            "budget_tokens": 1000,
            "budget_tokens_per_day": 100,
            "expires_at": 4_000_000_000,
        }
        made = await make(gateway, **wanted)
        assert {name: made[name] for name in wanted} == wanted | {"scopes": ["turns", "usage"]}
        assert (await gateway.http.get(f"{KEYS}/{made['id']}")).json().items() <= made.items()

    @pytest.mark.parametrize(
        ("wanted", "field"),
        [
            ({}, "name"),
            ({"name": ""}, "name"),
            ({"name": "a", "scopes": []}, "scopes"),
            ({"name": "a", "scopes": ["root"]}, "scopes.0"),
            ({"name": "a", "models": []}, "models"),
            ({"name": "a", "profile": "god"}, "profile"),
            ({"name": "a", "burst": 0}, "burst"),
            ({"name": "a", "budget_usd": -1}, "budget_usd"),
            ({"name": "a", "budget_tokens": 1.5}, "budget_tokens"),
            ({"name": "a", "request_per_minute": 5}, "request_per_minute"),
        ],
    )
    async def test_what_is_wrong_is_named(self, gateway: Running, wanted: dict[str, Any], field: str) -> None:
        answer = await gateway.http.post(KEYS, json=wanted)
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
        assert (await gateway.http.get(KEYS)).json()["total"] == 0

    async def test_one_that_is_over_already_is_not_made(self, gateway: Running) -> None:
        answer = await gateway.http.post(KEYS, json={"name": "a", "expires_at": 1_000_000_000})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "expires_at")

    async def test_the_body_is_a_short_one(self, gateway: Running) -> None:
        answer = await gateway.http.post(KEYS, json={"name": "a" * 70_000})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        assert "64 KiB" in answer.json()["error"]["message"]

    async def test_nobody_gives_more_than_he_has(self, gateway: Running) -> None:
        async with holder(gateway, scopes=["admin"], profile="read") as admin:
            for wanted, status in (("read", 201), ("chat", 201), ("edit", 403), ("full", 403)):
                answer = await admin.post(KEYS, json={"name": "a", "profile": wanted})
                assert answer.status_code == status, wanted
            made = (await admin.get(KEYS)).json()["data"][0]
            assert (await admin.patch(f"{KEYS}/{made['id']}", json={"profile": "full"})).status_code == 403

    async def test_pages(self, gateway: Running) -> None:
        made = [(await make(gateway, name))["id"] for name in "abc"]
        first = (await gateway.http.get(KEYS, params={"limit": 2})).json()
        assert ([one["id"] for one in first["data"]], first["has_more"], first["total"]) == (made[:0:-1], True, 3)
        rest = (await gateway.http.get(KEYS, params={"after": first["last_id"]})).json()
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (made[:1], False)


class TestChanging:
    async def test_a_change_holds_at_once(self, gateway: Running) -> None:
        made = await make(gateway)
        async with gateway.client(authorization=f"Bearer {made['key']}") as client:
            assert (await client.get("/v1/sessions")).status_code == 200
            changed = await gateway.http.patch(f"{KEYS}/{made['id']}", json={"scopes": ["turns"], "name": "new"})
            assert (changed.json()["scopes"], changed.json()["name"], changed.json()["burst"]) == (["turns"], "new", 10)
            assert (await client.get("/v1/sessions")).status_code == 403
            assert (await client.post(CHAT, json=asking())).status_code == 200

    async def test_null_takes_a_limit_away(self, gateway: Running) -> None:
        made = await make(gateway, budget_usd=3, models=["haiku"])
        wanted: dict[str, Any] = {"budget_usd": None, "models": None, "queue": None}
        changed = (await gateway.http.patch(f"{KEYS}/{made['id']}", json=wanted)).json()
        assert {name: changed[name] for name in wanted} == wanted
        assert changed["requests_per_minute"] == 100

    async def test_the_name_is_not_taken_away(self, gateway: Running) -> None:
        made = await make(gateway)
        wrong: list[dict[str, Any]] = [
            {"name": None},
            {"name": ""},
            {"scopes": None},
            {"scopes": []},
            {"profile": None},
        ]
        for wanted in wrong:
            assert (await gateway.http.patch(f"{KEYS}/{made['id']}", json=wanted)).status_code == 422, wanted

    async def test_revoked_is_for_ever(self, gateway: Running) -> None:
        made = await make(gateway)
        async with gateway.client(authorization=f"Bearer {made['key']}") as client:
            session = (await say(gateway, you("mine"), client=client)).headers["x-session-id"]
            revoked = await gateway.http.delete(f"{KEYS}/{made['id']}")
            assert isinstance(revoked.json()["revoked_at"], int)
            answer = await client.get("/v1/sessions")
            async with gateway.client(authorization="Bearer cca-nobodys") as nobody:
                assert answer.content == (await nobody.get("/v1/sessions")).content, "as a key that never was"
        assert (await gateway.http.delete(f"{KEYS}/{made['id']}")).json() == revoked.json()
        assert (await gateway.http.patch(f"{KEYS}/{made['id']}", json={"name": "b"})).status_code == 409
        assert (await gateway.http.post(f"{KEYS}/{made['id']}/rotate")).status_code == 409
        assert (await gateway.http.get(KEYS)).json()["data"] == []
        assert (await gateway.http.get(KEYS, params={"revoked": "true"})).json()["total"] == 1
        assert (await gateway.http.get(f"/v1/sessions/{session}")).status_code == 404, "its sessions are nobody's"

    async def test_another_key_in_its_place_has_the_same_sessions(self, gateway: Running) -> None:
        made = await make(gateway)
        async with gateway.client(authorization=f"Bearer {made['key']}") as old:
            session = (await say(gateway, you("mine"), client=old)).headers["x-session-id"]
            rotated = (await gateway.http.post(f"{KEYS}/{made['id']}/rotate")).json()
            assert rotated["id"] == made["id"]
            assert rotated["key"] != made["key"]
            assert (await old.get(f"/v1/sessions/{session}")).status_code == 401
        async with gateway.client(authorization=f"Bearer {rotated['key']}") as new:
            assert (await new.get(f"/v1/sessions/{session}")).status_code == 200

    async def test_one_that_does_not_exist(self, gateway: Running) -> None:
        path = f"{KEYS}/{SOME_ID}"
        answers = [
            await gateway.http.get(path),
            await gateway.http.patch(path, json={}),
            await gateway.http.delete(path),
            await gateway.http.post(f"{path}/rotate"),
        ]
        assert [answer.status_code for answer in answers] == [404] * 4

    async def test_nobody_takes_a_key_that_may_more_than_his_own(self, gateway: Running) -> None:
        strong = await make(gateway, profile="full")
        weak = await make(gateway, profile="edit")
        async with holder(gateway, scopes=["admin"], profile="edit") as client:
            assert (await client.post(KEYS, json={"name": "x", "profile": "full"})).status_code == 403
            # Whoever rotates a key holds it afterwards.
            refused = await client.post(f"{KEYS}/{strong['id']}/rotate")
            assert (refused.status_code, refused.json()["error"]["param"]) == (403, "profile")
            assert (await client.post(f"{KEYS}/{weak['id']}/rotate")).status_code == 200
        async with gateway.client(authorization=f"Bearer {strong['key']}") as client:
            assert (await client.get("/v1/sessions")).status_code == 200

    async def test_when_it_was_used_is_written_behind_the_requests(self, gateway: Running) -> None:
        made = await make(gateway)
        async with gateway.client(authorization=f"Bearer {made['key']}") as client:
            await client.get("/v1/sessions")
        assert (await gateway.http.get(f"{KEYS}/{made['id']}")).json()["last_used_at"] is None
        await gateway.gateway.upkeep.round()
        assert isinstance((await gateway.http.get(f"{KEYS}/{made['id']}")).json()["last_used_at"], int)


class TestScopes:
    async def test_every_route_has_one(self, gateway: Running) -> None:
        """Taken from the router: a new route without a guard, or with one that says nothing, is found here."""
        without = [path for _, path, scopes in guarded_routes(gateway) if len(scopes) != 1]
        assert without == ["/healthz"]

    @pytest.mark.parametrize("scope", list(Scope))
    async def test_a_key_opens_what_it_is_for(self, gateway: Running, scope: Scope) -> None:
        async with holder(gateway, scopes=[scope.value], requests_per_minute=None, burst=None) as client:
            for method, path, scopes in guarded_routes(gateway):
                body: dict[str, Any] = {"json": {}} if method in ("POST", "PATCH") else {}
                answer = await client.request(method, filled(path), **body)
                opened = scope is Scope.ADMIN or all(needed in (None, scope) for needed in scopes)
                assert (answer.status_code != 403) == opened, (method, path, answer.text)
                assert answer.status_code != 401

    async def test_what_is_refused_is_said_in_the_dialects_shape(self, gateway: Running) -> None:
        async with holder(gateway, scopes=["usage"]) as client:
            message = "This key does not open this: it needs the scope 'turns'."
            openais = {"message": message, "type": "permission_error", "param": None, "code": "forbidden"}
            assert (await client.post(CHAT, json=asking())).json() == {"error": openais}
            said = (await client.post("/v1/messages", json={})).json()
            assert (said["type"], said["error"]) == ("error", {"type": "permission_error", "message": message})

    async def test_a_tenant_sees_its_own_usage_and_an_admin_everybodys(self) -> None:
        async with running(echoes()) as gateway, holder(gateway) as one, holder(gateway, scopes=["admin"]) as admin:
            await say(gateway, you("a"), client=one)
            await say(gateway, you("b"))
            assert (await one.get("/v1/usage")).json()["data"][0]["turns"] == 1
            rows = (await admin.get("/v1/usage", params={"group_by": "key"})).json()["data"]
            assert sorted(row["turns"] for row in rows) == [1, 1]


class TestExpiry:
    async def test_it_opens_until_then(self, gateway: Running) -> None:
        made = await make(gateway, expires_at=4_000_000_000)
        async with gateway.client(authorization=f"Bearer {made['key']}") as client:
            assert (await client.get("/v1/sessions")).status_code == 200
            # What the API would refuse, time brings about.
            await gateway.store.change_key(made["id"], {"expires_s": 1_000_000_000})
            gateway.gateway.keys.forget()
            assert (await client.get("/v1/sessions")).status_code == 401


class TestOtherProcesses:
    async def test_what_another_process_changes_holds_without_being_told(self, tmp_path: Path) -> None:
        """Nothing tells this gateway. (How soon it looks again: `tests/flow/test_stored_keys.py`.)"""
        async with running(data_dir=tmp_path / "data") as gateway:
            made = await make(gateway)
            async with gateway.client(authorization=f"Bearer {made['key']}") as client:
                assert (await client.get("/v1/sessions")).status_code == 200
                async with open_store(StorageOptions(data_dir=tmp_path / "data")) as elsewhere:
                    await elsewhere.revoke_key(made["id"], now_s=1.0)
                while (await client.get("/v1/sessions")).status_code == 200:
                    pass
                assert (await client.get("/v1/sessions")).status_code == 401


class TestWebSocket:
    async def test_a_revoked_key_ends_the_conversation(self, gateway: Running) -> None:
        made = await make(gateway)
        async with socket(gateway, key=made["key"]) as connection:
            await connection.send("hi")
            await told_until(connection, "complete")
            await gateway.http.delete(f"{KEYS}/{made['id']}")
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == UNAUTHORIZED

    async def test_it_needs_the_scope_of_turns(self, gateway: Running) -> None:
        made = await make(gateway, scopes=["manage"])
        async with socket(gateway, key=made["key"]) as connection:
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
        assert closed.value.rcvd is not None
        assert "turns" in closed.value.rcvd.reason

    async def test_prompts_count(self, gateway: Running) -> None:
        made = await make(gateway, requests_per_minute=1)
        async with socket(gateway, key=made["key"]) as connection:
            await connection.send("one")
            await told_until(connection, "complete")
            await connection.send("two")
            (*_, told) = await told_until(connection, "error")
        assert told["code"] == "rate_limited"
