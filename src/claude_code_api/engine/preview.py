"""What a person is shown of a call before it is made. Pure, but for one bounded look at a file.

A diff is made of what the call names and of what the file holds at that moment. Both are bounded: what is larger is
described and not compared.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath
from typing import Final

from claude_code_api.flow.beneath import open_beneath
from claude_code_api.turn.diffs import MAX_DIFF_CHARS, diff_of, readable
from claude_code_api.turn.request import Json, JsonObject

# A larger file is not read for a diff.
MAX_FILE_BYTES: Final = 1024 * 1024
EDITS: Final = frozenset({"Edit", "Write"})


def preview(tool: str, arguments: JsonObject, *, before: str | None, name: str) -> JsonObject:
    """Say what a person needs to see. `before`: what the file holds that is called `name`; None: it cannot be shown."""
    match tool:
        case "Edit" | "Write":
            return _edit(tool, arguments, before, name)
        case "Bash":
            return {"kind": "command", "command": str(arguments.get("command") or "")}
        case "ExitPlanMode":
            return {"kind": "plan", "plan": str(arguments.get("plan") or "")}
        case "AskUserQuestion":
            return {"kind": "questions", "questions": arguments.get("questions") or []}
        case _:
            return {"kind": "arguments"}


def _edit(tool: str, arguments: JsonObject, before: str | None, name: str) -> JsonObject:
    shown: dict[str, Json] = {"kind": "diff", "path": readable(name)}
    after = after_edit(tool, arguments, before) if before is not None else None
    found = diff_of(before, after, name) if before is not None and after is not None else None
    if found is None:
        # Too large, not text, or an edit that does not fit: the arguments say all that can be said.
        return {**shown, "diff": None, "truncated": False}
    return {**shown, "diff": found[:MAX_DIFF_CHARS], "truncated": len(found) > MAX_DIFF_CHARS}


def after_edit(tool: str, arguments: JsonObject, before: str) -> str | None:
    """Say what a file would hold afterwards; None where the call does not fit the file."""
    if tool == "Write":
        content = arguments.get("content")
        return content if isinstance(content, str) else None
    old, new = arguments.get("old_string"), arguments.get("new_string")
    if not isinstance(old, str) or not isinstance(new, str):
        return None
    if not old:
        return new if not before else None
    if old not in before:
        return None
    return before.replace(old, new) if arguments.get("replace_all") else before.replace(old, new, 1)


def text_of(workplace: Path, name: str) -> str | None:
    """Read a file for a diff: "" where there is none, None where it cannot be shown."""
    try:
        handle = open_beneath(workplace, PurePath(name))
    except FileNotFoundError:
        return ""
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(MAX_FILE_BYTES).decode()
    except (UnicodeDecodeError, OSError):
        return None
    finally:
        os.close(handle)
