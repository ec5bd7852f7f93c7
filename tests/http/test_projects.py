"""Projects over HTTP: they have a directory of their own, and sessions can belong to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flow.talk import you
from tests.http.loopback import SOME_ID, Running, running
from tests.http.test_sessions import OTHER_KEY, TWO_TENANTS, echoes, get, say


def modes(path: Path) -> tuple[int, int]:
    """Of a directory and the one that it is in."""
    assert path.is_dir()
    return path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777


def exists(path: str | Path) -> bool:
    return Path(path).exists()


async def make(gateway: Running, name: str = "a project", **more: Any) -> dict[str, Any]:
    answer = await gateway.http.post("/v1/projects", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_it_has_a_private_directory_of_its_own(gateway: Running) -> None:
    made = await make(gateway, "../../etc", description="notes")
    path = Path(made["path"])
    assert path.is_absolute()
    assert path.name == made["id"], "the name of the directory is ours"
    assert modes(path) == (0o700, 0o700)
    times = {made.pop("created_at"), made.pop("updated_at")}
    assert all(isinstance(value, int) for value in times)
    assert made == {
        "id": path.name,
        "object": "project",
        "name": "../../etc",
        "description": "notes",
        "path": str(path),
        "profile": "chat",
        "mode": "auto",
        "trusted": False,
        "is_active": True,
    }
    assert (await get(gateway, f"/v1/projects/{path.name}"))["name"] == "../../etc"


async def test_it_is_changed(gateway: Running) -> None:
    made = await make(gateway)
    wanted = {"name": "other", "description": "d", "is_active": False}
    changed = (await gateway.http.patch(f"/v1/projects/{made['id']}", json=wanted)).json()
    assert {name: changed[name] for name in wanted} == wanted
    assert (await gateway.http.patch(f"/v1/projects/{made['id']}", json={})).json()["name"] == "other"


async def test_pages_and_search(gateway: Running) -> None:
    made = [(await make(gateway, f"project {n}"))["id"] for n in range(5)]
    first = await get(gateway, "/v1/projects", limit=2)
    assert ([one["id"] for one in first["data"]], first["has_more"], first["total"]) == (made[:2:-1], True, 5)
    rest = await get(gateway, "/v1/projects", limit=100, after=first["last_id"])
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (made[2::-1], False)
    assert [one["name"] for one in (await get(gateway, "/v1/projects", search="ECT 3"))["data"]] == ["project 3"]


async def test_a_session_belongs_to_it() -> None:
    async with running(echoes()) as gateway:
        project = (await make(gateway))["id"]
        answer = await say(gateway, you("a"), project_id=project)
        session = answer.headers["x-session-id"]
        assert answer.headers["x-project-id"] == project
        assert (await get(gateway, f"/v1/sessions/{session}"))["project_id"] == project
        again = await say(gateway, you("b"), session=session)
        assert again.headers["x-project-id"] == project
        other = (await make(gateway))["id"]
        moved = await say(gateway, you("c"), session=session, project_id=other)
        assert moved.headers["x-project-id"] == other
        assert [one["id"] for one in (await get(gateway, "/v1/sessions", project_id=other))["data"]] == [session]
        assert (await get(gateway, "/v1/sessions", project_id=project))["data"] == []
        used = {row["project"]: row["turns"] for row in (await get(gateway, "/v1/usage", group_by="project"))["data"]}
        assert used == {project: 2, other: 1}


async def test_one_that_is_not_there_is_refused_before_anything_is_kept() -> None:
    async with running(echoes()) as gateway:
        answer = await say(gateway, you("a"), project_id=SOME_ID)
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "project_id")
        made = await gateway.http.post("/v1/sessions", json={"project_id": SOME_ID})
        assert made.status_code == 404
        assert (await get(gateway, "/v1/sessions"))["total"] == 0


class TestDeleting:
    async def test_an_empty_directory_goes_with_it(self, gateway: Running) -> None:
        made = await make(gateway)
        gone = await gateway.http.delete(f"/v1/projects/{made['id']}")
        assert gone.json() == {"id": made["id"], "object": "project.deleted", "deleted": True}
        assert not exists(made["path"])
        assert (await gateway.http.get(f"/v1/projects/{made['id']}")).status_code == 404

    async def test_what_becomes_of_files_has_to_be_said(self, gateway: Running, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "kept").write_text("x")
        for files, left in [("keep", True), ("delete", False)]:
            made = await make(gateway)
            path = Path(made["path"])
            (path / "file").write_text("x")
            (path / "link").symlink_to(outside)
            url = f"/v1/projects/{made['id']}"
            refused = await gateway.http.delete(url)
            assert (refused.status_code, refused.json()["error"]["param"]) == (409, "files")
            assert (await gateway.http.delete(url, params={"files": "burn"})).status_code == 422
            assert (await gateway.http.delete(url, params={"files": files})).status_code == 200
            assert exists(path) is left
            assert exists(outside / "kept"), "a link is removed, not what it leads to"

    async def test_its_sessions_stay(self) -> None:
        async with running(echoes()) as gateway:
            project = (await make(gateway))["id"]
            session = (await say(gateway, you("a"), project_id=project)).headers["x-session-id"]
            await gateway.http.delete(f"/v1/projects/{project}")
            assert (await get(gateway, f"/v1/sessions/{session}"))["project_id"] is None
            again = await say(gateway, you("b"), session=session)
            assert again.headers["x-session-id"] == session
            assert "x-project-id" not in again.headers


async def test_somebody_elses_is_like_an_unknown_one() -> None:
    async with running(echoes(), access=TWO_TENANTS) as gateway:
        made = await make(gateway)
        async with gateway.client(authorization=f"Bearer {OTHER_KEY}") as other:
            for method in ("GET", "PATCH", "DELETE"):
                body: dict[str, Any] | None = {} if method == "PATCH" else None
                foreign = await other.request(method, f"/v1/projects/{made['id']}", json=body)
                unknown = await other.request(method, f"/v1/projects/{SOME_ID}", json=body)
                assert (foreign.status_code, foreign.content) == (404, unknown.content)
            assert (await other.get("/v1/projects")).json()["total"] == 0
            taken = await other.post("/v1/sessions", json={"project_id": made["id"]})
            assert taken.status_code == 404
        assert exists(made["path"])


async def test_a_key_cannot_give_its_agents_more_than_it_has() -> None:
    async with running(echoes(), access=TWO_TENANTS) as gateway:
        refused = await gateway.http.post("/v1/projects", json={"name": "p", "profile": "edit"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (403, "profile")
        made = await make(gateway, "p")
        changed = await gateway.http.patch(f"/v1/projects/{made['id']}", json={"profile": "full"})
        assert changed.status_code == 403
        assert (await get(gateway, f"/v1/projects/{made['id']}"))["profile"] == "chat"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a", "path": "/etc"}, "path"),
        ({"name": "a", "profile": "root"}, "profile"),
        ({"name": "a", "mode": "root"}, "mode"),
        ({"name": "a", "description": 5}, "description"),
    ],
)
async def test_what_is_not_right_is_named(gateway: Running, body: dict[str, Any], field: str) -> None:
    answer = await gateway.http.post("/v1/projects", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
