"""The rules by which the stand-in refuses requests: `rules.json`, and how one that is broken is told.

A row with a `check` is a whole rule. The others are looked up by their id, by the code that finds the breach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

Body = Mapping[str, Any]

_INVALID: Final = "invalid_request_error"
# What is answered where it is not a 400.
_OTHERS: Final = {"unknown_model": (404, "not_found_error"), "size": (413, "request_too_large")}
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "list": (list,),
    "object": (dict,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what the API says where it is broken, and, if that is all, how that is found."""

    id: str
    what: str
    words: str
    field: str | None
    models: str
    source: str
    date: str
    check: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that says no. `rule`: the id of the rule that was broken."""

    rule: str
    message: str
    status: int = 400
    kind: str = _INVALID


class Breach(Exception):  # noqa: N818 - it is the request's, not ours
    """A rule is broken; `values` fill its words in."""

    def __init__(self, rule: str, **values: object) -> None:
        """Say which rule."""
        super().__init__(rule)
        self.rule, self.values = rule, values

    def told(self) -> Refusal:
        """Say it in the API's words."""
        status, kind = _OTHERS.get(self.rule, (400, _INVALID))
        return Refusal(self.rule, rules()[self.rule].words.format(**self.values), status, kind)


@cache
def rules() -> Mapping[str, Rule]:
    """Return all rules by their ids, in the order of the file."""
    data = orjson.loads(resources.files(__package__).joinpath("rules.json").read_bytes())
    found = [Rule(**row) for row in data["rules"]]
    return {rule.id: rule for rule in found}


def check_fields(body: Body, *, counting: bool) -> None:
    """Hold a body against the rules that are whole rows. Raises `Breach` with the first that is broken."""
    for rule in rules().values():
        if rule.check is not None and not (counting and rule.check.get("counting") is False):
            _check_field(rule, rule.check, body)


def _check_field(rule: Rule, check: Mapping[str, Any], body: Body) -> None:
    within = check.get("within")
    if within is not None and not any(True for _ in _values(body, within)):
        return
    for index, value in _values(body, check["path"], missing=bool(check.get("required"))):
        if not _fits(check, value):
            found = len(value) if isinstance(value, list) else value
            raise Breach(rule.id, index=index, found=found)


class _Missing:
    """Stands for a field that is not there."""


_MISSING: Final = _Missing()


def _values(body: Body, path: str, *, missing: bool = False) -> Iterator[tuple[int, Any]]:
    """Yield what stands at a path, and in which entry of a list; also what is missing there, if that is asked for."""
    first, _, rest = path.partition(".")
    listed = first.endswith("[]")
    name = first.removesuffix("[]")
    if name not in body:
        if missing and not rest and not listed:
            yield 0, _MISSING
        return
    entries = body[name] if listed else [body[name]]
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not rest:
            yield index, entry
        elif isinstance(entry, dict):
            yield from ((index if listed else inner, value) for inner, value in _values(entry, rest, missing=missing))


def _fits(check: Mapping[str, Any], value: object) -> bool:
    if isinstance(value, _Missing):
        return False
    kind = check.get("type")
    if kind is not None:
        # A truth value is a number in Python, and none in JSON.
        return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
    return _is_within(check, value) and _is_among(check, value)


def _is_within(check: Mapping[str, Any], value: object) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return bool(check.get("least", value) <= value <= check.get("most", value))
    if isinstance(value, str):
        return bool(check.get("min_chars", 0) <= len(value) <= check.get("max_chars", len(value)))
    if isinstance(value, list):
        return bool(check.get("min_items", 0) <= len(value) <= check.get("max_items", len(value)))
    return True


def _is_among(check: Mapping[str, Any], value: object) -> bool:
    if check.get("not_blank") and isinstance(value, str) and not value.strip():
        return False
    return "among" not in check or value in check["among"]
