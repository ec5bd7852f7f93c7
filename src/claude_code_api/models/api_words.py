"""What the model's API says when it refuses a request → which of its rules that is, and which field is to blame.

The words themselves reach the client as they came; this only sorts them. Knows no request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import orjson

OTHER: Final = "other"
# Where the words begin with the place of the fault, as in "tools.0.custom.name: …".
_PLACE: Final = re.compile(r"`?([a-z_]+)[.:`]")
# What the model's API calls our fields otherwise.
_OURS: Final = {
    "thinking": "reasoning",
    "output_config.effort": "reasoning",
    "output_config.format": "output_schema",
    "stop_sequences": "stop",
    "metadata": "end_user",
}
_FIELDS: Final = frozenset(
    {"messages", "system", "tools", "tool_choice", "max_tokens", "temperature", "top_p", "top_k", "cache_control"}
    | {"model", "stream", "service_tier", *_OURS}
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the model's API, by which it refuses requests. `field`: as the API calls it."""

    id: str
    words: re.Pattern[str]
    field: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which rule refused, and our name of the field; None: it is not known which."""

    rule: str
    field: str | None
    api_field: str | None


@cache
def rules() -> tuple[Rule, ...]:
    """Return the rules that are known by their words."""
    data = orjson.loads(resources.files(__package__).joinpath("refusals.json").read_bytes())
    return tuple(Rule(row["id"], re.compile(row["words"]), row["field"]) for row in data["rules"])


def refusal_in(words: str) -> Refusal:
    """Sort what the API said."""
    rule = next((rule for rule in rules() if rule.words.search(words)), None)
    place = _PLACE.match(words)
    told = place[1] if place is not None and place[1] in _FIELDS else None
    field = rule.field if rule is not None and rule.field is not None else told
    return Refusal(rule.id if rule is not None else OTHER, _OURS.get(field or "", field), field)
