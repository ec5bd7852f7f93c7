"""Keys with limits and budgets, trusted projects, modes, the audit log; and where a conversation was summed up."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"

_BIG: Final[Any] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NUMBER: Final[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")


def upgrade() -> None:
    _compaction()
    _modes()
    _trusted()
    _keys()
    _spending()
    _rates()
    _audit()


def _compaction() -> None:
    op.add_column("messages", sa.Column("summary", sa.Text(), nullable=True))


def _modes() -> None:
    for table in ("projects", "sessions"):
        op.add_column(table, sa.Column("mode", sa.Text(), nullable=False, server_default="auto"))


def _trusted() -> None:
    op.add_column("projects", sa.Column("trusted", sa.Integer(), nullable=False, server_default="0"))


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("projects", sa.Text(), nullable=True),
        sa.Column("models", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=True)
            for name in ("requests_per_minute", "burst", "concurrent_turns", "queue")
        ),
        *(sa.Column(name, _NUMBER, nullable=True) for name in ("usd_per_month", "usd_per_day")),
        *(sa.Column(name, _BIG, nullable=True) for name in ("tokens_per_month", "tokens_per_day")),
        sa.Column("created_s", _NUMBER, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        *(sa.Column(name, _NUMBER, nullable=True) for name in ("expires_s", "revoked_s", "last_used_s")),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
        sqlite_strict=True,
    )
    op.create_index("ix_api_keys_created_s_id", "api_keys", ["created_s", "id"])


def _spending() -> None:
    op.create_table(
        "spending",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("cost_usd", _NUMBER, nullable=False),
        sa.Column("tokens", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("owner", "day", name="pk_spending"),
        sqlite_strict=True,
    )
    op.add_column("turns", sa.Column("reserved_usd", _NUMBER, nullable=True))
    op.add_column("turns", sa.Column("reserved_tokens", _BIG, nullable=True))
    running = sa.text("ended_s IS NULL")
    op.create_index("ix_turns_running", "turns", ["owner"], sqlite_where=running, postgresql_where=running)


def _rates() -> None:
    op.create_table(
        "rate_hits",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at_s", _NUMBER, nullable=False),
        sa.Column("nonce", _BIG, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("name", "at_s", "nonce", name="pk_rate_hits"),
        sqlite_strict=True,
    )
    op.create_index("ix_rate_hits_at_s", "rate_hits", ["at_s"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("number", _BIG, nullable=False, autoincrement=False),
        sa.Column("at_s", _NUMBER, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("key", "kind", "body")),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
        sqlite_strict=True,
    )
    op.create_index("ix_audit_key_number", "audit", ["key", "number"])
    op.create_index("ix_audit_at_s", "audit", ["at_s"])
