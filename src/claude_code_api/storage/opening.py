"""A store is opened: the place made private, the database checked, its schema brought up to date."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from claude_code_api.storage.address import Address, StoreOpenError, address_of
from claude_code_api.storage.backups import backup_before_migration, own_backups, quick_check, sync
from claude_code_api.storage.boots import Boot, boot_of
from claude_code_api.storage.database import Database
from claude_code_api.storage.engines import postgres_engine, sqlite_engine
from claude_code_api.storage.failures import store_error
from claude_code_api.storage.file_locks import IN_USE, STARTING, FileLock, TakenError, alone, beside
from claude_code_api.storage.key_file import KeyFileError, make_private_directory
from claude_code_api.storage.options import StorageOptions
from claude_code_api.storage.schema import bring_up
from claude_code_api.storage.sql_store import SqlStore

_NEEDED_SQLITE: Final = (3, 37, 0)  # the first one with STRICT tables


@asynccontextmanager
async def open_store(options: StorageOptions) -> AsyncIterator[SqlStore]:
    """Open the database of the settings, and close it behind the block. Raises `StoreOpenError`."""
    address = address_of(options)
    loop = asyncio.get_running_loop()
    in_use = await loop.run_in_executor(None, prepare, address)
    try:
        boot = await loop.run_in_executor(None, begin, address)
        try:
            database = Database(address)
            try:
                yield SqlStore(database, boot)
            finally:
                await database.close()
        finally:
            await loop.run_in_executor(None, boot.close)
    finally:
        if in_use is not None:
            in_use.close()


def prepare(address: Address) -> FileLock | None:
    """Bring the database into the state in which it can be used. Blocks; for a file, returns the sign of its use."""
    with _told(address):
        if address.file is None:
            _prepare_server(address)
            return None
        return _prepare_file(address, address.file)


def begin(address: Address) -> Boot:
    """Be known as alive to all that use the database. Blocks."""
    with _told(address):
        return boot_of(address)


@contextmanager
def _told(address: Address) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreOpenError(f"The database {address.shown} cannot be used: {store_error(error)}") from error
    except OSError as error:
        raise StoreOpenError(f"The database {address.shown} cannot be used: {error}") from error


def _prepare_server(address: Address) -> None:
    engine = postgres_engine(address)
    try:
        # A server is backed up by whoever runs it.
        bring_up(engine, before_migration=lambda _version: None)
    finally:
        engine.dispose()


def _prepare_file(address: Address, file: Path) -> FileLock:
    _make_place(address, file)
    in_use = FileLock(beside(file, IN_USE))
    try:
        with alone(beside(file, STARTING)):
            _make_private(file)
            quick_check(file, _advice(address.data_dir))
            _bring_up_file(address, file, in_use)
            in_use.share()
    except BaseException:
        in_use.close()
        raise
    return in_use


def _bring_up_file(address: Address, file: Path, in_use: FileLock) -> None:
    def before_migration(version: str) -> None:
        try:
            in_use.take()
        except TakenError:
            raise StoreOpenError(
                f"An older gateway still uses {file}; stop it, so that its schema can be changed."
            ) from None
        backup_before_migration(file, address.data_dir, version)

    # Without foreign keys: a script may have to make a table anew, and SQLite would take the rows of others with it.
    engine = sqlite_engine(address, foreign_keys=False)
    try:
        bring_up(engine, before_migration)
    finally:
        engine.dispose()
    sync(file.parent)


def _make_place(address: Address, file: Path) -> None:
    """Make the directories, for their owner alone."""
    if sqlite3.sqlite_version_info < _NEEDED_SQLITE:
        raise StoreOpenError(f"SQLite 3.37 or newer is needed; this Python has {sqlite3.sqlite_version}.")
    try:
        make_private_directory(address.data_dir)
    except KeyFileError as error:
        raise StoreOpenError(str(error)) from error
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _make_private(file: Path) -> None:
    """Make the file, readable by its owner alone; SQLite gives the files beside it the same mode."""
    if not file.exists():
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        sync(file.parent)
    if file.stat().st_mode & 0o077:
        raise StoreOpenError(f"The database {file} can be read by others; run `chmod 600 {file}`.")


def _advice(data_dir: Path) -> str:
    """Say what to do about a damaged file."""
    found = own_backups(data_dir)
    source = str(found[0]) if found else "BACKUP"
    return (
        f"Keep a copy of it, then put a backup back with `claude-code-api db restore {source}`, "
        "or move it away to begin anew."
    )
