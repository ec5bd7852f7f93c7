"""What a person is shown of a call: a diff that leads from the one text to the other, within bounds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.engine.preview import (
    MAX_FILE_BYTES,
    after_edit,
    preview,
    text_of,
)
from claude_code_api.turn.diffs import MAX_DIFF_CHARS, MAX_LINES, diff_of
from claude_code_api.turn.request import JsonObject

LINES = st.lists(
    st.sampled_from(["a\n", "b\n", "c\r\n", "\n", "\u2028x\n", "d\x0b\n", "-- e\n", "@@ f\n"]), max_size=40
)
TEXTS = st.tuples(LINES, st.sampled_from(["", "end"])).map(lambda pair: "".join(pair[0]) + pair[1])
_NO_END = "\\ No newline at end of file"


@given(TEXTS, TEXTS)
def test_the_diff_leads_from_one_text_to_the_other(before: str, after: str) -> None:
    diff = diff_of(before, after, "file")
    assert diff is not None
    assert (diff == "") == (before == after)
    assert applied(before, diff) == after


def applied(before: str, diff: str) -> str:
    """Do what a diff says, and hold it to what it says of the text before."""
    old, made, at = re.findall(r"[^\n]*\n|[^\n]+", before), list[str](), 0
    for sign, line in hunks(diff):
        if sign == "@":
            made += old[at : int(line)]
            at = int(line)
            continue
        if sign in " -":
            assert old[at] == line
            at += 1
        if sign in " +":
            made.append(line)
    return "".join(made + old[at:])


def hunks(diff: str) -> Iterator[tuple[str, str]]:
    """The lines of a diff after its head, each with its sign; of a hunk's head, how many lines are before it."""
    lines = diff.split("\n")[2:-1]
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        head = re.match(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@$", line)
        if head:
            yield "@", str(int(head[1]) - (head[2] != "0"))
        elif line != _NO_END:
            yield line[0], line[1:] + ("" if following == _NO_END else "\n")


EDITS: list[tuple[str, JsonObject, str, str | None]] = [
    ("Write", {"content": "new"}, "old", "new"),
    ("Write", {}, "old", None),
    ("Edit", {"old_string": "a", "new_string": "b"}, "a a", "b a"),
    ("Edit", {"old_string": "a", "new_string": "b", "replace_all": True}, "a a", "b b"),
    ("Edit", {"old_string": "x", "new_string": "b"}, "a a", None),
    ("Edit", {"old_string": "", "new_string": "b"}, "", "b"),
    ("Edit", {"old_string": "", "new_string": "b"}, "a", None),
    ("Edit", {"old_string": 1, "new_string": "b"}, "a", None),
]


@pytest.mark.parametrize(("tool", "arguments", "before", "after"), EDITS)
def test_what_a_file_would_hold(tool: str, arguments: JsonObject, before: str, after: str | None) -> None:
    assert after_edit(tool, arguments, before) == after
    shown = preview(tool, arguments, before=before, name="f")
    assert (shown["diff"] is None) == (after is None)


def test_the_lines_far_from_the_change_are_not_compared() -> None:
    same = "same\n" * 50_000
    diff = diff_of(f"{same}old\n{same}", f"{same}new\n{same}", "f")
    assert diff == ("--- a/f\n+++ b/f\n@@ -49998,7 +49998,7 @@\n same\n same\n same\n-old\n+new\n same\n same\n same\n")


def test_what_is_too_large_is_not_compared() -> None:
    assert diff_of("", "x\n" * (MAX_LINES + 1), "f") is None
    assert preview("Write", {"content": "x\n" * (MAX_LINES + 1)}, before="", name="f")["diff"] is None
    long = preview("Write", {"content": "x" * (MAX_DIFF_CHARS + 1)}, before="", name="f")
    assert long["truncated"] is True
    assert len(str(long["diff"])) == MAX_DIFF_CHARS


def test_what_else_there_is_to_see() -> None:
    def shown(tool: str, arguments: JsonObject) -> JsonObject:
        return preview(tool, arguments, before=None, name="")

    assert shown("Bash", {"command": "ls"}) == {"kind": "command", "command": "ls"}
    assert shown("ExitPlanMode", {"plan": "1."}) == {"kind": "plan", "plan": "1."}
    assert shown("AskUserQuestion", {"questions": [{}]}) == {"kind": "questions", "questions": [{}]}
    assert shown("Read", {"file_path": "/x"}) == {"kind": "arguments"}
    assert shown("Write", {"content": "x"}) == {"kind": "diff", "path": "", "diff": None, "truncated": False}


def test_which_files_can_be_shown(tmp_path: Path) -> None:
    assert text_of(tmp_path, "none") == ""
    (tmp_path / "text").write_text("déjà\r\n", newline="")
    assert text_of(tmp_path, "text") == "déjà\r\n"
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (tmp_path / "link").symlink_to(tmp_path / "text")
    os.mkfifo(tmp_path / "pipe")
    for name in ("bytes", "large", "link", "pipe", "text/below"):
        assert text_of(tmp_path, name) is None, name
    assert text_of(tmp_path, ".") is None
