"""/v1/sessions/{session_id}/files and …/rewind: what agents have changed, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from claude_code_api.flow.checkpoints import Checkpoints
from claude_code_api.flow.records import FileChange
from claude_code_api.http.guarded_route import GuardedRoute
from claude_code_api.http.guards import GuardedCaller
from claude_code_api.http.wanted import WantedRewind
from claude_code_api.turn.diffs import readable

NOTE: Final = "Only what the tools Edit, Write and NotebookEdit change is undone; what commands change is not."


def checkpoint_routes(checkpoints: Checkpoints) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/sessions/{session_id}", tags=["checkpoints"], route_class=GuardedRoute)

    @router.get("/files")
    async def list_changes(
        session_id: str,
        caller: GuardedCaller,
        since: Annotated[str | None, Query(description="A turn's id: changes from its beginning on.")] = None,
    ) -> dict[str, Any]:
        """Show what has become of the files that the session's agents have changed."""
        found = await checkpoints.changes(session_id, caller, since=since)
        return {"object": "list", "data": [change_json(one) for one in found], **_sums(found), "note": NOTE}

    @router.post("/rewind")
    async def rewind(session_id: str, caller: GuardedCaller, wanted: WantedRewind) -> dict[str, Any]:
        """Make files what they were before a turn, or say what that would do. What was said stays as it is."""
        found = await checkpoints.rewind(
            session_id, caller, turn_id=wanted.turn_id, message_id=wanted.message_id, dry_run=wanted.dry_run
        )
        done = [readable(one.name) for one in found.changes if one.restorable]
        return {
            "id": session_id,
            "object": "session.rewind",
            "dry_run": wanted.dry_run,
            "turn_id": found.turn_id,
            "files_changed": done,
            "not_restored": [readable(one.name) for one in found.changes if not one.restorable],
            **_sums([one for one in found.changes if one.restorable]),
            "note": NOTE,
        }

    return router


def change_json(change: FileChange) -> dict[str, Any]:
    """Say what became of a file."""
    return {
        "path": readable(change.name),
        "change": change.change.value,
        "insertions": change.insertions,
        "deletions": change.deletions,
        "diff": change.diff,
        "restorable": change.restorable,
    }


def _sums(changes: Sequence[FileChange]) -> dict[str, int]:
    """Count lines as the agents added and removed them: a rewind does the contrary."""
    return {
        "insertions": sum(change.insertions for change in changes),
        "deletions": sum(change.deletions for change in changes),
    }
