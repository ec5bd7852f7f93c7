"""GET /v1/audit, for those who manage the gateway: what agents and administrators did."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from claude_code_api.flow.audit_records import AuditQuery, AuditStore
from claude_code_api.http.audit_json import entry_json
from claude_code_api.http.guards import AdminCaller
from claude_code_api.http.said import list_json
from claude_code_api.http.wanted import PageWanted


class AuditWanted(PageWanted):
    """Which entries."""

    since: Annotated[float | None, Field(description="Unix seconds; the first moment that counts.")] = None
    until: Annotated[float | None, Field(description="Unix seconds; the first moment that does not count.")] = None
    key: Annotated[str | None, Field(description="The id of a key: only what was done with it.")] = None
    kind: Annotated[str | None, Field(description="call, call.end, key.created, project.changed, …")] = None

    def query(self) -> AuditQuery:
        """Say it in our words."""
        return AuditQuery(self.since, self.until, self.key, self.kind, self.page())


def audit_routes(store: AuditStore) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["audit"])

    @router.get("/v1/audit")
    async def get_audit(_: AdminCaller, wanted: Annotated[AuditWanted, Query()]) -> dict[str, Any]:
        """List what was done, the newest first."""
        found = await store.audit(wanted.query())
        return list_json([entry_json(entry) for entry in found.data], has_more=found.has_more, total=found.total)

    return router
