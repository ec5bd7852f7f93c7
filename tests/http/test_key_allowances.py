"""Which models and which projects a key was given, and that it cannot tell the others from none."""

from __future__ import annotations

from tests.flow.talk import you
from tests.http.loopback import CHAT, SOME_ID, Running, asking, running
from tests.http.test_api_keys import KEYS, holder, make
from tests.http.test_sessions import echoes, say


class TestModels:
    async def test_only_the_listed_ones_under_any_of_their_names(self, gateway: Running) -> None:
        async with holder(gateway, models=["claude-3-5-haiku-20241022", "gpt-4o"]) as client:
            listed = {model["id"] for model in (await client.get("/v1/models")).json()["data"]}
            every = {model["id"] for model in (await gateway.http.get("/v1/models")).json()["data"]}
            assert "claude-3-5-haiku-20241022" in listed
            assert listed < every
            for name, status in (("claude-3-5-haiku-20241022", 200), ("claude-opus-4-20250514", 403)):
                assert (await client.post(CHAT, json={**asking(), "model": name})).status_code == status, name
                assert (await client.get(f"/v1/models/{name}")).status_code == (200 if status == 200 else 404)

    async def test_the_refusal_in_each_dialect(self, gateway: Running) -> None:
        async with holder(gateway, models=["claude-3-5-haiku-20241022"]) as client:
            body = {"model": "claude-opus-4-20250514", "max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}
            answer = await client.post(CHAT, json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (403, "model")
            for path in ("/v1/messages", "/v1/messages/count_tokens"):
                answer = await client.post(path, json=body)
                assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error"), path
        assert gateway.engine.plans == []


class TestProjects:
    async def test_item_12_a_key_uses_the_projects_that_it_was_given_and_sees_no_other(self) -> None:
        async with running(echoes()) as gateway:
            given, other = [
                (await gateway.http.post("/v1/projects", json={"name": name})).json() for name in ("given", "other")
            ]
            async with holder(gateway, projects=[given["id"]]) as client:
                listed = (await client.get("/v1/projects")).json()
                assert [one["id"] for one in listed["data"]] == [given["id"]]
                assert (await client.get(f"/v1/projects/{given['id']}")).json() == given
                answer = await say(gateway, you("a"), client=client, project_id=given["id"])
                assert (answer.status_code, answer.headers["x-project-id"]) == (200, given["id"])
                for method, body in (("GET", None), ("PATCH", {"name": "b"}), ("DELETE", None)):
                    foreign, random = [
                        await client.request(method, f"/v1/projects/{id_}", json=body)
                        if body
                        else await client.request(method, f"/v1/projects/{id_}")
                        for id_ in (other["id"], SOME_ID)
                    ]
                    assert foreign.status_code == 404
                    assert foreign.content == random.content
                    if method != "GET":
                        mine = f"/v1/projects/{given['id']}"
                        answer = await (
                            client.request(method, mine, json=body) if body else client.request(method, mine)
                        )
                        assert answer.status_code == 403
                assert (await say(gateway, you("a"), client=client, project_id=other["id"])).status_code == 404
                assert (await client.post("/v1/projects", json={"name": "c"})).status_code == 403
                assert (await client.post("/v1/sessions", json={"project_id": other["id"]})).status_code == 404
                assert (await client.post("/v1/sessions", json={"project_id": given["id"]})).status_code == 201

    async def test_a_project_that_is_taken_away_is_gone_for_its_sessions_too(self) -> None:
        async with running(echoes()) as gateway:
            given = (await gateway.http.post("/v1/projects", json={"name": "g", "profile": "read"})).json()
            made = await make(gateway, projects=[given["id"]], profile="read")
            async with gateway.client(authorization=f"Bearer {made['key']}") as client:
                answer = await say(gateway, you("a"), client=client, project_id=given["id"])
                session = answer.headers["x-session-id"]
                assert gateway.engine.plans[-1].workplace == given["path"]
                await gateway.http.patch(f"{KEYS}/{made['id']}", json={"projects": []})
                await say(gateway, you("b"), client=client, session=session)
                assert gateway.engine.plans[-1].workplace is None

    async def test_a_deleted_project_leaves_no_session_of_anybodys_in_it(self) -> None:
        async with running(echoes()) as gateway:
            given = (await gateway.http.post("/v1/projects", json={"name": "g"})).json()
            async with holder(gateway, projects=[given["id"]]) as client:
                answer = await say(gateway, you("a"), client=client, project_id=given["id"])
                session = answer.headers["x-session-id"]
                assert (await gateway.http.delete(f"/v1/projects/{given['id']}")).status_code == 200
                assert (await client.get(f"/v1/sessions/{session}")).json()["project_id"] is None
