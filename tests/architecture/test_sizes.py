"""Sizes that keep a file and a function readable in one sitting. What grows past them is usually two things."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

FILE_LINES = 400
FUNCTION_LINES = 60
ARGUMENTS = 6  # without self and cls
COMMANDS = {"cli.py", "audit_commands.py"}  # there a parameter is a flag of the command line

Function = ast.FunctionDef | ast.AsyncFunctionDef


def too_large(files: Iterable[Path], top: Path) -> list[str]:
    """Files, functions and argument lists past their limit."""
    found = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        name = str(file.relative_to(top))
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            found.append(f"{name}: {lines} lines")
        for function in functions(ast.parse(text)):
            place = f"{name}:{function.lineno} {function.name}"
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length > FUNCTION_LINES:
                found.append(f"{place}: {length} lines")
            count = arguments(function)
            if count > ARGUMENTS and file.name not in COMMANDS:
                found.append(f"{place}: {count} arguments")
    return found


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def arguments(function: Function) -> int:
    positional = [*function.args.posonlyargs, *function.args.args]
    own = positional[1:] if positional and positional[0].arg in {"self", "cls"} else positional
    return len(own) + len(function.args.kwonlyargs)


def test_files_functions_and_arguments_stay_small(source_files: list[Path], root: Path) -> None:
    assert too_large(source_files, root) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\n" * 401, ["a.py: 401 lines"]),
        ("def f():\n" + "    x = 1\n" * 60, ["a.py:1 f: 61 lines"]),
        ("async def f(a, /, b, c, d, *, e, g, h): ...\n", ["a.py:1 f: 7 arguments"]),
        ("class C:\n    def f(self, a, b, c, d, e, g, h): ...\n", ["a.py:2 f: 7 arguments"]),
    ],
    ids=["file", "function", "arguments", "method"],
)
def test_what_is_too_large_is_found(tmp_path: Path, text: str, expected: list[str]) -> None:
    file = tmp_path / "a.py"
    file.write_text(text, encoding="utf-8")
    assert too_large([file], tmp_path) == expected


def test_the_limits_themselves_pass(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    methods = "class C:\n    def f(self, a, b, c, d, e, g): ...\n"
    file.write_text(methods + "def f():\n" + "    x = 1\n" * 59 + "x = 1\n" * (400 - 62), encoding="utf-8")
    assert too_large([file], tmp_path) == []
