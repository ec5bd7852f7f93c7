"""What this room needs of others, as protocols, and what it hands to them.

An implementation lives in a room above (`engine`, `storage`); `app.py` puts them together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from claude_code_api.flow.acts import Act
from claude_code_api.flow.amounts import Spending, Window
from claude_code_api.flow.audit_records import AuditStore, Witness
from claude_code_api.flow.key_records import ApiKey, KeyList, KeyPatch
from claude_code_api.flow.purse import Purse
from claude_code_api.flow.records import (
    Acceptance,
    JournalEntry,
    MessageList,
    Mode,
    Page,
    Project,
    ProjectList,
    ProjectPatch,
    Session,
    SessionList,
    SessionPatch,
    SessionQuery,
    SessionStats,
    StoredMessage,
    Turn,
    TurnEnd,
    UsageQuery,
    UsageRow,
)
from claude_code_api.models.fitted import RequestControl
from claude_code_api.turn.approvals import Verdict
from claude_code_api.turn.events import TurnEvent
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import JsonObject, TurnRequest


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engine is to do: answer `request` with the model `model`, under the id `turn_id`.

    The request carries its whole history, so every plan can be carried out by a process that knows nothing yet.
    """

    turn_id: str
    created_s: int
    model: str
    request: TurnRequest
    # Whose turn it is: a process that served one is never handed to another.
    principal: str = ""
    # Where an agent works, and what it may do there; None: it is plain model traffic.
    workplace: str | None = None
    profile: Profile = Profile.CHAT
    mode: Mode = Mode.AUTO
    # Whether the project's own settings, hooks and servers count.
    trusted: bool = False
    # Hears of its calls before they are made.
    witness: Witness | None = field(default=None, compare=False, repr=False)
    # The only models that may be asked, by their names at the model's API; None: any.
    models: frozenset[str] | None = None
    # Where everything is counted that an agent, and what runs beside it, uses; None: it is no agent's turn.
    purse: Purse | None = field(default=None, compare=False, repr=False)
    # What the engine has begun for it before its question was kept: see `Engine.ahead`.
    ahead: object | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model as the installed CLI offers it: the short name it takes, and what that stands for."""

    value: str
    resolved: str
    title: str
    description: str = ""
    effort_levels: tuple[str, ...] = ()
    # Whether it thinks adaptively, and whether it can be kept from thinking; None: the CLI does not say.
    adaptive: bool | None = None
    thinking_off: bool | None = None


@dataclass(frozen=True, slots=True)
class EngineOffer:
    """What the engine says of itself, once it has been asked."""

    version: str
    models: tuple[OfferedModel, ...] = ()


class Lease(Protocol):
    """A turn in progress. It is over when its events are, or when its context is left."""

    def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield what has come since the last time, as soon as something has; the last event is terminal."""
        ...

    def interrupt(self) -> None:
        """Ask for the end; the events then come to theirs."""
        ...

    def answer(self, approval_id: str, verdict: Verdict) -> bool:
        """Decide about a call that waits; `ApprovalSettled` follows. False: it waits no longer.

        Raises `TurnRefusedError` where a person may not decide like that; the call then still waits.
        """
        ...

    async def set_mode(self, mode: Mode) -> None:
        """Change whom the agent asks, from now on. Raises `TurnRefusedError` where that does not work."""
        ...


class Engine(Protocol):
    """Something that answers turns."""

    def lease(self, plan: Plan) -> AbstractAsyncContextManager[Lease]:
        """Begin a turn. Leaving the context early ends it: the model stops, nothing is left behind."""
        ...

    def ahead(self, principal: str, model: str) -> AbstractAsyncContextManager[object | None]:
        """Make ready for a turn of which nothing else is known yet, if that costs nobody anything; see `Plan.ahead`.

        Nothing of the turn itself has begun when the context is left without a lease.
        """
        ...

    async def count_tokens(self, plan: Plan) -> int:
        """Count what the model would read, without an answer. Raises `TurnRefusedError` where that is not possible."""
        ...

    async def offer(self) -> EngineOffer:
        """Say what there is; raises `TurnRefusedError` when the engine cannot work."""
        ...

    async def told_of(self, model: str) -> JsonObject | None:
        """Return what the model's API says of a model, in its own words; None: it cannot be asked, or does not say."""
        ...

    def control(self, workplace: str | None) -> RequestControl:
        """Say how far it decides what reaches the model, in an agent's workplace or without one."""
        ...

    @property
    def credentials(self) -> str | None:
        """Where the credentials come from, by name; None when there are none."""
        ...

    @property
    def unworkable(self) -> Mapping[Profile, str]:
        """What its agents cannot work as, here and now, each with the reason."""
        ...

    @property
    def live(self) -> int:
        """How many processes there are."""
        ...


