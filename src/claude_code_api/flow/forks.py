"""A session that begins with what was said in another one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from claude_code_api.flow.records import Session, StoredMessage
from claude_code_api.turn.events import Usage


def fork_of(
    origin: Session, taken: Sequence[StoredMessage], *, now_s: float
) -> tuple[Session, tuple[StoredMessage, ...]]:
    """Make a session of what was taken from another one, and its messages; the other stays as it is."""
    fork = replace(
        origin,
        id=str(uuid.uuid4()),
        created_s=now_s,
        updated_s=now_s,
        last_used_s=now_s,
        message_count=0,
        turn_count=0,
        usage=Usage(cost_usd=0.0),
        forked_from=origin.id,
        forked_at=len(taken),
        fence=0,
    )
    copies = tuple(
        replace(entry, id=str(uuid.uuid4()), session_id=fork.id, number=number, turn_id=None)
        for number, entry in enumerate(taken, 1)
    )
    return fork, copies
