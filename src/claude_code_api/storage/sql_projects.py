"""Projects. Each function is what one transaction does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, true, update

from claude_code_api.flow.records import Page, Project, ProjectList, ProjectPatch
from claude_code_api.storage.paging import Order, has_words, page_of
from claude_code_api.storage.rows import folded, project_of, project_values
from claude_code_api.storage.tables import projects, sessions


def add_project(connection: Connection, new: Project) -> None:
    connection.execute(insert(projects), project_values(new))


def project(connection: Connection, project_id: str, owner: str | None) -> Project | None:
    row = connection.execute(select(projects).where(_is(project_id, owner))).first()
    return None if row is None else project_of(row)


def list_projects(
    connection: Connection, owner: str | None, page: Page, text: str, among: Sequence[str] | None
) -> ProjectList:
    theirs = and_(
        true() if owner is None else projects.c.owner == owner, true() if among is None else projects.c.id.in_(among)
    )
    order = Order(projects, (projects.c.created_s, projects.c.id), theirs)
    part = page_of(connection, order, has_words(projects.c.words, text) if text else true(), page)
    return ProjectList(part.has_more, part.total, tuple(map(project_of, part.rows)))


def change_project(
    connection: Connection, project_id: str, owner: str, patch: ProjectPatch, now_s: float
) -> Project | None:
    # Locked, where more than one writes at a time: what is looked for is made of old parts and new ones.
    row = connection.execute(select(projects).where(_is(project_id, owner)).with_for_update()).first()
    if row is None:
        return None
    changes: dict[str, Any] = {"updated_s": now_s}
    if patch.name is not None:
        changes["name"] = patch.name
    if patch.description is not None:
        changes["description"] = patch.description
    if patch.profile is not None:
        changes["profile"] = patch.profile.value
    if patch.trusted is not None:
        changes["trusted"] = int(patch.trusted)
    if patch.mode is not None:
        changes["mode"] = patch.mode.value
    if patch.is_active is not None:
        changes["is_active"] = int(patch.is_active)
    changes["words"] = folded(changes.get("name", row.name), changes.get("description", row.description))
    changed = update(projects).where(_is(project_id, owner)).values(changes).returning(projects)
    return project_of(connection.execute(changed).one())


def delete_project(connection: Connection, project_id: str, owner: str) -> bool:
    gone = connection.execute(delete(projects).where(_is(project_id, owner))).rowcount == 1
    if gone:
        # Also the sessions of others to whom the project was given.
        connection.execute(update(sessions).where(sessions.c.project_id == project_id).values(project_id=None))
    return gone


def _is(project_id: str, owner: str | None) -> ColumnElement[bool]:
    return and_(projects.c.id == project_id, true() if owner is None else projects.c.owner == owner)
