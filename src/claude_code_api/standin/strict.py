"""Whether the real Messages API would refuse a request, and in which words.

The rules are rows of `rules.json`, tried from top to bottom; what a model accepts stands in `models.json`. Knows
neither HTTP nor the scripts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from claude_code_api.standin import (
    strict_cache,
    strict_content,
    strict_media,
    strict_messages,
    strict_output,
    strict_parameters,
    strict_thoughts,
    strict_tools,
)
from claude_code_api.standin.model_table import Model, model_named
from claude_code_api.standin.strict_request import Request
from claude_code_api.standin.strict_rows import Check, OwnCheck, Row, rows

SPECIAL: Final[Mapping[str, Check]] = {
    **strict_parameters.CHECKS,
    **strict_messages.CHECKS,
    **strict_content.CHECKS,
    **strict_thoughts.CHECKS,
    **strict_media.CHECKS,
    **strict_cache.CHECKS,
    **strict_tools.CHECKS,
    **strict_output.CHECKS,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """How the API answers a request that it refuses. `rule`: the row of `rules.json` that was broken."""

    status: int
    error: str
    message: str
    rule: str


def refusal(body: object, headers: Mapping[str, str], size: int, *, counting: bool = False) -> Refusal | None:
    """Return how the API refuses this body, None where it accepts it. `counting`: it was sent to count its tokens."""
    request = asked(body, headers, size, counting=counting)
    for row, check in _rules_of(request.model):
        found = check(request)
        if found is not None:
            return Refusal(row.status, row.error, row.said({"model": request.get("model"), **found}), row.id)
    return None


def asked(body: object, headers: Mapping[str, str], size: int, *, counting: bool) -> Request:
    """Return a request as the rules look at it."""
    name = body.get("model") if isinstance(body, dict) else None
    return Request(
        body=body,
        model=model_named(name) if isinstance(name, str) else None,
        betas=frozenset(one.strip() for one in headers.get("anthropic-beta", "").split(",")),
        counting=counting,
        size=size,
    )


@cache
def _rules_of(model: Model | None) -> list[tuple[Row, Check]]:
    return [(row, SPECIAL[row.special] if row.special else OwnCheck(row.check)) for row in rows() if row.about(model)]
