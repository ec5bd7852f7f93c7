"""/v1/sessions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from claude_code_api.flow.ports import Clock
from claude_code_api.flow.sessions import Sessions
from claude_code_api.flow.transcripts import markdown_of, transcript_of
from claude_code_api.http.guarded_route import GuardedRoute
from claude_code_api.http.guards import GuardedCaller
from claude_code_api.http.said import list_json, message_json, session_json, stats_json
from claude_code_api.http.wanted import Fork, ImportedSession, MessagesWanted, SessionsWanted, WantedSession


def session_routes(sessions: Sessions, clock: Clock) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=GuardedRoute)

    @router.get("")
    async def list_sessions(caller: GuardedCaller, wanted: Annotated[SessionsWanted, Query()]) -> dict[str, Any]:
        """List your sessions, the last used first."""
        found = await sessions.list(caller, wanted.query())
        data = [session_json(one, now_s=clock.now_s()) for one in found.data]
        return list_json(data, has_more=found.has_more, total=found.total)

    @router.post("", status_code=201)
    async def make_session(caller: GuardedCaller, wanted: WantedSession) -> dict[str, Any]:
        """Begin a session in which nothing has been said yet."""
        return session_json(await sessions.add(caller, wanted.patch()), now_s=clock.now_s())

    @router.post("/import", status_code=201)
    async def import_session(caller: GuardedCaller, wanted: ImportedSession) -> dict[str, Any]:
        """Begin a session with a transcript that Claude Code, or an export, has written."""
        made = await sessions.take_in(caller, wanted.transcript, wanted.patch())
        return session_json(made, now_s=clock.now_s())

    @router.get("/stats")
    async def get_stats(caller: GuardedCaller) -> dict[str, Any]:
        """Count your sessions, and what was said and used in them."""
        return stats_json(await sessions.stats(caller))

    _add_one(router, sessions, clock)
    _add_content(router, sessions, clock)
    return router


def _add_one(router: APIRouter, sessions: Sessions, clock: Clock) -> None:
    @router.get("/{session_id}")
    async def get_session(session_id: str, caller: GuardedCaller) -> dict[str, Any]:
        """Return a session."""
        return session_json(await sessions.get(session_id, caller), now_s=clock.now_s())

    @router.patch("/{session_id}")
    async def change_session(session_id: str, caller: GuardedCaller, wanted: WantedSession) -> dict[str, Any]:
        """Change a session."""
        return session_json(await sessions.change(session_id, caller, wanted.patch()), now_s=clock.now_s())

    @router.delete("/{session_id}")
    async def delete_session(session_id: str, caller: GuardedCaller) -> dict[str, Any]:
        """Delete a session with everything that was said in it; a turn that runs in it ends."""
        await sessions.delete(session_id, caller)
        return {"id": session_id, "object": "session.deleted", "deleted": True}


def _add_content(router: APIRouter, sessions: Sessions, clock: Clock) -> None:
    @router.get("/{session_id}/messages")
    async def list_messages(
        session_id: str, caller: GuardedCaller, wanted: Annotated[MessagesWanted, Query()]
    ) -> dict[str, Any]:
        """List what was said in a session, the oldest first."""
        found = await sessions.messages(session_id, caller, wanted.page())
        return list_json([message_json(one) for one in found.data], has_more=found.has_more, total=found.total)

    @router.post("/{session_id}/fork", status_code=201)
    async def fork_session(session_id: str, caller: GuardedCaller, fork: Fork | None = None) -> dict[str, Any]:
        """Begin a session with what was said in this one, up to a message; this one stays as it is."""
        at = fork or Fork()
        made = await sessions.fork(session_id, caller, message_id=at.message_id, title=at.title)
        return session_json(made, now_s=clock.now_s())

    @router.post("/{session_id}/interrupt")
    async def interrupt_session(session_id: str, caller: GuardedCaller) -> dict[str, Any]:
        """End the turn that runs in a session. What it said so far is kept."""
        count = await sessions.interrupt(session_id, caller)
        return {"id": session_id, "object": "session.interrupt", "interrupted": count}

    @router.get("/{session_id}/export", response_class=Response)
    async def export_session(
        session_id: str,
        caller: GuardedCaller,
        format: Annotated[Literal["jsonl", "markdown"], Query(description="A transcript, or a page.")] = "jsonl",  # noqa: A002 - the name of the parameter in the URL
    ) -> Response:
        """Return a whole session: as a transcript that Claude Code and `import` read, or as a page for people."""
        session = await sessions.get(session_id, caller)
        messages = await sessions.all_messages(session_id, caller)
        if format == "markdown":
            return _file(markdown_of(session, messages), "text/markdown; charset=utf-8", f"{session_id}.md")
        return _file(transcript_of(session, messages), "application/jsonl", f"{session_id}.jsonl")


def _file(content: Any, media_type: str, name: str) -> Response:  # noqa: ANN401 - what the response takes: an iterable of texts or bytes
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type=media_type, headers=headers)
