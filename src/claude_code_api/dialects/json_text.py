r"""JSON as text, both ways, where plain orjson would change a value or break a line-based reader.

Out: U+0085, U+2028 and U+2029 are written as escapes. They are legal inside JSON, but readers that split a stream with
`str.splitlines` (httpx's `iter_lines` among them) take them for the end of a line and tear the frame apart.
In: an object that came as a string. orjson turns integers of 64 bits and more into floats without a word, and reads
deeper than it can write; both are refused here rather than passed on changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import orjson

from claude_code_api.turn.request import Json, JsonObject

MAX_DEPTH = 128
_INT_BITS = 64
_MAY_BE_TOO_LONG = re.compile(r"[0-9]{19}")
_LINE_END = re.compile("[\x85\u2028\u2029]")
_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


class NotAnObjectError(ValueError):
    """The text is not a JSON object that can be carried unchanged; the message says why."""


def dump_text(text: str) -> bytes:
    """Write a string as JSON on one line."""
    # isascii is a flag look-up; plain English costs nothing here.
    encoded = orjson.dumps(text)
    return encoded if text.isascii() or not _LINE_END.search(text) else _on_one_line(encoded)


def dump(value: JsonObject) -> bytes:
    """Write an object as JSON on one line."""
    return _on_one_line(orjson.dumps(value))


def _on_one_line(encoded: bytes) -> bytes:
    for raw, escaped in _LINE_ENDS:
        if raw in encoded:
            encoded = encoded.replace(raw, escaped)
    return encoded


def load_object(text: str) -> JsonObject:
    """Read a JSON object from a string, unchanged, or raise `NotAnObjectError`."""
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise NotAnObjectError("is not valid JSON") from None
    if not isinstance(value, Mapping):
        raise NotAnObjectError("is JSON, but not an object")
    if _depth(value) > MAX_DEPTH:
        raise NotAnObjectError(f"is nested deeper than {MAX_DEPTH} levels")
    if _MAY_BE_TOO_LONG.search(text):
        # Only now, and only for its parse_int: the depth is known to be small.
        json.loads(text, parse_int=_checked_int)
    return value


def _depth(value: Json) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        following: list[Json] = []
        for entry in level:
            if isinstance(entry, Mapping):
                following.extend(entry.values())
            elif isinstance(entry, list):
                following.extend(entry)
        level = following
    return depth


def _checked_int(digits: str) -> int:
    # 20 digits and a sign are the most that 64 bits can need; int() of thousands of digits is never tried.
    number = int(digits) if len(digits) <= len("-18446744073709551615") else 1 << _INT_BITS
    if not -(1 << (_INT_BITS - 1)) <= number < 1 << _INT_BITS:
        raise NotAnObjectError(
            f"holds an integer of more than {_INT_BITS} bits, which would lose digits: send it as a string"
        )
    return number
