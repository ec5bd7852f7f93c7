"""What a model accepts: one row a model, in `capabilities.json`, dated; an operator can override a row.

A name without a row takes the newest row of its family, joined with what the installed CLI says. Knows no request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, TypeAlias, get_args

import orjson

Temperature: TypeAlias = Literal["any", "one", "none"]
# Thinking kinds as the model's API names them.
DISABLED: Final = "disabled"
ENABLED: Final = "enabled"
ADAPTIVE: Final = "adaptive"

# What follows a model's own name: a day, an alias for the newest, a larger window that the CLI asks for by a header.
_SUFFIX: Final = re.compile(r"(-\d{8}|-latest|@\d{8})?(\[[^\[\]]*\])?$")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One row. Tokens and US dollars per million tokens; None: not known."""

    id: str
    family: str
    # The model that the installed CLI asks in its place; "": itself.
    sent_as: str = ""
    # The values of `thinking.type` that it accepts; empty: it does not think.
    thinking: tuple[str, ...] = ()
    # What it does where the request does not say.
    thinks_unless_told: bool = False
    # any: 0 to 1; one: nothing but 1; none: not even that.
    temperature: Temperature = "any"
    top_p: bool = True
    top_k: bool = True
    temperature_with_top_p: bool = True
    effort_levels: tuple[str, ...] = ()
    # Levels that it refuses where thinking is disabled.
    efforts_only_with_thinking: tuple[str, ...] = ()
    # The conversation may end with an answer that has begun.
    prefill: bool = True
    # `output_config.format` with a schema.
    json_schema: bool = False
    # `tool_choice` may force a call.
    forced_calls: bool = True
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    input_usd: float | None = None
    output_usd: float | None = None

    @property
    def can_be_quiet(self) -> bool:
        """Whether it can be kept from thinking."""
        return DISABLED in self.thinking or not self.thinks_unless_told

    @property
    def quiet(self) -> Mapping[str, str] | None:
        """What `thinking` has to say so that it does not think; None: nothing, the field is left out."""
        return {"type": DISABLED} if DISABLED in self.thinking else None


@dataclass(frozen=True, slots=True)
class Offer:
    """What the installed CLI says of a model that has no row."""

    effort_levels: tuple[str, ...] = ()
    adaptive: bool | None = None
    thinking_off: bool | None = None


_TEMPERATURES: Final = get_args(Temperature)
_NAMES: Final = frozenset(field.name for field in fields(Capabilities))
# A model of another maker: what every Messages API takes.
_UNKNOWN: Final = Capabilities(id="", family="")


class CapabilityError(Exception):
    """A row says something that no row can say."""


def row_of(said: Mapping[str, Any]) -> Capabilities:
    """Read a row. Raises `CapabilityError` where it has a field that there is not."""
    return replace(_UNKNOWN, **_checked(said))


def _checked(said: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(said) - _NAMES)
    if unknown:
        raise CapabilityError(f"{unknown[0]!r} is no capability; there are: {', '.join(sorted(_NAMES))}")
    return {name: _value(name, value) for name, value in said.items()}


def _value(name: str, value: object) -> object:
    known = getattr(_UNKNOWN, name)
    match known:
        case tuple():
            fits = isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)
        case bool():
            fits = isinstance(value, bool)
        case str():
            fits = isinstance(value, str) and (name != "temperature" or value in _TEMPERATURES)
        case _:
            fits = value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
    if not fits:
        raise CapabilityError(f"{name!r} cannot be {value!r}")
    return tuple(value) if isinstance(value, list) else value


@cache
def table() -> tuple[Capabilities, ...]:
    """Return the rows of the data file, the newest of a family last."""
    text = resources.files(__package__).joinpath("capabilities.json").read_bytes()
    return tuple(row_of(row) for row in orjson.loads(text)["models"])


def base_name(name: str) -> str:
    """Return a model's name without its day and without the window that is asked for."""
    return _SUFFIX.sub("", name.rpartition("/")[2].removeprefix("anthropic."))


class CapabilityTable:
    """The rows, with those of the operator over them."""

    def __init__(self, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """`overrides`: by a model's name, the fields of its row that are otherwise, or a whole new row."""
        self._rows = {row.id: row for row in table()}
        for name, said in (overrides or {}).items():
            known = self._rows.get(base_name(name)) or self._newest_of(base_name(name))
            self._rows[base_name(name)] = replace(known, **{**_checked(said), "id": base_name(name)})

    @property
    def rows(self) -> Sequence[Capabilities]:
        """Every row."""
        return tuple(self._rows.values())

    def of(self, name: str, offer: Offer = Offer()) -> Capabilities:
        """Return what a model accepts. A name without a row: its family's newest row, with what the CLI says of it."""
        base = base_name(name)
        known = self.row(name)
        if known is None:
            return _joined(replace(self._newest_of(base), id=base), offer)
        return self._rows.get(known.sent_as, known)

    def row(self, name: str) -> Capabilities | None:
        """Return the row of this very model, if there is one."""
        return self._rows.get(base_name(name))

    def _newest_of(self, base: str) -> Capabilities:
        of_family = [row for row in self._rows.values() if row.family and row.family in base.split("-")]
        return of_family[-1] if of_family else _UNKNOWN


def _joined(row: Capabilities, offer: Offer) -> Capabilities:
    """Take over what the CLI says; it is made for the model, and the row is of an older one."""
    kinds = set(row.thinking)
    for kind, said in ((ADAPTIVE, offer.adaptive), (DISABLED, offer.thinking_off)):
        if said is not None:
            kinds = kinds | {kind} if said else kinds - {kind}
    thinking = tuple(kind for kind in (DISABLED, ADAPTIVE, ENABLED) if kind in kinds)
    return replace(row, thinking=thinking, effort_levels=offer.effort_levels or row.effort_levels)
