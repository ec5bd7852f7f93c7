"""Which projects are a caller's to use. Nobody can tell one that is not from one that does not exist."""

from __future__ import annotations

from claude_code_api.flow.access import Caller
from claude_code_api.flow.ports import Store
from claude_code_api.flow.records import Page, Project, ProjectList


async def project_for(caller: Caller, project_id: str, store: Store) -> Project | None:
    """Return a project that the caller may use: his own, or one that was given to his key."""
    if caller.projects is None:
        return await store.project(project_id, caller.name)
    return await store.project(project_id, None) if project_id in caller.projects else None


async def projects_for(caller: Caller, page: Page, text: str, store: Store) -> ProjectList:
    """List them."""
    if caller.projects is None:
        return await store.projects(caller.name, page, text=text)
    return await store.projects(None, page, text=text, among=caller.projects)
