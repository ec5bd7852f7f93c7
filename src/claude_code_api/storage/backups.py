"""Backups of SQLite's file, taken while it is in use, and put back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from claude_code_api.storage.address import StoreOpenError
from claude_code_api.storage.file_locks import IN_USE, STARTING, FileLock, TakenError, alone, beside

DIRECTORY: Final = "backups"
# Those made before migrations; a person's own are counted by nobody.
KEPT: Final = 5
# Pages copied at once; between two such steps others may write.
_STEP_PAGES: Final = 4096


def backup(file: Path, target: Path) -> None:
    """Copy the database as it is now. The copy appears under its name once it is whole and on the disk."""
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            contextlib.closing(_read_only(file)) as source,
            contextlib.closing(sqlite3.connect(draft)) as copy,
        ):
            source.backup(copy, pages=_STEP_PAGES)
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        sync(draft)
        draft.replace(target)
        sync(target.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def restore(file: Path, source: Path) -> Path | None:
    """Put a backup in the database's place; what was there is kept, and where is returned.

    Raises `StoreOpenError` where the source is no database of a gateway, or the database is in use.
    """
    _check_source(source)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    in_use = FileLock(beside(file, IN_USE))
    try:
        with alone(beside(file, STARTING)):
            in_use.take()
            copy = beside(file, f"restored-{_now()}")
            backup(source, copy)
            kept = _set_aside(file)
            copy.replace(file)
            sync(file.parent)
    except TakenError:
        raise StoreOpenError(f"A gateway uses {file}; stop it first.") from None
    finally:
        in_use.close()
    return kept


def _check_source(source: Path) -> None:
    if not source.is_file():
        raise StoreOpenError(f"There is no backup {source}.")
    quick_check(source, "Choose another backup.")
    with contextlib.closing(_read_only(source)) as connection:
        found = connection.execute("SELECT name FROM sqlite_schema WHERE name IN ('alembic_version', 'sessions')")
        if len(found.fetchall()) != 2:  # noqa: PLR2004 - the two names above
            raise StoreOpenError(f"The file {source} is not a gateway's database.")


def _set_aside(file: Path) -> Path | None:
    if not file.exists():
        return None
    kept = beside(file, f"replaced-{_now()}")
    # A link: at no moment is there no database, which a gateway would take for a first start.
    os.link(file, kept)
    log = file.with_name(f"{file.name}-wal")
    if log.exists():
        log.rename(kept.with_name(f"{kept.name}-wal"))
    file.with_name(f"{file.name}-shm").unlink(missing_ok=True)
    return kept


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def backup_before_migration(file: Path, data_dir: Path, version: str) -> Path:
    """Make a backup of our own, and drop the oldest of them."""
    target = new_backup_path(data_dir, f"-schema-{version}")
    backup(file, target)
    for old in own_backups(data_dir)[KEPT:]:
        old.unlink(missing_ok=True)
    return target


def new_backup_path(data_dir: Path, what: str = "") -> Path:
    """Name a backup after the moment, and make its directory."""
    directory = data_dir / DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory / f"{_now()}{what}.db"


def own_backups(data_dir: Path) -> list[Path]:
    """Return the backups made before migrations, the newest first."""
    return sorted((data_dir / DIRECTORY).glob("*-schema-*.db"), reverse=True)


def sync(path: Path) -> None:
    """Bring a file, or a directory's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def quick_check(file: Path, advice: str) -> None:
    """Read the whole file; raises `StoreOpenError` with the advice if it is damaged."""
    try:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise StoreOpenError(f"The database {file} cannot be read: {error}.") from error
        found = [str(error)]
    if found != ["ok"]:
        raise StoreOpenError(f"The database {file} is damaged ({found[0]}). {advice}")
