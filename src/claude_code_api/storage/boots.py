"""Which uses of the database are alive: each holds a lock as long as it lasts, which nobody has to give back.

A turn whose gateway has died is ended by the next one that looks, at once; a turn of a gateway that lives is not.
"""

from __future__ import annotations

import glob
import hashlib
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from claude_code_api.flow.ports import StoreError
from claude_code_api.flow.records import Turn
from claude_code_api.storage.address import Address
from claude_code_api.storage.engines import postgres_engine
from claude_code_api.storage.file_locks import STARTING, FileLock, TakenError, alone, beside, is_taken

# After so many seconds of silence a server asks whether we are still there, and after so many more it gives us up: a
# machine that has lost its power gives nothing back by itself.
_ASKED_AFTER_S: Final = 10
_ASKED_EVERY_S: Final = 5
_ASKED_TIMES: Final = 3

_HOLD: Final = text("SELECT pg_try_advisory_lock(:key)")
# Those who only look do not stand in each other's way.
_LOOK: Final = text("SELECT pg_try_advisory_xact_lock_shared(:key)")


class Boot(Protocol):
    """This use of the database, from opening it to closing it."""

    id: str

    def orphans(self, connection: Connection, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """Return those of the turns that nobody runs any more."""
        ...

    def close(self) -> None:
        """Be dead, for all others."""
        ...


def boot_of(address: Address) -> Boot:
    """Begin to use a database that has been prepared. Blocks."""
    return ServerBoot(address) if address.file is None else FileBoot(address.file)


class FileBoot:
    """Holds the lock of a file of its own, beside the database."""

    def __init__(self, file: Path) -> None:
        self.id = uuid.uuid4().hex
        self._file = file
        # Whoever is just beginning has made its file and not yet locked it: it must not be swept away.
        with alone(beside(file, STARTING)):
            self._sweep()
            self._lock = FileLock(self._place(self.id))
            self._lock.take()

    def orphans(self, connection: Connection, turns: Sequence[Turn]) -> tuple[Turn, ...]:  # noqa: ARG002 - files tell
        try:
            dead = {boot for boot in _boots(turns) if not is_taken(self._place(boot))}
        except OSError as error:
            raise StoreError(f"who uses {self._file} cannot be seen: {error}") from error
        return _of(dead, turns)

    def close(self) -> None:
        # Where it may not be removed, its lock alone is given back, which says the same.
        with suppress(OSError):
            self._place(self.id).unlink()
        self._lock.close()

    def _place(self, boot: str) -> Path:
        return beside(self._file, f"boot-{boot}")

    def _sweep(self) -> None:
        """Remove what killed ones left."""
        for path in self._file.parent.glob(glob.escape(f"{self._file.name}.boot-") + "*"):
            left = FileLock(path)
            try:
                left.take()
                path.unlink()
            except TakenError:
                continue
            finally:
                left.close()


class ServerBoot:
    """Holds a lock in a session of its own with the server."""

    def __init__(self, address: Address) -> None:
        self.id = uuid.uuid4().hex
        self._engine = postgres_engine(address)
        self._session: Connection | None = None
        self._holding = threading.Lock()
        self._hold()

    def orphans(self, connection: Connection, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        self._hold()
        dead = {boot for boot in _boots(turns) if connection.execute(_LOOK, {"key": _key(boot)}).scalar_one()}
        return _of(dead, turns)

    def close(self) -> None:
        with self._holding:
            self._leave()
            self._engine.dispose()

    def _hold(self) -> None:
        """Take the lock, or make sure that it is still held: a server that was restarted has forgotten it."""
        with self._holding:
            try:
                if self._session is not None and self._session.execute(_HOLD, {"key": _key(self.id)}).scalar_one():
                    return
            except DBAPIError:
                # The session is gone, and the lock with it.
                pass
            self._leave()
            session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._session = session
            settings = {"idle": _ASKED_AFTER_S, "interval": _ASKED_EVERY_S, "count": _ASKED_TIMES}
            for name, value in settings.items():
                session.exec_driver_sql(f"SET tcp_keepalives_{name} = {value}")
            # Not to be had while the server still believes in our last session: the next look tries again.
            session.execute(_HOLD, {"key": _key(self.id)})

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _key(boot: str) -> int:
    """Bring a name to the kind of number that the server locks."""
    return int.from_bytes(hashlib.sha256(b"claude-code-api boot " + boot.encode()).digest()[:8], "big", signed=True)


def _boots(turns: Sequence[Turn]) -> set[str]:
    return {turn.boot_id for turn in turns}


def _of(boots: set[str], turns: Sequence[Turn]) -> tuple[Turn, ...]:
    return tuple(turn for turn in turns if turn.boot_id in boots)
