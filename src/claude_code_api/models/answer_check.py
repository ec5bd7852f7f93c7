"""Whether an answer is the JSON that the client asked for, by the client's own schema.

Schemas and answers are strangers': nothing outside of a schema is ever fetched, and a check that would take long is
given up. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from claude_code_api.turn.request import JsonObject

# Keywords looked at for one answer: an answer of some thousand values, within a second or two. A schema can be made to
# ask for billions of them.
MAX_STEPS: Final = 30_000
# So many places of a text that a pattern may be tried at, over and over.
_MAX_TRIES: Final = 1_000_000
_SHOWN_CHARS: Final = 300
_FENCED: Final = re.compile(r"\s*```[a-zA-Z0-9]*\n(.*?)\n?```\s*", re.DOTALL)
# What a pattern can repeat: by any of these; a group that is repeated can take for ever.
_REPEATED: Final = re.compile(r"[*+{]")
_CLASS_OR_ESCAPE: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]|\(\?")


class TooMuchError(Exception):
    """The check would take too long."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check. `text`: the JSON itself; `problem`: what is wrong with it, None where nothing is."""

    text: str
    problem: str | None = None
    # It could not be checked to its end.
    given_up: bool = False


def schema_problem(schema: JsonObject) -> str | None:
    """Say why nothing can be checked by a schema; None: it can."""
    if _leads_out(schema):
        return "it refers to something outside of itself"
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        return str(error.message)[:_SHOWN_CHARS]
    except RecursionError:
        return "it is nested too deeply"
    return None


def check(text: str, schema: JsonObject) -> Checked:
    """Check an answer. A fence around the JSON is taken off: it says the same."""
    fenced = _FENCED.fullmatch(text)
    bare = fenced[1] if fenced is not None else text
    try:
        value = json.loads(bare, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return Checked(text, f"it is not JSON: {error}"[:_SHOWN_CHARS])
    try:
        worst = best_match(_validator(schema).iter_errors(value))
    except (TooMuchError, RecursionError, Unresolvable):
        return Checked(bare, given_up=True)
    if worst is None:
        return Checked(bare)
    return Checked(bare, f"{worst.json_path}: {worst.message}"[:_SHOWN_CHARS])


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


Keyword = Callable[[Validator, Any, Any, JsonObject], Iterator[ValidationError] | None]


def _validator(schema: JsonObject) -> Validator:
    kind = validator_for(schema, default=Draft202012Validator)
    steps = iter(range(MAX_STEPS))
    counted: dict[str, Keyword] = {name: partial(_counted, rule, steps) for name, rule in kind.VALIDATORS.items()}
    counted["pattern"] = _pattern
    bounded = extend(kind, counted)
    return bounded(schema, registry=Registry())


def _counted(
    rule: Keyword,
    steps: Iterator[int],
    validator: Validator,
    wanted: Any,  # noqa: ANN401 - JSON
    value: Any,  # noqa: ANN401 - JSON
    schema: JsonObject,
) -> Iterator[ValidationError]:
    if next(steps, None) is None:
        raise TooMuchError
    yield from rule(validator, wanted, value, schema) or ()


def _pattern(_: Validator, pattern: str, value: Any, __: JsonObject) -> Iterator[ValidationError]:  # noqa: ANN401
    if isinstance(value, str) and is_quick(pattern, len(value)) and not re.search(pattern, value):
        yield ValidationError(f"{value[:_SHOWN_CHARS]!r} does not match {pattern!r}")


def is_quick(pattern: str, chars: int) -> bool:
    """Whether a pattern is sure to be tried on so many characters in a moment."""
    plain = _CLASS_OR_ESCAPE.sub("x", pattern)
    if _REPEATED_GROUP.search(plain):
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    # Each repetition can end anywhere, and the whole can begin anywhere.
    places = len(_REPEATED.findall(plain)) + (not plain.startswith("^"))
    return bool((chars + 1) ** places <= _MAX_TRIES)


def _leads_out(value: object) -> bool:
    if isinstance(value, Mapping):
        target = value.get("$ref", value.get("$dynamicRef"))
        if isinstance(target, str) and not target.startswith("#"):
            return True
        return any(_leads_out(one) for one in value.values())
    return isinstance(value, list) and any(map(_leads_out, value))
