"""The page of the dialect says what the code does: its tables against the constants."""

from __future__ import annotations

import re
from pathlib import Path

from claude_code_api.dialects.anthropic_errors import ERRORS
from claude_code_api.dialects.anthropic_request import HONOURED, NAMED, REFUSED
from claude_code_api.dialects.retry_advice import NEVER_RETRY

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dialects" / "anthropic-messages.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its two head lines."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)[2:]
    return [[cell.strip().strip("`") for cell in line.split("|")] for line in lines]


def test_every_field_is_on_the_page_with_what_becomes_of_it() -> None:
    written = [(row[0], row[1]) for row in rows("Fields of the request")]
    expected = {
        **dict.fromkeys(HONOURED, "honoured"),
        **dict.fromkeys(NAMED, "named"),
        **dict.fromkeys(REFUSED, "refused"),
    }
    assert len(written) == len(expected)
    assert dict(written) == expected


def test_every_error_is_on_the_page() -> None:
    expected = [
        [kind.value, str(status), type_, "never" if kind in NEVER_RETRY else ""]
        for kind, (status, type_) in ERRORS.items()
    ]
    assert rows("Errors") == expected
