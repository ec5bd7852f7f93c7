"""What is on record: who did what, in a chain that shows whether something was changed afterwards. Nouns only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from claude_code_api.flow.acts import Act, canonical
from claude_code_api.flow.records import Listed, Page
from claude_code_api.turn.request import JsonObject

# What the first entry follows.
START: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An act as it is on record: `body` is the text that its hash covers, together with the hash before it."""

    number: int
    at_s: float
    key: str
    kind: str
    body: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries: of a time, of a key, of a kind; `page.after` is an entry's number."""

    since_s: float | None = None
    until_s: float | None = None
    key: str | None = None
    kind: str | None = None
    page: Page = field(default_factory=Page)


@dataclass(frozen=True, slots=True)
class AuditList(Listed):
    """Entries."""

    data: tuple[AuditEntry, ...] = ()


class AuditStore(Protocol):
    """Keeps the record: what is on it is never changed, and never dropped."""

    async def put_on_record(self, acts: Sequence[Act]) -> None:
        """Append acts, in order."""
        ...

    async def audit(self, query: AuditQuery) -> AuditList:
        """List entries, the newest first."""
        ...

    async def chain(self, *, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Return what there is behind the entry of this number, in the chain's order."""
        ...


class Witness(Protocol):
    """Who has to hear of an agent's calls."""

    async def called(self, tool_id: str, tool: str, arguments: JsonObject) -> None:
        """Hear of a call before it is made. Raises `StoreError` where that cannot be kept; then it must not be made."""
        ...

    def denied(self, tool_id: str, by: str = "profile") -> None:
        """Hear that a call was denied, and no person was asked. "gateway": because something failed.

        An engine may tell it again, knowing less: what was told first counts.
        """
        ...


def entry_after(number: int, hash_before: bytes, act: Act) -> AuditEntry:
    """Make the entry that follows the one with this number and hash."""
    mine = number + 1
    body = canonical({"number": mine, "at": act.at_s, "key": act.key, "kind": act.kind, "what": dict(act.what)})
    return AuditEntry(mine, act.at_s, act.key, act.kind, body, hash_of(hash_before, body))


def hash_of(hash_before: bytes, body: str) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(hash_before + body.encode()).digest()


class Chain:
    """Follows the record from its first entry on, and says what is wrong with it."""

    def __init__(self) -> None:
        """Begin before the first entry."""
        self.length, self.head = 0, START

    def follow(self, entry: AuditEntry) -> str | None:
        """Take the next entry; says what is wrong, or None."""
        if entry.number != self.length + 1:
            return f"entry {self.length + 1} is missing"
        if entry.hash != hash_of(self.head, entry.body):
            return f"entry {entry.number} is not the one that was written"
        said = json.loads(entry.body)
        if [said["number"], said["at"], said["key"], said["kind"]] != [entry.number, entry.at_s, entry.key, entry.kind]:
            return f"entry {entry.number} is filed under something else than it says"
        self.length, self.head = entry.number, entry.hash
        return None
