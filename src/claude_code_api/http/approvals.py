"""/v1/sessions/{session_id}/approvals and …/mode: what an agent may do is decided by a person."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from claude_code_api.dialects.native import approval_json
from claude_code_api.flow.sessions import Sessions
from claude_code_api.http.guarded_route import GuardedRoute
from claude_code_api.http.guards import GuardedCaller
from claude_code_api.http.wanted import Decided, WantedMode
from claude_code_api.turn.approvals import Verdict


def approval_routes(sessions: Sessions) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/sessions/{session_id}", tags=["approvals"], route_class=GuardedRoute)

    @router.get("/approvals")
    async def list_approvals(session_id: str, caller: GuardedCaller) -> dict[str, Any]:
        """List the calls that wait for a decision, the one that waits longest first."""
        found = await sessions.approvals(session_id, caller)
        data = [
            {"id": wanted.approval_id, "object": "approval", "turn_id": turn_id, **approval_json(wanted)}
            for turn_id, wanted in found
        ]
        return {"object": "list", "data": data, "has_more": False, "total": len(data)}

    @router.post("/approvals/{approval_id}")
    async def answer_approval(
        session_id: str, approval_id: str, caller: GuardedCaller, decided: Decided
    ) -> dict[str, Any]:
        """Decide about a call: allow, deny, or allow_always for the rest of the session. It can be done once."""
        await sessions.approve(session_id, caller, approval_id, decided.verdict())
        return {"id": approval_id, "object": "approval", **answered_json(decided.verdict())}

    @router.post("/mode")
    async def set_mode(session_id: str, caller: GuardedCaller, wanted: WantedMode) -> dict[str, Any]:
        """Change whom the agent asks, in the turn that runs and in later ones."""
        turns = await sessions.set_mode(session_id, caller, wanted.mode)
        return {"id": session_id, "object": "session.mode", "mode": wanted.mode.value, "running_turns": turns}

    return router


def answered_json(verdict: Verdict) -> dict[str, Any]:
    """Say what was decided."""
    return {"decision": verdict.decision.value, "edited": verdict.arguments is not None}
