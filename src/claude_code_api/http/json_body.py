"""The one JSON decoder of the edge: bounded, strict, and used once for each request.

What the library accepts without a word is refused here: nesting that would break others, objects without end,
integers that do not fit into 64 bits (they would turn into floats). Of a key that stands twice in one object the last
value counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

MAX_DEPTH: Final = 128
MAX_KEYS_PER_OBJECT: Final = 10_000
_INTEGER_LIMIT: Final = 2**63
# Fewer digits than this always fit; more may, and are looked at closely.
_LONG_DIGITS: Final = re.compile(rb"\d{19}")
# Strings whole, so that what is inside them is skipped; then the brackets. A string without an end is taken whole too:
# tried again from each quote inside it, a body of a megabyte would keep the event loop for hours.
_STRUCTURE: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def decode_object(body: bytes) -> Mapping[str, Any]:
    """Decode a request body; raises `TurnRefusedError` that says what to change."""
    if not body.strip():
        raise _refused("The request has no body; send a JSON object.")
    _check_nesting(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _refused(f"The body is not valid JSON: {error.msg} at {where}.") from error
    if not isinstance(value, dict):
        raise _refused("The body has to be a JSON object.")
    _check_size(value, body)
    if _LONG_DIGITS.search(body):
        _check_integers(body)
    return value


def _check_nesting(body: bytes) -> None:
    """Refuse deep nesting before anything recursive sees it. Brackets inside strings do not count."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRUCTURE.finditer(body):
        token = match.group()
        if token in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _refused(f"The body is nested deeper than {MAX_DEPTH} levels.")
        elif token in b"]}":
            depth -= 1


def _check_size(value: object, body: bytes) -> None:
    if body.count(b":") <= MAX_KEYS_PER_OBJECT:
        return
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            if len(current) > MAX_KEYS_PER_OBJECT:
                raise _refused(f"An object in the body has more than {MAX_KEYS_PER_OBJECT} keys.")
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)


def _check_integers(body: bytes) -> None:
    def checked(text: str) -> int:
        # Longer than any 64-bit integer: not worth converting.
        if len(text) > len(str(-_INTEGER_LIMIT)) or not -_INTEGER_LIMIT <= int(text) < _INTEGER_LIMIT:
            raise _refused("An integer in the body does not fit into 64 bits; send it as a string.")
        return int(text)

    json.loads(body, parse_int=checked)


def _refused(message: str) -> TurnRefusedError:
    return TurnRefusedError(TurnError(ErrorKind.INVALID_JSON, message, source="client"))
