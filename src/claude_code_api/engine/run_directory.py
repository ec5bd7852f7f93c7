"""Where the processes of one gateway keep their homes while they live, and how a dead gateway's leftovers go away.

Each gateway has a directory of its own under `run/`, and holds a lock on it for as long as it lives. A directory whose
lock is free belongs to nobody any more: its gateway was killed before it could clean up.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_LOCK: Final = ".lock"


@contextmanager
def own_run_directory(data_dir: Path) -> Iterator[Path]:
    """Hold a run directory for the length of the context; sweeps away the ones that nobody holds."""
    root = data_dir / "run"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    mine = root / secrets.token_hex(4)
    mine.mkdir(mode=0o700)
    lock = os.open(mine / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for other in root.iterdir():
            if other != mine and not _held(other):
                shutil.rmtree(other, ignore_errors=True)
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)
        os.close(lock)


def doors_base() -> Path:
    """Return a private place with a short path: a socket's may have no more than about a hundred characters."""
    base = Path(tempfile.gettempdir()) / f"claude-code-api-{os.getuid()}"
    with suppress(FileExistsError):
        base.mkdir(mode=0o700)
    state = base.lstat()
    # Anybody may make a directory there, also one under this name.
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        msg = f"{base} is not a private directory of this user; remove it"
        raise PermissionError(msg)
    return base


def _held(directory: Path) -> bool:
    try:
        lock = os.open(directory / _LOCK, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        # Not a run directory, or one that is being made this very moment: leave it.
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)
