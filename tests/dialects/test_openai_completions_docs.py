"""The page of the dialect says what the code does: its table against the constants."""

from __future__ import annotations

import re
from pathlib import Path

from claude_code_api.dialects.openai_completions import DEFAULT_MAX_TOKENS, HONOURED, NAMED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dialects" / "openai-completions.md").read_text(encoding="utf-8")


def test_every_field_is_on_the_page_with_what_becomes_of_it() -> None:
    section = PAGE.partition("## Fields of the request\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)[2:]
    cells = [[cell.strip().strip("`") for cell in line.split("|")] for line in lines]
    written = {row[0]: row[1] for row in cells}
    assert len(written) == len(cells)
    assert written == {**dict.fromkeys(HONOURED, "honoured"), **dict.fromkeys(NAMED, "named")}
    assert next(row[2] for row in cells if row[0] == "max_tokens").startswith(f"{DEFAULT_MAX_TOKENS} ")
