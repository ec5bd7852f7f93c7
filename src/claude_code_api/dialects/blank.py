"""What counts as saying nothing: the CLI answers such a prompt by itself, and the model never sees it."""

from __future__ import annotations

# What JavaScript's trim() removes; Python's own idea of white space is another.
_BLANK = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))


def is_blank(text: str) -> bool:
    """Whether there is nothing in it but white space."""
    return not text.strip(_BLANK)
