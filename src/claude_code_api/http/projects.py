"""/v1/projects."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from claude_code_api.flow.records import ProjectPatch
from claude_code_api.flow.sessions import Projects
from claude_code_api.http.guarded_route import GuardedRoute
from claude_code_api.http.guards import GuardedCaller
from claude_code_api.http.said import list_json, project_json
from claude_code_api.http.wanted import ChangedProject, NewProject, ProjectsWanted


def project_routes(projects: Projects) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/projects", tags=["projects"], route_class=GuardedRoute)

    @router.get("")
    async def list_projects(caller: GuardedCaller, wanted: Annotated[ProjectsWanted, Query()]) -> dict[str, Any]:
        """List your projects, the newest first."""
        found = await projects.list(caller, wanted.page(), text=wanted.search)
        return list_json([project_json(one) for one in found.data], has_more=found.has_more, total=found.total)

    @router.post("", status_code=201)
    async def make_project(caller: GuardedCaller, wanted: NewProject) -> dict[str, Any]:
        """Make a project, with a directory of its own."""
        made = await projects.add(
            caller,
            name=wanted.name,
            description=wanted.description,
            profile=wanted.profile,
            mode=wanted.mode,
            trusted=wanted.trusted,
        )
        return project_json(made)

    @router.get("/{project_id}")
    async def get_project(project_id: str, caller: GuardedCaller) -> dict[str, Any]:
        """Return a project."""
        return project_json(await projects.get(project_id, caller))

    @router.patch("/{project_id}")
    async def change_project(project_id: str, caller: GuardedCaller, wanted: ChangedProject) -> dict[str, Any]:
        """Change a project."""
        patch = ProjectPatch(**wanted.model_dump(exclude_unset=True))
        return project_json(await projects.change(project_id, caller, patch))

    @router.delete("/{project_id}")
    async def delete_project(
        project_id: str,
        caller: GuardedCaller,
        files: Annotated[Literal["keep", "delete"] | None, Query(description="What becomes of its files.")] = None,
    ) -> dict[str, Any]:
        """Delete a project; its sessions stay. Where its directory holds files, say what becomes of them."""
        await projects.delete(project_id, caller, files=files)
        return {"id": project_id, "object": "project.deleted", "deleted": True}

    return router
