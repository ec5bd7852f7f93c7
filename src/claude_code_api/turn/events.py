"""What an engine can say about a turn: the `TurnEvent` union.

Ids and time travel in the events, so that an encoder needs neither a clock nor a random source. Their legal order
stands in `order.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from claude_code_api.turn.approvals import Decision, Settler
from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.request import JsonObject


class PartKind(Enum):
    """What a part of the answer is made of."""

    TEXT = "text"
    THINKING = "thinking"
    # Thoughts that only the model can read: its data is the part's text.
    REDACTED = "redacted_thinking"
    TOOL = "tool"


class EndReason(Enum):
    """Why the model stopped, in its own words. A failure is not a reason: it is `Failed`."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_USE = "tool_use"
    STOP_SEQUENCE = "stop_sequence"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Started:
    """The model took the request. `model` is the one that really answers; `created_s` is Unix time.

    Engines know of no sessions: `session_id` is written in where the turn is run, and is no part of what they say.
    """

    turn_id: str
    model: str
    created_s: int
    session_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PartStarted:
    """A part opens. `tool_id` and `tool_name` go with TOOL alone."""

    index: int
    kind: PartKind
    tool_id: str = ""
    tool_name: str = ""


@dataclass(frozen=True, slots=True)
class PartDelta:
    """More of the open part: text, thinking, or a piece of the call's arguments as JSON text."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The open part is whole. A thinking part brings its signature."""

    index: int
    signature: str = ""


class Phase(Enum):
    """Where one of the CLI's own tools stands."""

    STARTED = "started"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ToolActivity:
    """What one of the CLI's own tools did (never a client's function: that is a TOOL part).

    With STARTED the body holds the call's arguments; with ENDED what the model was told of it (`content`, `is_error`)
    and, where there is one, the tool's own account (`result`).
    """

    tool_id: str
    tool_name: str
    phase: Phase
    body: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApprovalWanted:
    """A tool call waits for a person.

    `shown` is what a person needs to see of it: its `kind` is diff, command, plan, questions or arguments. `always`
    names what `allow_always` would allow, or is "" where that cannot be. Engines know of no deadline: `expires_s`, Unix
    time, is written in where the turn is run.
    """

    approval_id: str
    tool_id: str
    tool_name: str
    arguments: JsonObject
    shown: JsonObject = field(default_factory=dict)
    always: str = ""
    expires_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class ApprovalSettled:
    """The call waits no longer. `edited`: it is made with other arguments than the model's."""

    approval_id: str
    tool_id: str
    decision: Decision
    by: Settler
    message: str = ""
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Compacted:
    """The conversation had outgrown the model: from now on it knows the first `before` messages by a summary alone."""

    summary: str
    before: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of this turn so far, as the model counted them; each `Usage` replaces the one before.

    `input_tokens` are the ones neither read from nor written to the cache. `cost_usd` is None until it is known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None

    @property
    def all_input_tokens(self) -> int:
        """Everything that the model read."""
        return self.input_tokens + self.cache_read_tokens + self.cache_creation_tokens


def total_usage(usages: Iterable[Usage | None]) -> Usage | None:
    """Add up what several turns used; None where nothing is known of any."""
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    costs = [usage.cost_usd for usage in known if usage.cost_usd is not None]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in known),
        output_tokens=sum(usage.output_tokens for usage in known),
        cache_read_tokens=sum(usage.cache_read_tokens for usage in known),
        cache_creation_tokens=sum(usage.cache_creation_tokens for usage in known),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in known),
        cost_usd=sum(costs) if costs else None,
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is whole. `stop_sequence` says which one matched, with STOP_SEQUENCE alone."""

    reason: EndReason
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn ended without a whole answer."""

    error: TurnError


TurnEvent: TypeAlias = (
    Started
    | PartStarted
    | PartDelta
    | PartEnded
    | ToolActivity
    | Compacted
    | ApprovalWanted
    | ApprovalSettled
    | Usage
    | Ended
    | Failed
)
