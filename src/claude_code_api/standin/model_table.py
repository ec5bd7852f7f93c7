"""The table of models, `models.json`: what each accepts, by the same evidence as the rules.

Knows no request. A name that is newer than the table takes the newest row of its family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

# Claude Code marks the long context window so.
_MARK: Final = re.compile(r"\[\w+\]$")
# The first models of the fourth generation are also called 4-0.
_DATE: Final = re.compile(r"[-@]20\d{6}$|-latest$|(?<=-4)-0$")
_VERSION: Final = re.compile(r"claude-(?:(?P<family>[a-z]+)-(?P<new>\d{1,2}(?:-\d{1,2})?)|(?P<old>\d(?:-\d)?)-\w+)")


@dataclass(frozen=True, slots=True)
class Model:
    """What one model accepts."""

    id: str
    family: str
    display_name: str
    created_at: str
    thinking: tuple[str, ...]
    thinks_unless_told: bool
    temperature: str
    top_p: bool
    top_k: bool
    temperature_with_top_p: bool
    effort_levels: tuple[str, ...]
    efforts_only_with_thinking: tuple[str, ...]
    prefill: bool
    json_schema: bool
    forced_calls: bool
    system_messages: bool
    context_tokens: int
    max_output_tokens: int

    @property
    def version(self) -> tuple[int, ...]:
        """The version, in numbers that can be compared."""
        return _version(self.id)


@cache
def models() -> tuple[Model, ...]:
    """Return all rows, oldest first."""
    data = orjson.loads(resources.files(__package__).joinpath("models.json").read_bytes())
    return tuple(_row(row) for row in data["models"])


def _row(row: dict[str, Any]) -> Model:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Model(**values)


@cache
def model_named(name: str) -> Model | None:
    """Return the row of a model; None: there is no such model."""
    short = _short(_MARK.sub("", name))
    found = next((model for model in models() if short in (model.id, _short(model.id))), None)
    if found is not None:
        return found
    read = _VERSION.fullmatch(short)
    if read is None or read["family"] is None:
        return None
    older = [model for model in models() if model.family == read["family"] and model.version < _version(short)]
    return max(older, key=lambda model: model.version, default=None)


def _short(name: str) -> str:
    """Leave the date out of a name."""
    return _DATE.sub("", name)


def _version(name: str) -> tuple[int, ...]:
    read = _VERSION.match(_short(name))
    numbers = (read["new"] or read["old"]) if read is not None else ""
    return tuple(int(number) for number in numbers.split("-") if number)
