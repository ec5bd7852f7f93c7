"""`settings show` and `settings list`."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.table import Table

from claude_code_api.settings import Settings


def print_values(settings: Settings, *, as_json: bool) -> None:
    """Print what each setting is, and why."""
    rows = [{"name": item.name, "value": item.shown, "origin": item.origin} for item in settings.listing]
    _print(rows, as_json=as_json)


def print_names(settings: Settings, *, as_json: bool) -> None:
    """Print what can be set."""
    rows = [
        {"name": item.name, "variable": item.variable, "description": item.description} for item in settings.listing
    ]
    _print(rows, as_json=as_json)


def _print(rows: list[dict[str, str]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        # Names and variables are to be copied, so they are never cut.
        table.add_column(name, no_wrap=name in {"name", "variable"}, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
