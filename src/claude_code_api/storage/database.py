"""A database that is open: transactions in its threads, and the chores that no request waits for."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from claude_code_api.flow.ports import StoreError
from claude_code_api.storage.address import Address
from claude_code_api.storage.ballast import BYTES as BALLAST_BYTES
from claude_code_api.storage.ballast import Ballast
from claude_code_api.storage.engines import BUSY_S, postgres_engine, sqlite_engine
from claude_code_api.storage.failures import is_full, is_passing, store_error
from claude_code_api.storage.lanes import Lanes

# SQLite lets one write at a time; reading goes on meanwhile, and is done in a millisecond but for a search.
SQLITE_READERS: Final = 3
# Transactions at once on a server: a turn has two short ones, so a few connections serve hundreds of turns.
POSTGRES_CONNECTIONS: Final = 8
# Bytes of the write-ahead log from which its content is brought into the file: 1,000 pages, as SQLite itself has it.
WAL_BYTES: Final = 4 << 20

Result = TypeVar("Result")
Work = Callable[[Connection], Result]
Settled = Callable[[Connection], bool]


class Database:
    """Transactions. Each is one function over a connection, and raises `StoreError` where the database does."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._ballast: Ballast | None = None
        self._writing: Engine
        self._reading: Engine
        if address.file is None:
            self._writing = self._reading = postgres_engine(address, connections=POSTGRES_CONNECTIONS)
            self._writers = self._readers = Lanes("postgresql", POSTGRES_CONNECTIONS)
        else:
            self._writing = sqlite_engine(address, connections=1)
            self._reading = sqlite_engine(address, connections=SQLITE_READERS, writes=False)
            self._writers, self._readers = Lanes("writer", 1), Lanes("reader", SQLITE_READERS)
            self._ballast = Ballast(address.data_dir)
            self._ballast.take_on()
        self._keeper = Lanes("keeper", 1)
        self._chores, self._closing = threading.Lock(), False

    async def write(self, work: Work[Result], *, vital: bool = False, settled: Settled | None = None) -> Result:
        """Carry out a writing transaction.

        A vital one, which ends or deletes something, may use the space that was kept for it. `settled` says from what
        is stored whether the transaction was carried out after all, for the case that a server went away while it was
        to commit.
        """
        return await self._writers.run(lambda: self._write(work, vital=vital, settled=settled))

    async def read(self, work: Work[Result]) -> Result:
        """Carry out a reading transaction."""
        return await self._readers.run(lambda: _told(lambda: _twice(lambda: _once(self._reading, work))))

    async def check(self) -> None:
        """Return if it can be written; raises `StoreError` else."""
        await self.write(_try_out)
        if self.address.file is not None:
            free = shutil.disk_usage(self.address.file.parent).free
            if free < BALLAST_BYTES:
                raise StoreError(f"{free} bytes are free beside {self.address.file}", full=True)

    async def close(self) -> None:
        """Wait for what has begun, and close."""
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        # What is kept going by another one goes first.
        self._closing = True
        for lanes in (self._keeper, self._readers, self._writers):
            lanes.close()
        self._reading.dispose()
        if self._writing is not self._reading:
            # Last, for the last connection brings the log into the file and removes it.
            self._writing.dispose()

    # In the threads

    def _write(self, work: Work[Result], *, vital: bool, settled: Settled | None) -> Result:
        def attempt() -> Result:
            return _twice(lambda: _once(self._writing, work, settled))

        def attempts() -> Result:
            if not vital and self._ballast is not None and not self._ballast.spare():
                # What is free now is meant for turns that have to come to their end.
                raise StoreError("the disk is full", full=True)
            try:
                return attempt()
            except SQLAlchemyError as error:
                if vital and is_full(error) and self._ballast is not None and self._ballast.give_up():
                    return attempt()
                raise

        result = _told(attempts)
        if self.address.file is not None:
            self._look_after()
        return result

    # Chores

    def _look_after(self) -> None:
        ballast = self._ballast
        if not (self._wal_bytes() > WAL_BYTES or (ballast is not None and not ballast.held)):
            return
        # One at a time: the lock is given back by the chore. None is begun behind the last transaction.
        if not self._closing and self._chores.acquire(blocking=False):
            with contextlib.suppress(RuntimeError):
                self._keeper.later(self._do_chores)

    def _do_chores(self) -> None:
        try:
            if self._ballast is not None:
                self._ballast.take_on()
            if self._wal_bytes() > WAL_BYTES:
                # The long part, while writing goes on; then what came meanwhile, in the one thread that writes.
                self._checkpoint("PASSIVE")
                self._writers.later(lambda: self._checkpoint("TRUNCATE")).result()
        finally:
            self._chores.release()

    def _wal_bytes(self) -> int:
        file = self.address.file
        with contextlib.suppress(OSError):
            return file.with_name(f"{file.name}-wal").stat().st_size if file else 0
        return 0

    def _checkpoint(self, mode: str) -> None:
        """Bring the log into the file."""
        # A full disk, say: the log stays as it is, and is tried again after the next transaction, which says so.
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(str(self.address.file), timeout=BUSY_S)) as connection,
        ):
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA wal_checkpoint({mode})")


def _once(engine: Engine, work: Work[Result], settled: Settled | None = None) -> Result:
    connection = engine.connect()
    with connection:
        transaction = connection.begin()
        with contextlib.ExitStack() as undo:
            undo.callback(transaction.close)
            result = work(connection)
            undo.pop_all()
        try:
            transaction.commit()
        except SQLAlchemyError as error:
            transaction.close()
            if not _lost(error):
                raise
            # Nobody said whether it was committed.
            if settled is None or not _found(engine, settled):
                raise StoreError("the server went away in the middle of a commit") from error
        return result


def _found(engine: Engine, settled: Settled) -> bool:
    try:
        with engine.begin() as connection:
            return settled(connection)
    except SQLAlchemyError as error:
        raise store_error(error) from error


def _try_out(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # A standby, or a database that its owner has closed for writing.
        if connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
            raise StoreError("the server only reads")
    else:
        connection.exec_driver_sql("SELECT count(*) FROM alembic_version").close()


def _lost(error: SQLAlchemyError) -> bool:
    return bool(getattr(error, "connection_invalidated", False))


def _twice(attempt: Callable[[], Result]) -> Result:
    """Try again once, where nothing was written and the cause has passed."""
    try:
        return attempt()
    except SQLAlchemyError as error:
        if not is_passing(error):
            raise
    return attempt()


def _told(attempt: Callable[[], Result]) -> Result:
    try:
        return attempt()
    except SQLAlchemyError as error:
        raise store_error(error) from error
