"""`db`: look at the database, bring it up to date, back it up, put a backup back."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from claude_code_api.storage.address import Address, StoreOpenError, address_of
from claude_code_api.storage.backups import backup, new_backup_path, restore
from claude_code_api.storage.inspection import problems_of, status_of
from claude_code_api.storage.opening import prepare
from claude_code_api.storage.options import StorageOptions


def show_status(options: StorageOptions, *, as_json: bool) -> None:
    """Print what the database is, and what is in it."""
    status = dataclasses.asdict(status_of(address_of(options)))
    rows = status.pop("rows")
    _print(status | ({"rows": rows} if as_json else {f"{name} (rows)": count for name, count in rows.items()}), as_json)


def migrate(options: StorageOptions, *, as_json: bool) -> None:
    """Make the schema, or bring it up to date, as every start does."""
    address = address_of(options)
    before = status_of(address).schema
    held = prepare(address)
    if held is not None:
        held.close()
    _print({"before": before, "now": status_of(address).schema}, as_json)


def make_backup(options: StorageOptions, target: Path | None, *, as_json: bool) -> None:
    """Copy the database as it is now; a gateway may go on using it."""
    address = address_of(options)
    file = _file_of(address)
    if not file.is_file():
        raise StoreOpenError(f"There is no database {file} yet.")
    target = target.absolute() if target else new_backup_path(options.data_dir)
    if target.exists():
        raise StoreOpenError(f"There is a file {target} already.")
    try:
        backup(file, target)
    except (sqlite3.Error, OSError) as error:
        raise StoreOpenError(f"The backup {target} was not made: {error}.") from error
    _print({"backup": str(target), "size_bytes": target.stat().st_size}, as_json)


def put_back(options: StorageOptions, source: Path, *, as_json: bool) -> None:
    """Put a backup in the database's place; what was there is kept beside it."""
    file = _file_of(address_of(options))
    try:
        kept = restore(file, source.absolute())
    except (sqlite3.Error, OSError) as error:
        raise StoreOpenError(f"The backup {source} was not put back: {error}.") from error
    _print({"restored": str(file), "replaced_file_kept_as": str(kept) if kept else None}, as_json)


def check(options: StorageOptions, *, as_json: bool) -> bool:
    """Read everything and say what is wrong; true if nothing is."""
    found = problems_of(address_of(options))
    _print({"ok": not found, "problems": found if as_json else "\n".join(found) or "none"}, as_json)
    return not found


def _file_of(address: Address) -> Path:
    if address.file is None:
        raise StoreOpenError("PostgreSQL has its own tools for this: pg_dump and pg_restore.")
    return address.file


def _print(values: Mapping[str, object], as_json: bool) -> None:  # noqa: FBT001 - every command hands its flag on
    if as_json:
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    # Paths are to be copied, so they are never cut.
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name.replace("_", " "), "" if value is None else str(value))
    Console().print(table, markup=False)
