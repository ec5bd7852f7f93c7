"""The schema, once for both databases. A change here needs a script in `migrations/versions`; a test compares them.

Types are those that SQLite's STRICT tables take. Times are Unix seconds, flags are 0 and 1.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import (
    REAL,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from typing_extensions import override

# The newest script in `migrations/versions`.
HEAD: Final = "0004"

# PostgreSQL's text holds every character but NUL; written as these, NUL goes in and comes out in both databases.
_ESCAPE: Final = "\x1a"
_ESCAPES: Final = {"\x00": _ESCAPE + "0", _ESCAPE: _ESCAPE + "1"}
_ESCAPED: Final = {written: meant for meant, written in _ESCAPES.items()}
_TO_ESCAPE: Final = re.compile("[\x00\x1a]")
_TO_READ: Final = re.compile("\x1a[01]")


class ExactText(TypeDecorator[str]):
    """Any text of Unicode, NUL among it."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or not _TO_ESCAPE.search(value):
            return value
        return _TO_ESCAPE.sub(lambda match: _ESCAPES[match[0]], value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or _ESCAPE not in value:
            return value
        return _TO_READ.sub(lambda match: _ESCAPED[match[0]], value)


BIG: Final[Any] = BigInteger().with_variant(Integer(), "sqlite")
NUMBER: Final[Any] = Double().with_variant(REAL(), "sqlite")
STRICT: Final[dict[str, Any]] = {"sqlite_strict": True}

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _needed(name: str, kind: Any) -> Column[Any]:  # noqa: ANN401 - SQLAlchemy's own type for it is private
    return Column(name, kind, nullable=False)


def _tokens() -> list[Column[Any]]:
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "reasoning_tokens")
    return [Column(name, BIG, nullable=False) for name in names]


projects: Final = Table(
    "projects",
    metadata,
    Column("id", ExactText, primary_key=True),
    _needed("owner", ExactText),
    _needed("name", ExactText),
    _needed("description", ExactText),
    _needed("path", ExactText),
    _needed("profile", Text),
    _needed("created_s", NUMBER),
    _needed("updated_s", NUMBER),
    _needed("is_active", Integer),
    # What a search looks at.
    _needed("words", ExactText),
    Column("mode", Text, nullable=False, server_default="auto"),
    # Whether its own settings, hooks and servers count.
    Column("trusted", Integer, nullable=False, server_default="0"),
    Index(None, "owner", "created_s", "id"),
    **STRICT,
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", ExactText, primary_key=True),
    _needed("owner", ExactText),
    Column("project_id", ExactText),
    _needed("title", ExactText),
    _needed("model", ExactText),
    _needed("system", Text),
    _needed("profile", Text),
    _needed("created_s", NUMBER),
    _needed("updated_s", NUMBER),
    _needed("last_used_s", NUMBER),
    Column("ttl_s", NUMBER),
    # last_used_s + ttl_s, to look for.
    Column("expires_s", NUMBER),
    _needed("message_count", Integer),
    _needed("turn_count", Integer),
    *_tokens(),
    _needed("cost_usd", NUMBER),
    Column("forked_from", ExactText),
    Column("forked_at", Integer),
    _needed("fence", BIG),
    # Names of the history: answered, and as yet unanswered.
    Column("head_digest", LargeBinary),
    Column("open_digest", LargeBinary),
    _needed("words", ExactText),
    Column("mode", Text, nullable=False, server_default="auto"),
    Index(None, "owner", "last_used_s", "id"),
    Index(None, "owner", "head_digest"),
    Index(None, "owner", "open_digest"),
    Index(None, "expires_s"),
    Index(None, "project_id"),
    **STRICT,
)

