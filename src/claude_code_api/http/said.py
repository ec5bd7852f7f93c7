"""Records → the JSON in which the gateway's own endpoints say them. Times are whole Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claude_code_api.flow.records import Project, Session, SessionStats, StoredMessage, UsageRow
from claude_code_api.turn.block_json import blocks_json
from claude_code_api.turn.events import Usage
from claude_code_api.turn.request import TextBlock


def project_json(project: Project) -> dict[str, Any]:
    """Say a project."""
    return {
        "id": project.id,
        "object": "project",
        "name": project.name,
        "description": project.description,
        "path": project.path,
        "profile": project.profile.value,
        "mode": project.mode.value,
        "trusted": project.trusted,
        "created_at": int(project.created_s),
        "updated_at": int(project.updated_s),
        "is_active": project.is_active,
    }


def session_json(session: Session, *, now_s: float) -> dict[str, Any]:
    """Say a session."""
    expires_s = session.expires_s
    return {
        "id": session.id,
        "object": "session",
        "project_id": session.project_id,
        "title": session.title,
        "model": session.model,
        "system_prompt": "\n\n".join(block.text for block in session.system) or None,
        "profile": session.profile.value,
        "mode": session.mode.value,
        "message_count": session.message_count,
        "turn_count": session.turn_count,
        "total_tokens": total_tokens(session.usage),
        "total_cost": session.usage.cost_usd or 0.0,
        "usage": usage_json(session.usage),
        "created_at": int(session.created_s),
        "updated_at": int(session.updated_s),
        "last_used_at": int(session.last_used_s),
        "expires_at": None if expires_s is None else int(expires_s),
        "is_active": expires_s is None or expires_s > now_s,
        "forked_from": session.forked_from,
        "forked_at": session.forked_at,
    }


def message_json(entry: StoredMessage) -> dict[str, Any]:
    """Say a message: its blocks as they are, and its text for those who want no more."""
    return {
        "id": entry.id,
        "object": "session.message",
        "session_id": entry.session_id,
        "number": entry.number,
        "role": entry.message.role,
        "content": blocks_json(entry.message.blocks),
        "text": "".join(block.text for block in entry.message.blocks if isinstance(block, TextBlock)),
        "turn_id": entry.turn_id,
        "created_at": int(entry.created_s),
        "truncated": entry.truncated,
        "in_history": entry.in_history,
        # What the model is told of everything before this message, where that had become too long for it.
        "summary": entry.summary,
    }


def stats_json(stats: SessionStats) -> dict[str, Any]:
    """Say numbers of sessions."""
    return {
        "object": "session.stats",
        "total_sessions": stats.sessions,
        "active_sessions": stats.active_sessions,
        "total_messages": stats.messages,
        "total_turns": stats.turns,
        "total_tokens": total_tokens(stats.usage),
        "total_cost": stats.usage.cost_usd or 0.0,
        "usage": usage_json(stats.usage),
    }


def usage_row_json(row: UsageRow) -> dict[str, Any]:
    """Say what one group used."""
    return {
        **{group.value: name for group, name in row.group.items()},
        "turns": row.turns,
        "failed_turns": row.failed_turns,
        **usage_json(row.usage),
        "total_tokens": total_tokens(row.usage),
        "total_cost": row.usage.cost_usd or 0.0,
    }


def usage_json(usage: Usage) -> dict[str, Any]:
    """Say tokens. Those read from the cache and written to it are counted apart from the other input."""
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cache_read_tokens,
        "cache_creation_tokens": usage.cache_creation_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def total_tokens(usage: Usage) -> int:
    """Everything that was read and said."""
    return usage.all_input_tokens + usage.output_tokens


def list_json(data: Sequence[dict[str, Any]], *, has_more: bool, total: int) -> dict[str, Any]:
    """Say a part of a list."""
    return {
        "object": "list",
        "data": list(data),
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "total": total,
    }
