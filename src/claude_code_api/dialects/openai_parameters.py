"""The parameters that chat completions and completions have in common, → the words of a turn."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from claude_code_api.dialects.fields import (
    Notes,
    optional_bool,
    optional_number,
    optional_object,
    optional_positive_int,
    wrong_kind,
)
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Json, JsonObject

# OpenAI's range ends at 2, the model's at 1.
_HIGHEST_TEMPERATURE = 2
_MODEL_HIGHEST_TEMPERATURE = 1
MOST_ANSWERS = 8


def name_the_rest(
    body: JsonObject,
    honoured: Collection[str],
    named: Collection[str],
    defaults: Mapping[str, tuple[Json, ...]],
    notes: Notes,
) -> None:
    """Name every field that is present, does not ask for the default and is not honoured."""
    for name, value in body.items():
        if value is None or name in honoured or value in defaults.get(name, ()):
            continue
        if name in named:
            notes.add(name)
        else:
            notes.add_unknown(name)


def read_answers(body: JsonObject) -> int:
    """Read `n`."""
    wanted = optional_positive_int(body, "n") or 1
    if wanted > MOST_ANSWERS:
        raise invalid(f"`n` must be at most {MOST_ANSWERS}: each answer is a turn of its own.", param="n")
    return wanted


def read_stop(value: Json) -> tuple[str, ...]:
    """Read `stop`: a string, or several."""
    if value is None:
        return ()
    wanted = [value] if isinstance(value, str) else value
    if not isinstance(wanted, list):
        raise wrong_kind(value, "stop", "a string or a list of strings")
    found = []
    for index, entry in enumerate(wanted):
        path = f"stop[{index}]" if wanted is value else "stop"
        if not isinstance(entry, str):
            raise wrong_kind(entry, path, "a string")
        if not entry:
            raise invalid(f"`{path}` must not be empty: an empty string stops nothing.", param=path)
        found.append(entry)
    return tuple(found)


def read_temperature(body: JsonObject, notes: Notes) -> float | None:
    """Read `temperature`, and bring it into the model's range."""
    value = optional_number(body, "temperature", _HIGHEST_TEMPERATURE)
    if value is not None and value > _MODEL_HIGHEST_TEMPERATURE:
        notes.add("temperature>1")
        return float(_MODEL_HIGHEST_TEMPERATURE)
    return value


def read_stream(body: JsonObject, notes: Notes) -> tuple[bool, bool]:
    """Read `stream` and `stream_options`: whether to stream, and whether to end with the usage."""
    stream = optional_bool(body, "stream") is True
    options = optional_object(body, "stream_options") or {}
    usage = optional_bool(options, "include_usage", "stream_options.") is True
    for name, value in options.items():
        if name != "include_usage" and value not in (None, False):
            notes.add_unknown(name, "stream_options.")
    return stream, usage
