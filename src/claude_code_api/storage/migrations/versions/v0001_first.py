"""The first schema."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

# A script keeps its own copy of everything: it says what was released, whatever the tables are by now.
BIG: Final[Any] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBER: Final[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
STRICT: Final[dict[str, Any]] = {"sqlite_strict": True}


def upgrade() -> None:
    _projects()
    _sessions()
    _messages()
    _turns()
    _journal()
    _idempotency_keys()
    _usage()


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("created_s", NUMBER, nullable=False),
        sa.Column("updated_s", NUMBER, nullable=False),
        sa.Column("is_active", sa.Integer(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        **STRICT,
    )
    op.create_index("ix_projects_owner_created_s_id", "projects", ["owner", "created_s", "id"], unique=False)


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("created_s", NUMBER, nullable=False),
        sa.Column("updated_s", NUMBER, nullable=False),
        sa.Column("last_used_s", NUMBER, nullable=False),
        sa.Column("ttl_s", NUMBER, nullable=True),
        sa.Column("expires_s", NUMBER, nullable=True),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("turn_count", sa.Integer(), nullable=False),
        sa.Column("input_tokens", BIG, nullable=False),
        sa.Column("output_tokens", BIG, nullable=False),
        sa.Column("cache_read_tokens", BIG, nullable=False),
        sa.Column("cache_creation_tokens", BIG, nullable=False),
        sa.Column("reasoning_tokens", BIG, nullable=False),
        sa.Column("cost_usd", NUMBER, nullable=False),
        sa.Column("forked_from", sa.Text(), nullable=True),
        sa.Column("forked_at", sa.Integer(), nullable=True),
        sa.Column("fence", BIG, nullable=False),
        sa.Column("head_digest", sa.LargeBinary(), nullable=True),
        sa.Column("open_digest", sa.LargeBinary(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        **STRICT,
    )
    op.create_index("ix_sessions_expires_s", "sessions", ["expires_s"], unique=False)
    op.create_index("ix_sessions_owner_head_digest", "sessions", ["owner", "head_digest"], unique=False)
    op.create_index("ix_sessions_owner_last_used_s_id", "sessions", ["owner", "last_used_s", "id"], unique=False)
    op.create_index("ix_sessions_owner_open_digest", "sessions", ["owner", "open_digest"], unique=False)
    op.create_index("ix_sessions_project_id", "sessions", ["project_id"], unique=False)


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("turn_id", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_s", NUMBER, nullable=False),
        sa.Column("truncated", sa.Integer(), nullable=False),
        sa.Column("in_history", sa.Integer(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("blocks", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.UniqueConstraint("session_id", "number", name="uq_messages_session_id_number"),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_messages_session_id", ondelete="CASCADE"),
        **STRICT,
    )


def _turns() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("requested_model", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("fence", BIG, nullable=False),
        sa.Column("created_s", NUMBER, nullable=False),
        sa.Column("ended_s", NUMBER, nullable=True),
        sa.Column("usage", sa.Text(), nullable=True),
        sa.Column("ended", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("first_token_ms", NUMBER, nullable=True),
        sa.Column("answer_number", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_turns_session_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        **STRICT,
    )
    op.create_index("ix_turns_session_id_fence", "turns", ["session_id", "fence"], unique=False)
    op.create_index(
        "ix_turns_unfinished",
        "turns",
        ["boot_id"],
        unique=False,
        sqlite_where=sa.text("ended_s IS NULL"),
        postgresql_where=sa.text("ended_s IS NULL"),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("turn_id", sa.Text(), nullable=False),
        sa.Column("first", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_journal_turn_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("turn_id", "first", name="pk_journal"),
        **STRICT,
    )


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("turn_id", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_idempotency_keys_turn_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("owner", "key", name="pk_idempotency_keys"),
        **STRICT,
    )
    op.create_index("ix_idempotency_keys_turn_id", "idempotency_keys", ["turn_id"], unique=False)


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("turn_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ended_s", NUMBER, nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("input_tokens", BIG, nullable=False),
        sa.Column("output_tokens", BIG, nullable=False),
        sa.Column("cache_read_tokens", BIG, nullable=False),
        sa.Column("cache_creation_tokens", BIG, nullable=False),
        sa.Column("reasoning_tokens", BIG, nullable=False),
        sa.Column("cost_usd", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("turn_id", name="pk_usage"),
        **STRICT,
    )
    op.create_index("ix_usage_ended_s", "usage", ["ended_s"], unique=False)
    op.create_index("ix_usage_owner_ended_s", "usage", ["owner", "ended_s"], unique=False)
    op.create_index("ix_usage_session_id", "usage", ["session_id"], unique=False)
