"""Locks on files, which the system gives back however a process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# Beside the database: held by a gateway while it starts, and shared by all that have it open.
STARTING: Final = "starting"
IN_USE: Final = "in-use"


def beside(file: Path, what: str) -> Path:
    """Name a file that goes with the database."""
    return file.with_name(f"{file.name}.{what}")


class TakenError(Exception):
    """Somebody else holds the lock."""


class FileLock:
    """A lock on a file that is made for it, and stays."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> None:
        """Hold it together with others; wait for who holds it alone."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def take(self) -> None:
        """Hold it alone, at once; raises `TakenError` if somebody has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TakenError from None

    def wait(self) -> None:
        """Hold it alone, once nobody else has it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


def is_taken(path: Path) -> bool:
    """Whether somebody holds a file's lock alone; of a file that is not there, nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a file's lock alone, waiting for it."""
    lock = FileLock(path)
    try:
        lock.wait()
        yield
    finally:
        lock.close()
