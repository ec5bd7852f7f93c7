"""`keys`: make, list, replace and revoke keys, also beside gateways that run on the same database.

The store is opened without the gateway around it, whose imports would take most of a command's time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from claude_code_api.flow.keys import Keys, Made
from claude_code_api.flow.ports import StoreError
from claude_code_api.flow.records import Page
from claude_code_api.flow.system_clock import SystemClock
from claude_code_api.http.key_json import NewKey, key_json
from claude_code_api.settings import Settings
from claude_code_api.storage.address import StoreOpenError
from claude_code_api.storage.opening import open_store
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.profile import Profile

# Whoever may open the database may do everything already.
_BY: Final = "command line"
_PAGE: Final = 100
_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_COLUMNS: Final = ("id", "name", "scopes", "profile", "expires_at", "revoked_at", "last_used_at")
_ALWAYS: Final = frozenset({"id", "name", "scopes", "profile", "last_used_at"})
_WHOLE: Final = frozenset({"id", "profile", "expires_at", "revoked_at", "last_used_at"})

Result = TypeVar("Result")


class KeyMistakeError(Exception):
    """Something that a person can put right; the text says what."""


def create_key(settings: Settings, wanted: Mapping[str, object], expires: str | None, *, as_json: bool) -> None:
    """Make a key, and print it: nobody will see it again."""
    given = {name: value for name, value in wanted.items() if value not in (None, [])}
    if expires is not None:
        given["expires_at"] = time.time() + _seconds(expires)
    try:
        body = NewKey.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        option = str(problem["loc"][0]).replace("_", "-") if problem["loc"] else ""
        raise KeyMistakeError(f"--{option}: {problem['msg']}") from None
    terms = body.terms(settings.access)
    _tell(_run(settings, lambda keys: keys.add(terms, by=_BY, highest=Profile.FULL)), as_json=as_json)


def list_keys(settings: Settings, *, revoked: bool, as_json: bool) -> None:
    """Print what is known of the keys; the keys themselves are known to nobody."""

    async def everything(keys: Keys) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page = Page(limit=_PAGE)
        while True:
            part = await keys.list(page, with_revoked=revoked)
            found += map(key_json, part.data)
            if not part.has_more:
                return found
            page = Page(limit=_PAGE, after=part.data[-1].id)

    found = _run(settings, everything)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        _print_table(found)


def rotate_key(settings: Settings, key_id: str, *, as_json: bool) -> None:
    """Put another key in the place of this one, and print it."""
    _tell(_run(settings, lambda keys: keys.rotate(key_id, by=_BY, highest=Profile.FULL)), as_json=as_json)


def revoke_key(settings: Settings, key_id: str, *, as_json: bool) -> None:
    """Let a key open nothing any more."""
    said = key_json(_run(settings, lambda keys: keys.revoke(key_id, by=_BY)))
    if as_json:
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
    else:
        sys.stdout.write(f"{said['name']} ({said['id']}) is revoked; running gateways know within a second.\n")


def _run(settings: Settings, act: Callable[[Keys], Awaitable[Result]]) -> Result:
    async def acted() -> Result:
        async with open_store(settings.storage) as store:
            return await act(Keys(store, SystemClock()))

    try:
        return asyncio.run(acted())
    except TurnRefusedError as refusal:
        raise KeyMistakeError(refusal.error.message) from refusal
    except (StoreOpenError, StoreError) as error:
        raise KeyMistakeError(str(error)) from error


def _tell(made: Made, *, as_json: bool) -> None:
    said = {**key_json(made.stored), "key": made.key}
    if as_json:
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
        return
    # The key alone on standard output: `KEY=$(claude-code-api keys create ci)`.
    sys.stdout.write(made.key + "\n")
    sys.stdout.flush()
    sys.stderr.write(f"The key of {said['name']} ({said['id']}). It is kept nowhere: copy it now.\n")


def _print_table(found: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    # Ids are there to be copied; and most keys never expire, so that an empty column would only take their place.
    columns = [name for name in _COLUMNS if name in _ALWAYS or any(key[name] is not None for key in found)]
    for name in columns:
        table.add_column(name.removesuffix("_at").replace("_", " "), overflow="fold", no_wrap=name in _WHOLE)
    for key in found:
        table.add_row(*(_shown(name, key[name]) for name in columns))
    Console().print(table, markup=False)


def _shown(name: str, value: object) -> str:
    if value is None:
        return ""
    if name.endswith("_at") and isinstance(value, int):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _seconds(text: str) -> float:
    """Read how long: 90m, 12h, 30d, 8w."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and unit in _UNITS):
        raise KeyMistakeError(f"--expires-in takes a number and m, h, d or w, as in 30d, and not {text!r}.")
    # More digits would be more years than a calendar has.
    return int(number[:9]) * _UNITS[unit]
