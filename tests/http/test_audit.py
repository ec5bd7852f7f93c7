"""GET /v1/audit: what was done, for those who manage the gateway."""

from __future__ import annotations

from typing import Any

from claude_code_api.engine.scripted import Step
from claude_code_api.flow.audit_records import START, Chain
from claude_code_api.turn.events import Ended, EndReason, Phase, Started, ToolActivity
from tests.http.loopback import CLAUDE_MODEL, Running, asking, plays, running
from tests.http.test_api_keys import make

AUDIT = "/v1/audit"
SECRET = "what-is-in-the-file"


async def acts(gateway: Running, **query: Any) -> list[tuple[str, dict[str, Any]]]:
    said = (await gateway.http.get(AUDIT, params={"order": "asc", **query})).json()
    return [(one["kind"], one["what"]) for one in said["data"]]


async def test_what_is_done_with_keys_and_projects_is_there() -> None:
    async with running() as gateway:
        key = await make(gateway, profile="read")
        path = f"/v1/keys/{key['id']}"
        await gateway.http.patch(path, json={"profile": "edit", "name": "ci"})
        await gateway.http.post(f"{path}/rotate")
        await gateway.http.delete(path)
        await gateway.http.delete(path)
        made = (await gateway.http.post("/v1/projects", json={"name": "p", "profile": "edit"})).json()
        for patch in ({"trusted": True}, {"name": "q"}, {"trusted": False}, {"profile": "read", "mode": "ask"}):
            answer = await gateway.http.patch(f"/v1/projects/{made['id']}", json=patch)
            assert answer.status_code == 200, answer.text
        session = (await gateway.http.post("/v1/sessions", json={"project_id": made["id"]})).json()
        await gateway.http.post(f"/v1/sessions/{session['id']}/mode", json={"mode": "plan"})
        found = await acts(gateway)
        assert found[0][0] == "key.created"
        assert (found[0][1]["id"], found[0][1]["profile"], found[0][1]["name"]) == (key["id"], "read", "ci")
        assert found[1:] == [
            ("key.changed", {"id": key["id"], "profile": "edit"}),
            ("key.rotated", {"id": key["id"]}),
            ("key.revoked", {"id": key["id"]}),
            ("project.created", {"id": made["id"], "profile": "edit", "mode": "auto", "trusted": False}),
            ("project.changed", {"id": made["id"], "trusted": True}),
            ("project.changed", {"id": made["id"], "trusted": False}),
            ("project.changed", {"id": made["id"], "profile": "read", "mode": "ask"}),
            ("session.changed", {"id": session["id"], "mode": "plan"}),
        ]
        listed = (await gateway.http.get(AUDIT)).text
        assert key["key"] not in listed
        assert {one["key"] for one in (await gateway.http.get(AUDIT)).json()["data"]} == {"tests"}
        page = (await gateway.http.get(AUDIT, params={"limit": 2})).json()
        assert (page["has_more"], page["total"], page["first_id"], page["last_id"]) == (True, 9, "9", "8")
        after = (await gateway.http.get(AUDIT, params={"limit": 2, "after": page["last_id"]})).json()
        assert [one["number"] for one in after["data"]] == [7, 6]
        chain = Chain()
        assert [chain.follow(entry) for entry in await gateway.store.chain(after=0, limit=99)] == [None] * 9
        assert chain.head != START


async def test_it_is_for_administrators() -> None:
    async with running() as gateway:
        key = await make(gateway, scopes=["turns", "manage", "usage", "monitor"])
        async with gateway.client(authorization=f"Bearer {key['key']}") as http:
            assert (await http.get(AUDIT)).status_code == 403


async def test_an_agents_calls_are_there_with_digests_and_not_with_contents() -> None:
    wrote = {"file_path": "/project/a.txt", "content": SECRET}
    steps: list[Step] = [
        Started("t", CLAUDE_MODEL, 1),
        ToolActivity("c1", "Write", Phase.STARTED, wrote),
        ToolActivity("c1", "Write", Phase.ENDED, {"content": SECRET, "is_error": False}),
        ToolActivity("c2", "Bash", Phase.STARTED, {"command": "x" * 1000}),
        Ended(EndReason.STOP),
    ]
    async with running(plays(steps)) as gateway:
        assert (await gateway.http.post("/v1/chat/completions", json=asking())).status_code == 200
        found = await acts(gateway)
        assert [(kind, what["tool_id"]) for kind, what in found] == [
            ("call", "c1"),
            ("call", "c2"),
            ("call.end", "c1"),
            ("call.end", "c2"),
        ]
        assert found[0][1]["shown"] == "/project/a.txt"
        assert found[1][1]["shown"] == "x" * 300
        assert [(what["decision"], what["by"], what["outcome"]) for _, what in found[2:]] == [
            ("allow", "profile", "ended"),
            (None, None, "cut"),
        ]
        assert SECRET not in (await gateway.http.get(AUDIT)).text
