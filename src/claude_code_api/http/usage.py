"""GET /v1/usage: what turns used, added up."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from claude_code_api.flow.ports import Store
from claude_code_api.http.guards import UsageCaller
from claude_code_api.http.said import total_tokens, usage_json, usage_row_json
from claude_code_api.http.wanted import UsageWanted
from claude_code_api.turn.events import Usage, total_usage


def usage_routes(store: Store) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["usage"])

    @router.get("/v1/usage")
    async def get_usage(caller: UsageCaller, wanted: Annotated[UsageWanted, Query()]) -> dict[str, Any]:
        """Add up tokens and dollars. Who may manage the gateway sees everybody's, others their own."""
        query = wanted.query(None if caller.admin else caller.name)
        rows = await store.usage(query)
        total = total_usage(row.usage for row in rows) or Usage()
        return {
            "object": "list",
            "data": [usage_row_json(row) for row in rows],
            "has_more": len(rows) == query.limit,
            "total": {**usage_json(total), "total_tokens": total_tokens(total), "total_cost": total.cost_usd or 0.0},
        }

    return router
