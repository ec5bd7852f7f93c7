"""What a database says when it cannot → `StoreError`."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from claude_code_api.flow.ports import StoreError

# SQLite's code without what it adds to it.
_PRIMARY: Final = 0xFF
_NO_SPACE: Final = "53100"
# Another transaction was first (serialization, deadlock), or the server went away or restarts: the next try may do.
_PASSING: Final = ("40001", "40P01", "57P01", "57P02", "57P03")


def store_error(error: SQLAlchemyError) -> StoreError:
    """Say what is wrong, in the database's own words and without the statement's values."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return StoreError(f"{type(error).__name__}: {error}")
    text = str(error.orig).strip().partition("\n")[0]
    return StoreError(f"{type(error.orig).__name__}: {text}", full=is_full(error))


def is_full(error: SQLAlchemyError) -> bool:
    """Whether it failed for want of space."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        # An exception that Python's module raises by itself has no code.
        code = getattr(error.orig, "sqlite_errorcode", 0) or 0
        # The file that readers and the writer share is made by another call, which has a code of its own for it.
        return code & _PRIMARY == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
    return getattr(error.orig, "sqlstate", None) == _NO_SPACE


def is_passing(error: SQLAlchemyError) -> bool:
    """Whether nothing was written, and another try may succeed at once."""
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _PASSING
