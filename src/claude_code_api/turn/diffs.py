"""Two texts → what makes one of the other, as people and `patch` read it. Pure, and bounded."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Final

# Lines on either side that are compared, once what they have in common at both ends is put aside: comparing takes time
# that grows with their product.
MAX_LINES: Final = 2000
MAX_DIFF_CHARS: Final = 64 * 1024
CONTEXT_LINES: Final = 3

_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_HUNK: Final = re.compile(r"@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@")


def readable(name: str) -> str:
    """Say the name of a file as text; not every name is some."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def diff_of(before: str, after: str, name: str) -> str | None:
    """Compare two texts, as a unified diff; None where they are too large for that."""
    old, new = _LINE.findall(before), _LINE.findall(after)
    head = _in_common(old, new)
    tail = min(_in_common(old[::-1], new[::-1]), len(old) - head, len(new) - head)
    left, right = max(0, head - CONTEXT_LINES), max(0, tail - CONTEXT_LINES)
    old, new = old[left : len(old) - right], new[left : len(new) - right]
    if max(len(old), len(new)) > MAX_LINES:
        return None
    called = readable(name)
    lines = difflib.unified_diff(old, new, f"a/{called}", f"b/{called}", n=CONTEXT_LINES)
    return "".join(_told(lines, left))


def _in_common(one: Sequence[str], other: Sequence[str]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _told(lines: Iterator[str], left: int) -> Iterator[str]:
    for number, line in enumerate(lines):
        # The first two lines name the files.
        if number > 1 and line.startswith("@@ "):
            yield _HUNK.sub(lambda hunk: f"@@ -{int(hunk[1]) + left}{hunk[2]} +{int(hunk[3]) + left}{hunk[4]} @@", line)
        else:
            yield line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
