"""SECURITY.md is held to the code: item 27."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from claude_code_api.turn.profile import Profile

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    part = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = [line for line in part.splitlines() if line.startswith("|")]
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def every_test() -> set[str]:
    found = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.add(node.name)
    return found


def test_item_27_each_profile_is_described() -> None:
    described = [re.findall(r"`(\w+)`", row[0])[0] for row in rows("What each profile can do")]
    assert described == [profile.value for profile in Profile]
    assert all(all(row) for row in rows("What each profile can do"))


def test_item_27_each_promise_has_tests_that_are_there() -> None:
    promises, known = rows("What is promised"), every_test()
    assert [row[0] for row in promises] == [str(number) for number in range(1, len(promises) + 1)]
    for _, promise, tests in promises:
        named = set(re.findall(r"`(\w+)`", tests))
        assert named, promise
        assert named <= known, named - known


def test_item_27_what_is_not_promised_is_said() -> None:
    part = TEXT.partition("## What is not promised\n")[2].partition("\n## ")[0]
    for word in ("same user", "macOS", "Administrators", "talked into", "Root", "kernel"):
        assert word in part, word


def test_pages_that_it_refers_to_are_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / link).is_file(), link
    for path in re.findall(r"`(src/[\w/.]+)`", TEXT):
        assert (ROOT / path).is_file(), path