messages: Final = Table(
    "messages",
    metadata,
    Column("id", ExactText, primary_key=True),
    Column("session_id", ExactText, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _needed("number", Integer),
    Column("turn_id", ExactText),
    _needed("role", Text),
    _needed("created_s", NUMBER),
    _needed("truncated", Integer),
    _needed("in_history", Integer),
    # What a search looks at, before the blocks: SQLite reads a row only as far as it has to.
    _needed("words", ExactText),
    # JSON, in which NUL is an escape.
    _needed("blocks", Text),
    Column("step", Integer, nullable=False, server_default="0"),
    # What the model is told of everything before this message, where the conversation has outgrown it.
    Column("summary", ExactText),
    UniqueConstraint("session_id", "number"),
    **STRICT,
)

_RUNNING: Final = text("ended_s IS NULL")
# Of turns that run: few, among all that ever were.
_OF_RUNNING: Final = (
    Index("ix_turns_running", "owner", sqlite_where=_RUNNING),
    Index("ix_turns_unfinished", "boot_id", sqlite_where=_RUNNING),
)


def know_postgresql() -> None:
    """Say what PostgreSQL has to know beside. Saying it loads 2 MB of SQLAlchemy, so it is said where it is wanted."""
    for index in _OF_RUNNING:
        index.dialect_options["postgresql"]["where"] = _RUNNING


turns: Final = Table(
    "turns",
    metadata,
    Column("id", ExactText, primary_key=True),
    Column("session_id", ExactText, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _needed("owner", ExactText),
    Column("project_id", ExactText),
    _needed("dialect", Text),
    _needed("requested_model", ExactText),
    _needed("model", ExactText),
    _needed("state", Text),
    _needed("boot_id", Text),
    _needed("fence", BIG),
    _needed("created_s", NUMBER),
    Column("ended_s", NUMBER),
    # Each a JSON object.
    Column("usage", Text),
    Column("ended", Text),
    Column("error", Text),
    Column("first_token_ms", NUMBER),
    Column("answer_number", Integer),
    # A JSON object, of its dialect's own.
    Column("note", Text),
    # What it may come to, until it is over.
    Column("reserved_usd", NUMBER),
    Column("reserved_tokens", BIG),
    Index(None, "session_id", "fence"),
    *_OF_RUNNING,
    **STRICT,
)

journal: Final = Table(
    "journal",
    metadata,
    Column("turn_id", ExactText, ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True),
    Column("first", Integer, primary_key=True, autoincrement=False),
    # Number of the last event.
    _needed("last", Integer),
    # A JSON list of JSON texts.
    _needed("events", Text),
    **STRICT,
)

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("owner", ExactText, primary_key=True),
    # Hashed: a client's name for a request has any length.
    Column("key", Text, primary_key=True),
    Column("turn_id", ExactText, ForeignKey("turns.id", ondelete="CASCADE"), nullable=False),
    _needed("body_digest", LargeBinary),
    Index(None, "turn_id"),
    **STRICT,
)

# The bill. It refers to nothing, so that it stays when what it was for is deleted.
usage: Final = Table(
    "usage",
    metadata,
    Column("turn_id", ExactText, primary_key=True),
    _needed("owner", ExactText),
    _needed("session_id", ExactText),
    Column("project_id", ExactText),
    _needed("dialect", Text),
    _needed("model", ExactText),
    _needed("state", Text),
    _needed("ended_s", NUMBER),
    # Of ended_s, in UTC.
    _needed("day", Text),
    *_tokens(),
    Column("cost_usd", NUMBER),
    Index(None, "owner", "ended_s"),
    Index(None, "ended_s"),
    Index(None, "session_id"),
    **STRICT,
)

# Whoever holds a key whose SHA-256 is here may come in. What he makes has the key's id for its owner.
api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", ExactText, primary_key=True),
    _needed("digest", LargeBinary),
    _needed("name", ExactText),
    # Each a JSON list; null: all there are.
    _needed("scopes", Text),
    Column("projects", Text),
    Column("models", Text),
    _needed("profile", Text),
    Column("requests_per_minute", Integer),
    Column("burst", Integer),
    Column("concurrent_turns", Integer),
    Column("queue", Integer),
    Column("usd_per_month", NUMBER),
    Column("usd_per_day", NUMBER),
    Column("tokens_per_month", BIG),
    Column("tokens_per_day", BIG),
    _needed("created_s", NUMBER),
    _needed("created_by", ExactText),
    Column("expires_s", NUMBER),
    Column("revoked_s", NUMBER),
    Column("last_used_s", NUMBER),
    UniqueConstraint("digest"),
    Index(None, "created_s", "id"),
    **STRICT,
)

# The bill by owner and day, added up, so that a budget is looked at without reading every turn of a month.
spending: Final = Table(
    "spending",
    metadata,
    Column("owner", ExactText, primary_key=True),
    Column("day", Text, primary_key=True),
    _needed("cost_usd", NUMBER),
    _needed("tokens", BIG),
    **STRICT,
)

# Requests that a limit has let through, for as long as it counts them.
rate_hits: Final = Table(
    "rate_hits",
    metadata,
    Column("name", ExactText, primary_key=True),
    Column("at_s", NUMBER, primary_key=True),
    # Tells two of the same moment apart; it says nothing else.
    Column("nonce", BIG, primary_key=True, autoincrement=False),
    Index(None, "at_s"),
    **STRICT,
)

# Who did what. Nothing here is ever changed: each hash covers the text beside it and the hash before it.
audit: Final = Table(
    "audit",
    metadata,
    Column("number", BIG, primary_key=True, autoincrement=False),
    _needed("at_s", NUMBER),
    _needed("key", ExactText),
    _needed("kind", Text),
    # JSON, and exactly the text that was hashed.
    _needed("body", Text),
    _needed("hash", LargeBinary),
    Index(None, "key", "number"),
    Index(None, "at_s"),
    **STRICT,
)

# Alembic's own.
versions: Final = Table(
    "alembic_version", MetaData(), Column("version_num", String(32).with_variant(Text(), "sqlite"), primary_key=True)
)
