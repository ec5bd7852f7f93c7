"""What a person can say to a call that waits for one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from claude_code_api.turn.request import JsonObject


class Decision(Enum):
    """What becomes of a call."""

    ALLOW = "allow"
    # And every further one of its kind in the session, without asking.
    ALLOW_ALWAYS = "allow_always"
    DENY = "deny"


class Settler(Enum):
    """Who decided."""

    PERSON = "person"
    # What a person had allowed for good, earlier in the session.
    RULE = "rule"
    # Nobody, within the time that there was.
    TIME = "time"
    # The turn ended, or the model gave the call up.
    END = "end"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, with what goes with it."""

    decision: Decision
    by: Settler = Settler.PERSON
    # What the model is told of a denial.
    message: str = ""
    # What the call is made with instead of what the model wanted.
    arguments: JsonObject | None = None