class Clock(Protocol):
    """Time, so that a test can hold it."""

    def now_s(self) -> float:
        """Unix time."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only go forward."""
        ...


class StoreError(Exception):
    """The store cannot do it now. `full`: for want of space. Nothing of what was asked has been written."""

    def __init__(self, detail: str, *, full: bool = False) -> None:
        """Say what is wrong, for the log."""
        super().__init__(detail)
        self.full = full


class StaleError(Exception):
    """Somebody else has gone on with the session: what was to be written is not."""


class BudgetError(Exception):
    """A budget does not hold a turn. `spent`: nothing is left of it; else, what is left may be needed by others."""

    def __init__(self, *, spent: bool, limit: float, period: str, unit: str) -> None:
        """Say which budget: so many of a unit ("usd" or "tokens") in a period ("month" or "day")."""
        super().__init__(f"{limit:g} {unit} a {period}")
        self.spent, self.limit, self.period, self.unit = spent, limit, period, unit


class IdempotencyConflictError(Exception):
    """The idempotency key is taken: `turn_id` holds it, for a request with the digest `body_digest`."""

    def __init__(self, turn_id: str, body_digest: bytes) -> None:
        """Say who has it."""
        super().__init__(turn_id)
        self.turn_id, self.body_digest = turn_id, body_digest


