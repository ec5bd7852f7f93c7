"""Rules about marks for the prompt cache: how many, in which order, and where not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from claude_code_api.standin.strict_request import Request
from claude_code_api.standin.strict_rows import Check, Found

# Breakpoints that one request may have.
MAX_MARKS: Final = 4


def _marks(request: Request) -> Found | None:
    # The one on the top of the body is set by the API itself, at a place where it may meet another.
    found = sum(1 for at, _ in request.marked if at)
    return {"found": found} if found > MAX_MARKS else None


def _ttl_order(request: Request) -> Found | None:
    short = False
    for at, thing in request.marked:
        mark = thing["cache_control"]
        long = isinstance(mark, dict) and mark.get("ttl") == "1h"
        if long and short and at:
            return {"place": at}
        short = short or not long
    return None


def _broken_mark(request: Request, key: str, known: tuple[str, ...]) -> Found | None:
    for at, thing in request.marked:
        mark = thing["cache_control"]
        if isinstance(mark, dict) and mark.get(key, known[0]) not in known:
            return {"place": f"{at}.cache_control" if at else "cache_control"}
    return None


def _type(request: Request) -> Found | None:
    return _broken_mark(request, "type", ("ephemeral",))


def _ttl(request: Request) -> Found | None:
    return _broken_mark(request, "ttl", ("5m", "1h"))


def _is_object(request: Request) -> Found | None:
    for at, thing in request.marked:
        mark = thing["cache_control"]
        if not isinstance(mark, dict) or "type" not in mark:
            return {"place": f"{at}.cache_control" if at else "cache_control"}
    return None


def _empty_text(request: Request) -> Found | None:
    for at, thing in request.marked:
        if thing.get("type") == "text" and thing.get("text") == "":
            return {"place": at}
    return None


CHECKS: Final[Mapping[str, Check]] = {
    "cache_marks": _marks,
    "cache_ttl_order": _ttl_order,
    "cache_type": _type,
    "cache_ttl": _ttl,
    "cache_object": _is_object,
    "cache_empty_text": _empty_text,
}
