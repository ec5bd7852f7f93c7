"""What can be set about the running of turns, and about who may ask for them.

In an Options class an annotation's first string is the setting's description; a second one, "secret", keeps its value
out of every listing. Units stand last in the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any


class UnknownModel(Enum):
    """What becomes of a model name that nobody knows."""

    FALLBACK = "fallback"
    REFUSE = "refuse"


class IgnoredParams(Enum):
    """What becomes of a request with fields that cannot be honoured."""

    NAME = "name"
    REFUSE = "refuse"


class RatesIn(Enum):
    """Where requests are counted."""

    AUTO = "auto"
    MEMORY = "memory"
    DATABASE = "database"


class RemoteParts(Enum):
    """What becomes of images that are named by a URL."""

    REFUSE = "refuse"
    FORWARD = "forward"


# Names that people's tools send by habit, and the names the CLI takes for them.
DEFAULT_ALIASES = MappingProxyType(
    {
        "gpt-3.5-turbo": "sonnet",
        "gpt-4": "opus",
        "gpt-4-turbo": "sonnet",
        "gpt-4o": "sonnet",
        "gpt-4o-mini": "haiku",
        "claude-sonnet": "sonnet",
        "claude-opus": "opus",
        "claude-haiku": "haiku",
    }
)


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """The settings of turns."""

    # Each is a process of about 120 MB, and two cores start six to eight of them a second.
    max_turns: Annotated[int, "Turns that run at once."] = 16
    max_waiting: Annotated[int, "Requests that may wait for a turn; the next one gets 429."] = 64
    wait_s: Annotated[float, "Seconds that a request waits for a turn before it gets 429."] = 30.0
    turn_s: Annotated[float, "Seconds after which a turn is ended, whatever the model does."] = 1800.0
    # Long enough to be called to the screen and to read a diff; a forgotten turn gives its place back before long.
    approval_s: Annotated[float, "Seconds that a person has to decide about an agent's call; then it is denied."] = (
        300.0
    )
    # A week: long enough to come back from a weekend, and then some.
    checkpoint_s: Annotated[float, "Seconds for which it is kept what files were before agents changed them."] = (
        604_800.0
    )
    # A path, or the line of a command that somebody will want to see; of the rest there is the digest.
    audit_chars: Annotated[int, "Characters of a path or a command that the record of calls shows; 0: none."] = 300
    session_ttl_s: Annotated[float, "Seconds after its last use for which a session is continued."] = 86400.0
    purge_after_s: Annotated[
        float, "Seconds after which an expired session is deleted; 0: never, it can still be read and extended."
    ] = 0.0
    session_max_waiting: Annotated[int, "Requests that may wait for a session's turn; the next one gets 409."] = 8
    session_wait_s: Annotated[float, "Seconds that a request waits for its session before it gets 409."] = 30.0
    # Each write costs a sync of the disk; what a crash takes is only the end of an answer that it cut anyway.
    journal_s: Annotated[float, "Seconds between two writes of what running turns have said so far."] = 1.0
    replay_s: Annotated[float, "Seconds for which a finished turn's events and idempotency key are kept."] = 86400.0
    default_model: Annotated[str, "The model for names that nobody knows."] = "sonnet"
    unknown_model: Annotated[UnknownModel, "fallback: use the default model and say so; refuse: answer 404."] = (
        UnknownModel.FALLBACK
    )
    ignored_params: Annotated[
        IgnoredParams, "name: answer, and name fields that cannot be honoured in X-Ignored-Params; refuse: answer 400."
    ] = IgnoredParams.NAME
    remote_parts: Annotated[
        RemoteParts, "refuse: answer 400 to images named by a URL; forward: let the model's API fetch them."
    ] = RemoteParts.REFUSE
    model_aliases: Annotated[Mapping[str, str], "Further names for models, as a JSON object."] = field(
        default_factory=lambda: DEFAULT_ALIASES
    )
    model_capabilities: Annotated[
        Mapping[str, Mapping[str, Any]],
        "What models accept, where the table is wrong: a JSON object of rows by model, as in docs/models.md.",
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """The settings of access."""

    require_auth: Annotated[bool, "Ask for a key. Can be switched off on a loopback address alone."] = True
    keys: Annotated[tuple[str, ...], "Further keys, separated by commas.", "secret"] = field(default=(), repr=False)
    # Two of a person's busy tools, and a script that runs wild is noticed before it costs much.
    key_requests_per_minute: Annotated[
        int, "Requests in any minute that a newly made key may send, unless it is made with another number; 0: any."
    ] = 100
    key_burst: Annotated[int, "How many of them a newly made key may send within one second; 0: any."] = 10
    key_concurrent_turns: Annotated[int, "Turns that a newly made key may run at once; 0: any."] = 4
    key_queue: Annotated[int, "Turns of a newly made key that may wait for one of its own to end."] = 16
    # A guess at 256 random bits wins nothing; what is bounded is the work that it makes, also in the log.
    failed_keys_per_minute: Annotated[
        int, "Wrong keys that may come from one address in a minute before it gets 429; 0: any."
    ] = 600
    rates_in: Annotated[
        RatesIn, "Where requests are counted. auto: in the database where that is PostgreSQL, in memory else."
    ] = RatesIn.AUTO
