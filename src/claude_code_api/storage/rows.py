"""Records ↔ rows: pure, and exact both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Row

from claude_code_api.flow.records import Mode, Project, Session, StoredMessage, Turn, TurnState
from claude_code_api.turn.block_json import blocks_json, blocks_of
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Ended, EndReason, Usage
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Block, Message, TextBlock

# Characters of a message that a search looks at: what is longer is a file, and would be kept twice.
SEARCHED_CHARS: Final = 100_000

Values = dict[str, Any]
AnyRow = Row[*tuple[Any, ...]]


# Blocks


def blocks_text(blocks: Iterable[Block]) -> str:
    """Write blocks as JSON."""
    return orjson.dumps(blocks_json(blocks), default=_plain).decode()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def blocks_from(text: str) -> tuple[Block, ...]:
    """Read blocks back."""
    return blocks_of(orjson.loads(text))


def _system_from(text: str) -> tuple[TextBlock, ...]:
    return tuple(block for block in blocks_from(text) if isinstance(block, TextBlock))


def folded(*texts: str) -> str:
    """Bring words into the form in which they are looked for: case does not count, in any script."""
    return "\n".join(texts).casefold()


def words_of(message: Message) -> str:
    """Say what a search may find of a message: its text."""
    texts, left = [], SEARCHED_CHARS
    for block in message.blocks:
        if isinstance(block, TextBlock) and left > 0:
            texts.append(block.text[:left])
            left -= len(block.text)
    return folded(*texts)


# Usage


def usage_values(used: Usage) -> Values:
    return {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cache_read_tokens": used.cache_read_tokens,
        "cache_creation_tokens": used.cache_creation_tokens,
        "reasoning_tokens": used.reasoning_tokens,
        "cost_usd": used.cost_usd,
    }


def usage_of(row: AnyRow) -> Usage:
    """Read tokens, or their sum: PostgreSQL adds up to another type of number, and nothing at all to None."""
    return Usage(
        input_tokens=int(row.input_tokens or 0),
        output_tokens=int(row.output_tokens or 0),
        cache_read_tokens=int(row.cache_read_tokens or 0),
        cache_creation_tokens=int(row.cache_creation_tokens or 0),
        reasoning_tokens=int(row.reasoning_tokens or 0),
        cost_usd=row.cost_usd,
    )


def day_of(time_s: float) -> str:
    """Name the day in UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")


# Projects


def project_values(project: Project) -> Values:
    return {
        "id": project.id,
        "owner": project.owner,
        "name": project.name,
        "description": project.description,
        "path": project.path,
        "profile": project.profile.value,
        "created_s": project.created_s,
        "updated_s": project.updated_s,
        "is_active": int(project.is_active),
        "mode": project.mode.value,
        "trusted": int(project.trusted),
        "words": folded(project.name, project.description),
    }


def project_of(row: AnyRow) -> Project:
    return Project(
        id=row.id,
        owner=row.owner,
        name=row.name,
        description=row.description,
        path=row.path,
        profile=Profile(row.profile),
        created_s=row.created_s,
        updated_s=row.updated_s,
        is_active=bool(row.is_active),
        mode=Mode(row.mode),
        trusted=bool(row.trusted),
    )


# Sessions


def session_values(session: Session) -> Values:
    """Say what of a session is a column; its digests are not part of the record."""
    return {
        "id": session.id,
        "owner": session.owner,
        "project_id": session.project_id,
        "title": session.title,
        "model": session.model,
        "system": blocks_text(session.system),
        "profile": session.profile.value,
        "created_s": session.created_s,
        "updated_s": session.updated_s,
        "last_used_s": session.last_used_s,
        "ttl_s": session.ttl_s,
        "expires_s": session.expires_s,
        "message_count": session.message_count,
        "turn_count": session.turn_count,
        **usage_values(session.usage),
        "cost_usd": session.usage.cost_usd or 0.0,
        "forked_from": session.forked_from,
        "forked_at": session.forked_at,
        "fence": session.fence,
        "mode": session.mode.value,
        "words": folded(session.title),
    }


def session_of(row: AnyRow) -> Session:
    return Session(
        id=row.id,
        owner=row.owner,
        project_id=row.project_id,
        title=row.title,
        model=row.model,
        system=_system_from(row.system),
        profile=Profile(row.profile),
        created_s=row.created_s,
        updated_s=row.updated_s,
        last_used_s=row.last_used_s,
        ttl_s=row.ttl_s,
        message_count=row.message_count,
        turn_count=row.turn_count,
        usage=usage_of(row),
        forked_from=row.forked_from,
        forked_at=row.forked_at,
        fence=row.fence,
        mode=Mode(row.mode),
    )


# Messages


def message_values(message: StoredMessage, session_id: str, number: int) -> Values:
    return {
        "id": message.id,
        "session_id": session_id,
        "number": number,
        "turn_id": message.turn_id,
        "role": message.message.role,
        "created_s": message.created_s,
        "truncated": int(message.truncated),
        "in_history": int(message.in_history),
        "step": int(message.step),
        "summary": message.summary,
        "words": words_of(message.message),
        "blocks": blocks_text(message.message.blocks),
    }


def message_of(row: AnyRow) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        session_id=row.session_id,
        number=row.number,
        turn_id=row.turn_id,
        message=Message(row.role, blocks_from(row.blocks)),
        created_s=row.created_s,
        truncated=bool(row.truncated),
        in_history=bool(row.in_history),
        step=bool(row.step),
        summary=row.summary,
    )


# Turns


def turn_values(turn: Turn) -> Values:
    return {
        "id": turn.id,
        "session_id": turn.session_id,
        "owner": turn.owner,
        "project_id": turn.project_id,
        "dialect": turn.dialect,
        "requested_model": turn.requested_model,
        "model": turn.model,
        "state": turn.state.value,
        "boot_id": turn.boot_id,
        "fence": turn.fence,
        "created_s": turn.created_s,
        "ended_s": turn.ended_s,
        "first_token_ms": turn.first_token_ms,
        "answer_number": turn.answer_number,
        "note": turn.note,
        **outcome_values(turn.usage, turn.ended, turn.error),
    }


def outcome_values(used: Usage | None, ended: Ended | None, error: TurnError | None) -> Values:
    """Say what a turn came to; each column is a JSON object, or nothing."""
    return {
        "usage": None if used is None else _json(usage_values(used)),
        "ended": None if ended is None else _json({"reason": ended.reason.value, "stop_sequence": ended.stop_sequence}),
        "error": None if error is None else _json({**_shallow(error), "kind": error.kind.value}),
    }


def _shallow(error: TurnError) -> Values:
    return {field.name: getattr(error, field.name) for field in dataclasses.fields(error)}


def _json(value: Values) -> str:
    return orjson.dumps(value).decode()


def turn_of(row: AnyRow) -> Turn:
    used, ended, error = (text and orjson.loads(text) for text in (row.usage, row.ended, row.error))
    return Turn(
        id=row.id,
        session_id=row.session_id,
        owner=row.owner,
        project_id=row.project_id,
        dialect=row.dialect,
        requested_model=row.requested_model,
        model=row.model,
        state=TurnState(row.state),
        boot_id=row.boot_id,
        fence=row.fence,
        created_s=row.created_s,
        ended_s=row.ended_s,
        usage=used and Usage(**used),
        ended=ended and Ended(EndReason(ended["reason"]), ended["stop_sequence"]),
        error=error and TurnError(**{**error, "kind": ErrorKind(error["kind"])}),
        first_token_ms=row.first_token_ms,
        answer_number=row.answer_number,
        note=row.note,
    )
