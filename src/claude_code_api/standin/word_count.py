"""The stand-in's idea of how many tokens a request has: its words. Knows the wire format, and no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

# Words of the wire format, not of the conversation.
_UNREAD: Final = frozenset({"cache_control", "role", "type"})


def count_words(text: str) -> int:
    """Count the words between white space."""
    return len(text.split())


def count_body(body: Mapping[str, Any]) -> int:
    """Count the words of everything in a request that a model would read."""
    return sum(count_words(text) for key in ("system", "messages", "tools") for text in _texts(body.get(key)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _UNREAD:
                yield from _texts(item)
