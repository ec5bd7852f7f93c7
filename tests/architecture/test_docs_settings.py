"""docs/settings.md lists exactly the settings that there are, as the code describes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import pytest

from claude_code_api.settings import ALSO_FROM, PREFIX, Setting, load, variables_of

BEGIN = "<!-- settings: begin (make docs ARGS=--update-golden writes this table anew) -->"
END = "<!-- settings: end -->"
HEADER = "| setting | variable | default | what it is |\n|---|---|---|---|\n"
# Defaults that depend on the machine, in words.
IN_WORDS = {"data_dir": "`~/.local/share/claude-code-api`; macOS: `~/Library/Application Support/claude-code-api`"}


def row(setting: Setting) -> str:
    variables = " or ".join(f"`{name}`" for name in variables_of(setting.name))
    default = IN_WORDS.get(setting.name) or shown(setting.value)
    return f"| `{setting.name}` | {variables} | {default} | {setting.description} |\n"


def shown(value: object) -> str:
    if value in (None, ()):
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"`{name}`: `{target}`" for name, target in value.items())
    text = str(value.value) if isinstance(value, Enum) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`"


def table() -> str:
    return f"{BEGIN}\n{HEADER}{''.join(row(setting) for setting in load().listing)}{END}"


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name.startswith(PREFIX) or name in ALSO_FROM.values():
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_the_table_of_settings_is_the_code(root: Path, update_golden: bool) -> None:
    page = root / "docs" / "settings.md"
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    wanted = f"{before}{table()}{after}"
    if update_golden:
        page.write_text(wanted, encoding="utf-8")
        return
    assert text == wanted, "make docs ARGS=--update-golden writes the table anew"


def test_the_page_names_the_places_that_are_read(root: Path) -> None:
    text = (root / "docs" / "settings.md").read_text(encoding="utf-8")
    for place in ("claude-code-api.toml", "~/.config/claude-code-api/config.toml", "CLAUDE_CODE_API_CONFIG", "`.env`"):
        assert place in text
