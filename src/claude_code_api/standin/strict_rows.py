"""The rules as they stand in `rules.json`, and the checks that a row carries itself.

A row with `check` is a whole rule: `path` names a field, the other keys say what it has to be. A row with `special`
names a function of the `strict_*` modules. Rows are tried from top to bottom; the first that is broken answers.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, TypeAlias

import orjson

from claude_code_api.standin.model_table import Model
from claude_code_api.standin.strict_request import MISSING, Request, Spot, steps_of

# What fills the braces in a rule's words.
Found: TypeAlias = Mapping[str, object]
Check: TypeAlias = Callable[[Request], Found | None]
_Test: TypeAlias = Callable[[Any, Any], bool]

_TRAIT: Final = re.compile(r"(?P<trait>\w+) (?P<verb>is|lacks|has) (?P<values>.+)")
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "list": (list,),
    "string or list": (str, list),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One rule. `status` and `error`: what the refusal is answered with. `quoted`: the words are the API's own."""

    id: str
    what: str
    models: str
    words: str
    field: str | None
    source: str
    date: str
    check: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    special: str = ""
    quoted: bool = True
    status: int = 400
    error: str = "invalid_request_error"

    def about(self, model: Model | None) -> bool:
        """Whether the rule is one of this model's."""
        traits = [] if self.models == "all" else self.models.split(" and ")
        return all(self._fits(model, trait) for trait in traits)

    def _fits(self, model: Model | None, trait: str) -> bool:
        read = _TRAIT.fullmatch(trait)
        if read is None:
            raise ValueError(f"rule {self.id}: not a trait of a model: {trait!r}")
        if model is None:
            return False
        value, wanted = getattr(model, read["trait"]), read["values"].split(" or ")
        match read["verb"]:
            case "is":
                return _word(value) in wanted
            case "has":
                return any(one in value for one in wanted)
            case _:
                return all(one not in value for one in wanted)

    def said(self, found: Found) -> str:
        """The words, filled in."""
        return self.words.format_map(dict(found))


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "empty"
    return str(value).lower()


@cache
def rows() -> tuple[Row, ...]:
    """Return the rules in the order in which they are tried."""
    data = orjson.loads(resources.files(__package__).joinpath("rules.json").read_bytes())
    return tuple(Row(**row) for row in data["rules"])


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


# Whether a value breaks what a row asks for. Values of another type are the business of the rule about the type.
_BROKEN: Final[Mapping[str, _Test]] = {
    "type": lambda value, kind: not _is(value, kind),
    "least": lambda value, least: _is(value, "number") and value < least,
    "most": lambda value, most: _is(value, "number") and value > most,
    "min_chars": lambda value, least: isinstance(value, str) and len(value) < least,
    "max_chars": lambda value, most: isinstance(value, str) and len(value) > most,
    "min_items": lambda value, least: isinstance(value, list) and len(value) < least,
    "max_items": lambda value, most: isinstance(value, list) and len(value) > most,
    "among": lambda value, known: not isinstance(value, bool) and value not in known,
    "not_among": lambda value, refused: value in refused,
    "pattern": lambda value, pattern: isinstance(value, str) and re.search(pattern, value) is None,
    "not_blank": lambda value, _: _blank(value),
    "only": lambda value, known: isinstance(value, dict) and not set(value) <= set(known),
    "absent": lambda _value, _: True,
}


class OwnCheck:
    """A row's own check: where and with what a request breaks it, None where it does not."""

    def __init__(self, check: Mapping[str, Any]) -> None:
        self._check = check
        self._steps = steps_of(check["path"])
        self._tests = [(_BROKEN[name], asked) for name, asked in check.items() if name in _BROKEN]
        self._required, self._nullable = bool(check.get("required")), bool(check.get("nullable"))

    def __call__(self, request: Request) -> Found | None:
        """Look at all places that the path leads to."""
        further = len(self._steps) > 1
        if not self._applies(request) or (further and self._steps[0].name not in request.body):
            return None
        return next((_told(spot, self._check) for spot in self._broken(request)), None)

    def _applies(self, request: Request) -> bool:
        if self._check.get("counting") == ("never" if request.counting else "only"):
            return False
        beta = self._check.get("unless_beta")
        return beta is None or not any(one.startswith(beta) for one in request.betas)

    def _broken(self, request: Request) -> Iterator[Spot]:
        last = self._steps[-1]
        if last.entries is not None or last.kind is not None:
            yield from (spot for spot in request.spots(self._steps) if self._breaks(spot.value))
            return
        # Most fields are as they should be: a place is made only of one that is not.
        for holder in request.spots(self._steps[:-1]):
            if isinstance(holder.value, dict) and self._breaks(value := holder.value.get(last.name, MISSING)):
                yield Spot(value, (*holder.parts, last.name))

    def _breaks(self, value: object) -> bool:
        if value is MISSING:
            return self._required
        if value is None and self._nullable:
            return False
        return any(broken(value, asked) for broken, asked in self._tests)


def _told(spot: Spot, check: Mapping[str, Any]) -> Found:
    numbers = spot.numbers
    found = spot.value
    if isinstance(found, list):
        found = len(found)
    elif isinstance(found, dict):
        found = next((name for name in found if name not in check.get("only", found)), "")
    return {
        "place": spot.at,
        "holder": ".".join(map(str, spot.parts[:-1])),
        "found": found,
        "index": numbers[0] if numbers else "",
        "block": numbers[1] if len(numbers) > 1 else "",
    }
