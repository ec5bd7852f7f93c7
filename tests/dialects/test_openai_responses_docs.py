"""The page of the dialect says what the code does: its tables against the constants."""

from __future__ import annotations

import re
from pathlib import Path

from claude_code_api.dialects.responses_input import ITEMS
from claude_code_api.dialects.responses_request import HONOURED, NAMED, REFUSED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dialects" / "openai-responses.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its two head lines."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)[2:]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_every_field_is_on_the_page_with_what_becomes_of_it() -> None:
    written = [(row[0].strip("`"), row[1]) for row in rows("Fields of the request")]
    expected = {
        **dict.fromkeys(HONOURED, "honoured"),
        **dict.fromkeys(NAMED, "named"),
        **dict.fromkeys(REFUSED, "refused"),
    }
    assert len(written) == len(expected)
    assert dict(written) == expected


def test_every_item_is_on_the_page() -> None:
    assert [row[0].split("`")[1] for row in rows("Items of the input")] == list(ITEMS)
