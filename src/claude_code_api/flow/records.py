"""What is kept: projects, sessions, their messages, turns and what they used. Nouns only.

Times are Unix seconds. Every record has an owner, the name of the caller that made it; nobody else ever sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from claude_code_api.flow.acts import Act
from claude_code_api.flow.amounts import NO_BUDGET, Budget, Charge, Reservation
from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.events import Ended, Usage
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TextBlock


class Mode(Enum):
    """Whom an agent asks, within what its profile allows."""

    # Nobody: what its profile allows is done, everything else is denied.
    AUTO = "auto"
    # A person, for each edit and command.
    ASK = "ask"
    # A person, for the plan; nothing is changed before.
    PLAN = "plan"
    # A person, for commands; files in the project are edited without asking.
    ACCEPT_EDITS = "accept_edits"


class TurnState(Enum):
    """Where a turn stands. All but the first two are for ever."""

    ACCEPTED = "accepted"
    DISPATCHED = "dispatched"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self not in {TurnState.ACCEPTED, TurnState.DISPATCHED}


@dataclass(frozen=True, slots=True)
class Project:
    """A directory for an agent, and what goes with it."""

    id: str
    owner: str
    name: str
    description: str
    # Below the project root; the store never touches the disk.
    path: str
    profile: Profile
    created_s: float
    updated_s: float
    is_active: bool = True
    # That of its new sessions.
    mode: Mode = Mode.AUTO
    # Whether its own settings, hooks and servers count: it holds somebody's code until an administrator says otherwise.
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation. Counts and totals are those of everything that was ever said in it."""

    id: str
    owner: str
    project_id: str | None
    title: str
    model: str
    system: tuple[TextBlock, ...]
    profile: Profile
    created_s: float
    updated_s: float
    last_used_s: float
    # How long it is kept after its last use; None: for ever.
    ttl_s: float | None
    message_count: int = 0
    turn_count: int = 0
    usage: Usage = field(default_factory=lambda: Usage(cost_usd=0.0))
    # Where it was forked from: the session, and how many of its messages were taken over.
    forked_from: str | None = None
    forked_at: int | None = None
    # Grows with every turn: only the newest turn's final record counts.
    fence: int = 0
    mode: Mode = Mode.AUTO

    @property
    def expires_s(self) -> float | None:
        """When it is no longer continued."""
        return None if self.ttl_s is None else self.last_used_s + self.ttl_s


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of a session, exactly as it was said."""

    id: str
    session_id: str
    # Counts from 1 within the session, without gaps.
    number: int
    turn_id: str | None
    message: Message
    created_s: float
    # The answer was cut: what follows is not there.
    truncated: bool = False
    # Part of an agent's own work: what clients see of it is in the answer that follows.
    step: bool = False
    # What was superseded (a cut answer that was asked for again, a second choice) is kept, and not sent to the model.
    in_history: bool = True
    # What the model is told of everything before this message, where the conversation had outgrown it: the last one of
    # a session holds.
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: who asked for what, where it stands, and what it came to."""

    id: str
    session_id: str
    owner: str
    project_id: str | None
    dialect: str
    requested_model: str
    model: str
    state: TurnState
    # The start of the gateway that runs it: after another start, nobody runs it any more.
    boot_id: str
    fence: int
    created_s: float
    ended_s: float | None = None
    usage: Usage | None = None
    ended: Ended | None = None
    error: TurnError | None = None
    first_token_ms: float | None = None
    # The number of the answer in its session, where there is one.
    answer_number: int | None = None
    # What its dialect needs to tell the answer at another time, as JSON; without it, it does not.
    note: str | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's own name for a request: sent again, it is the same turn."""

    key: str
    # What was asked for under it, hashed: the key does not open another request's answer.
    body_digest: bytes


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Everything that is written before a turn begins (T0), in one transaction.

    `new_session` is made first, where there is one; `messages` are then appended to it, in order; a cut answer that is
    asked for again is taken out of the history. The digests say what history the session has afterwards: see
    `flow/conversation.py`.
    """

    turn: Turn
    messages: tuple[StoredMessage, ...]
    new_session: Session | None = None
    superseded: tuple[str, ...] = ()
    # The history with the new messages, as yet unanswered.
    open_digest: bytes = b""
    # What a session without a title is called from now on.
    title: str = ""
    # What the session is from now on.
    model: str = ""
    system: tuple[TextBlock, ...] = ()
    project_id: str | None = None
    idempotency: IdempotencyKey | None = None
    # What it may come to, and what its key may spend; None: nobody watches that.
    reservation: Reservation | None = None
    budget: Budget = NO_BUDGET


@dataclass(frozen=True, slots=True)
class Compaction:
    """From now on the model knows everything before one message by this summary alone."""

    summary: str
    # The first message that it still knows word for word; None: the first one of the turn itself.
    message_id: str | None


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """Everything that is written when a turn is over (T4), in one transaction, under the fence it was accepted with."""

    turn_id: str
    session_id: str
    fence: int
    state: TurnState
    ended_s: float
    model: str
    # What an agent did before it answered, in order.
    steps: tuple[StoredMessage, ...]
    answer: StoredMessage | None
    usage: Usage | None
    ended: Ended | None
    error: TurnError | None
    # The history with the answer, if the next request may go on from it.
    head_digest: bytes | None
    # Readers may still come back for its events.
    keep_events: bool = False
    first_token_ms: float | None = None
    # What it has cost, for budgets; None: as its usage says.
    charge: Charge | None = None
    # Whose it was: also where the turn is gone with its session, its owner has spent it.
    owner: str = ""
    compaction: Compaction | None = None
    # What became of its agent's calls.
    acts: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Some of a turn's events, as JSON texts; `first` is the number of the first one, counted from 1."""

    turn_id: str
    first: int
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted: `limit` entries after the one named, newest first unless said."""

    limit: int = 20
    after: str | None = None
    ascending: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A part of a list; `total` counts all of it."""

    has_more: bool
    total: int


