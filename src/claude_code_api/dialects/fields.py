"""Reads the fields of a decoded request body, one kind of value a function; the same for every dialect.

`null` is as if the field were absent. A wrong value is refused with a sentence that names the field and says what to
send instead; the value itself is not repeated, because it may be long or private. This file knows no dialect's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from claude_code_api.turn.errors import TurnRefusedError, invalid
from claude_code_api.turn.request import Json, JsonObject

# A body may hold 10,000 unknown keys; their names travel in one response header.
MAX_UNKNOWN_NAMED = 16
_MAX_SHOWN_CHARS = 64
# Functions of MCP servers have long names. One that the model cannot be told as it is gets another (models.functions).
MAX_FUNCTION_NAME_CHARS = 512
# The first that fits: Python's booleans are integers, and everything is an object.
_KINDS: tuple[tuple[type, str], ...] = (
    (type(None), "null"),
    (bool, "a boolean"),
    (int, "a number"),
    (float, "a decimal number"),
    (str, "a string"),
    (Mapping, "an object"),
    (object, "a list"),
)
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.:/+\-]")


def shown(text: str) -> str:
    """Make an id or a name of the client's fit to stand in a message or a header: short, plain, on one line."""
    plain = _NOT_A_NAME.sub("?", text[:_MAX_SHOWN_CHARS])
    return plain if len(text) <= _MAX_SHOWN_CHARS else plain + "..."


class Notes:
    """The names of what was sent and is not honoured, each once, in the order in which they were met."""

    __slots__ = ("_names", "_unknown", "remote")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._names: dict[str, None] = {}
        self._unknown: set[str] = set()
        self.remote: list[str] = []

    def add_remote(self, place: str) -> None:
        """Remember a part that is somewhere else than in the request."""
        self.remote.append(place)

    def add(self, name: str) -> None:
        """Name something that we know of."""
        self._names[name] = None

    def add_unknown(self, name: str, at: str = "") -> None:
        """Name a field that we do not know. The client chose the name, so it is made plain and their number is held."""
        name = at + shown(name)
        if len(self._unknown) < MAX_UNKNOWN_NAMED:
            self._names[name] = None
        self._unknown.add(name)

    def names(self) -> tuple[str, ...]:
        """Give all of them, and say how many unknown ones were left out."""
        more = len(self._unknown) - MAX_UNKNOWN_NAMED
        return (*self._names, f"{more}-more") if more > 0 else tuple(self._names)


def kind_of(value: Json) -> str:
    """Say in JSON's words what a value is."""
    return next(name for kind, name in _KINDS if isinstance(value, kind))


def wrong_kind(value: Json, path: str, wanted: str) -> TurnRefusedError:
    """Say that the value at `path` is of the wrong kind."""
    return invalid(f"`{path}` must be {wanted}, not {kind_of(value)}.", param=path)


def optional_string(body: JsonObject, name: str, at: str = "") -> str | None:
    """Read a string; the empty one counts."""
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong_kind(value, at + name, "a string")


def required_string(body: JsonObject, name: str, at: str = "") -> str:
    """Read a string that has to be there and may not be empty."""
    value = body.get(name)
    if not isinstance(value, str):
        raise wrong_kind(value, at + name, "a string")
    if not value:
        raise invalid(f"`{at}{name}` must not be empty.", param=at + name)
    return value


def optional_bool(body: JsonObject, name: str, at: str = "") -> bool | None:
    """Read true or false."""
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise wrong_kind(value, at + name, "true or false")


def optional_positive_int(body: JsonObject, name: str) -> int | None:
    """Read a whole number of at least 1."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_kind(value, name, "a whole number")
    if value < 1:
        raise invalid(f"`{name}` must be at least 1.", param=name)
    return value


def optional_number(body: JsonObject, name: str, highest: float) -> float | None:
    """Read a number from 0 to `highest`."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_kind(value, name, "a number")
    if not 0 <= value <= highest:
        raise invalid(f"`{name}` must be between 0 and {highest:g}.", param=name)
    return float(value)


def as_object(value: Json, path: str) -> JsonObject:
    """Take a value that has to be an object."""
    if isinstance(value, Mapping):
        return value
    raise wrong_kind(value, path, "an object")


def optional_object(body: JsonObject, name: str, at: str = "") -> JsonObject | None:
    """Read an object."""
    value = body.get(name)
    return None if value is None else as_object(value, at + name)


def objects_of(value: Json, path: str) -> Iterator[tuple[str, JsonObject]]:
    """Walk a list of objects, each with its own path."""
    if not isinstance(value, list):
        raise wrong_kind(value, path, "a list")
    for index, entry in enumerate(value):
        place = f"{path}[{index}]"
        yield place, as_object(entry, place)
