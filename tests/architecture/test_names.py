"""A module is named after what it knows, and says so in its first lines."""

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

BANNED = {"utils", "helpers", "common", "core", "base", "misc", "manager", "service", "handler", "processor"}
# The singular and the plural say equally little.
BANNED_FORMS = BANNED | {f"{word}s" for word in BANNED} | {word.removesuffix("s") for word in BANNED}


def empty_names(files: Iterable[Path], top: Path) -> list[str]:
    """Modules and packages whose name says nothing: a banned word alone or as the last word (`turn_utils`)."""
    found = set()
    for file in files:
        for part in (*file.relative_to(top).parts[:-1], file.stem):
            if part.lower().split("_")[-1] in BANNED_FORMS:
                found.add(f"{file.relative_to(top)}: {part}")
    return sorted(found)


def silent_modules(files: Iterable[Path], top: Path) -> list[str]:
    """Modules without a docstring."""
    return [
        str(file.relative_to(top))
        for file in files
        if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]


def test_no_module_has_an_empty_name(source_files: list[Path], root: Path) -> None:
    assert empty_names(source_files, root) == []


def test_every_module_says_what_it_is(source_files: list[Path], root: Path) -> None:
    assert silent_modules(source_files, root) == []


@pytest.mark.parametrize("name", ["utils.py", "core/__init__.py", "turn/handlers.py", "flow/session_manager.py"])
def test_an_empty_name_is_found(tmp_path: Path, name: str) -> None:
    assert empty_names([tmp_path / name], tmp_path) != []


def test_a_telling_name_is_not_found(tmp_path: Path) -> None:
    assert empty_names([tmp_path / "database.py", tmp_path / "score.py"], tmp_path) == []


@pytest.mark.parametrize("text", ["", "x = 1\n", "# a comment\n"])
def test_a_silent_module_is_found(tmp_path: Path, text: str) -> None:
    file = tmp_path / "room.py"
    file.write_text(text, encoding="utf-8")
    assert silent_modules([file], tmp_path) == ["room.py"]