@dataclass(frozen=True, slots=True)
class ProjectList(Listed):
    """Projects."""

    data: tuple[Project, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionList(Listed):
    """Sessions."""

    data: tuple[Session, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageList(Listed):
    """Messages of one session."""

    data: tuple[StoredMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionQuery:
    """Which sessions: of a project, with words in the title or in what was said, expired ones too."""

    project_id: str | None = None
    text: str = ""
    with_expired: bool = False
    page: Page = Page()


@dataclass(frozen=True, slots=True)
class SessionPatch:
    """What changes about a session; None leaves a thing as it is."""

    title: str | None = None
    model: str | None = None
    system: tuple[TextBlock, ...] | None = None
    profile: Profile | None = None
    project_id: str | None = None
    # In a tuple, because None is a value: it never expires.
    ttl_s: tuple[float | None] | None = None
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class ProjectPatch:
    """What changes about a project; None leaves a thing as it is."""

    name: str | None = None
    description: str | None = None
    profile: Profile | None = None
    is_active: bool | None = None
    mode: Mode | None = None
    trusted: bool | None = None


class Change(Enum):
    """What became of a file."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class FileChange:
    """What became of a file since a turn began: by its agents, and by whoever else worked on it."""

    # Below the project's directory.
    name: str
    change: Change
    insertions: int
    deletions: int
    # None: it is no text, or too large to be compared.
    diff: str | None
    # Whether what it was then has been kept.
    restorable: bool


class UsageGroup(Enum):
    """By what usage is added up."""

    DAY = "day"
    KEY = "key"
    PROJECT = "project"
    SESSION = "session"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which turns' usage: from a time up to (not including) another, and by what it is added up.

    `owner` None: everybody's, for those who manage the gateway.
    """

    owner: str | None
    groups: tuple[UsageGroup, ...] = (UsageGroup.DAY,)
    since_s: float | None = None
    until_s: float | None = None
    project_id: str | None = None
    session_id: str | None = None
    model: str | None = None
    # Groups at most, the newest days first.
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one group used. `group` has one value for each of the query's groups; a day is YYYY-MM-DD in UTC."""

    group: Mapping[UsageGroup, str]
    turns: int
    failed_turns: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class SessionStats:
    """All sessions of one owner, in numbers."""

    sessions: int
    active_sessions: int
    messages: int
    turns: int
    usage: Usage
