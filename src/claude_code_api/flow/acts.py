"""What is done with the gateway that somebody may want to know of later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from claude_code_api.turn.request import Json


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done, or is about to be. `key`: the id of whose key it was."""

    at_s: float
    key: str
    kind: str
    what: Mapping[str, Json] = field(default_factory=dict)


def canonical(value: Mapping[str, Json]) -> str:
    """Write JSON in the one way that a hash can cover: sorted, no spaces, ASCII alone. It holds half characters."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