class Store(AuditStore, Protocol):
    """The truth: what is not in here has not happened.

    Each method is one transaction; it is committed and synced once the method returns, and has left nothing behind if
    it raises. Whoever asks for something of somebody else gets None, as for something that does not exist. Messages get
    their numbers here, in the order in which they come. An `act` is put on record if what it says is done.
    """

    # Turns

    async def accept(self, acceptance: Acceptance) -> None:
        """Write T0. Raises `StaleError` if the session has another fence than the turn's less one (or is gone), and
        `IdempotencyConflictError` if its key is taken, and `BudgetError` if the budget does not hold it. Older turns
        of the session that are not over are interrupted."""
        ...

    async def journal(self, entries: Sequence[JournalEntry]) -> None:
        """Append events of running turns, which are thereby dispatched."""
        ...

    async def finish(self, end: TurnEnd) -> None:
        """Write T4: the answer, the state, what was used, once. Raises `StaleError` if the session's fence has moved on
        or the turn is over already."""
        ...

    async def turn(self, turn_id: str, owner: str) -> Turn | None:
        """Return a turn."""
        ...

    async def turns_of(self, session_id: str, owner: str, *, from_fence: int) -> tuple[Turn, ...]:
        """Return a session's turns from a fence on, in order."""
        ...

    async def forget_note(self, turn_id: str, owner: str) -> bool:
        """Drop a turn's note and its journal: its answer can no longer be asked for by its id. False: it has none."""
        ...

    async def answer(self, turn_id: str, owner: str) -> StoredMessage | None:
        """Return what a turn answered."""
        ...

    async def events(self, turn_id: str, owner: str, *, after: int = 0) -> tuple[str, ...]:
        """Return the journal of a turn from the event after the number `after` on."""
        ...

    async def unfinished(self) -> tuple[Turn, ...]:
        """Return the turns that are not over and that no gateway runs: theirs has died, or has closed the store."""
        ...

    async def forget_events(self, *, ended_before_s: float) -> int:
        """Drop the journals, and the idempotency keys, of turns that ended before a time; says of how many turns."""
        ...

    # Sessions

    async def session(self, session_id: str, owner: str) -> Session | None:
        """Return a session, expired or not."""
        ...

    async def session_with_history(self, owner: str, digests: Sequence[bytes], *, now_s: float) -> Session | None:
        """Return the unexpired session that was used last among those whose history has one of these digests."""
        ...

    async def history(self, session_id: str) -> tuple[StoredMessage, ...]:
        """Return what the model is to know of a session, in order."""
        ...

    async def sessions(self, owner: str, query: SessionQuery, *, now_s: float) -> SessionList:
        """List sessions, the last used first."""
        ...

    async def messages(self, session_id: str, page: Page) -> MessageList:
        """List everything that was said in a session; `page.after` is a message's id."""
        ...

    async def add_session(self, session: Session, messages: Sequence[StoredMessage], head_digest: bytes | None) -> None:
        """Add a session with what was said in it elsewhere: a fork, an import."""
        ...

    async def change_session(
        self, session_id: str, owner: str, patch: SessionPatch, *, now_s: float, act: Act | None = None
    ) -> Session | None:
        """Change a session."""
        ...

    async def delete_session(self, session_id: str, owner: str) -> bool:
        """Delete a session with its messages and turns; what it used stays on the bill."""
        ...

    async def expired_sessions(self, *, expired_before_s: float, limit: int) -> tuple[tuple[str, str], ...]:
        """Return id and owner of sessions that expired before a time."""
        ...

    async def session_stats(self, owner: str, *, now_s: float) -> SessionStats:
        """Count."""
        ...

    # Projects

    async def add_project(self, project: Project, *, act: Act | None = None) -> None:
        """Add a project."""
        ...

    async def project(self, project_id: str, owner: str | None) -> Project | None:
        """Return a project; without an owner, whoever's it is."""
        ...

    async def projects(
        self, owner: str | None, page: Page, *, text: str = "", among: Sequence[str] | None = None
    ) -> ProjectList:
        """List projects, the newest first; `page.after` is a project's id. `among`: those with one of these ids."""
        ...

    async def change_project(
        self, project_id: str, owner: str, patch: ProjectPatch, *, now_s: float, act: Act | None = None
    ) -> Project | None:
        """Change a project."""
        ...

    async def delete_project(self, project_id: str, owner: str) -> bool:
        """Delete a project; its sessions stay, without a project."""
        ...

    # Keys

    async def add_key(self, key: ApiKey, *, act: Act | None = None) -> None:
        """Add a key."""
        ...

    async def key(self, key_id: str) -> ApiKey | None:
        """Return a key, whether it still opens or not."""
        ...

    async def key_with_digest(self, digest: bytes) -> ApiKey | None:
        """Return the key with this hash, whether it still opens or not."""
        ...

    async def keys(self, page: Page, *, with_revoked: bool = False) -> KeyList:
        """List keys, the newest first; `page.after` is a key's id."""
        ...

    async def change_key(self, key_id: str, patch: KeyPatch, *, act: Act | None = None) -> ApiKey | None:
        """Change what a key may."""
        ...

    async def replace_key(self, key_id: str, digest: bytes, *, act: Act | None = None) -> ApiKey | None:
        """Let another hash be the key's, and no longer the one before; None for a revoked one."""
        ...

    async def revoke_key(self, key_id: str, *, now_s: float, act: Act | None = None) -> ApiKey | None:
        """Let a key open nothing any more, for ever; again, it stays as it is."""
        ...

    async def note_use(self, used: Mapping[str, float]) -> None:
        """Note when keys, by their ids, were used; an earlier time than the one that is known says nothing."""
        ...

    async def take_hits(self, name: str, amount: int, *, limit: int, window_s: float, now_s: float) -> Window:
        """Count so many requests under a name, if no more than `limit` have been counted in the window with them."""
        ...

    async def forget_hits(self, *, before_s: float) -> None:
        """Drop what was counted before a time."""
        ...

    # Usage

    async def spending(self, owner: str, *, now_s: float) -> Spending:
        """Say what an owner's turns have cost this month, and today."""
        ...

    async def usage(self, query: UsageQuery) -> tuple[UsageRow, ...]:
        """Add up what turns used."""
        ...

    # The whole

    async def check(self) -> None:
        """Return if it works; raises `StoreError` else."""
        ...

    @property
    def boot_id(self) -> str:
        """Names this use of the store. The turns accepted under it are its own, for as long as the store is open."""
        ...

    @property
    def name(self) -> str:
        """What kind of database it is: "sqlite" or "postgresql"."""
        ...
