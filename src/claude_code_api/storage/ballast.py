"""A file of nothing, given up when the disk is full, so that running turns can still be brought to their end."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

NAME: Final = "ballast"
# Bytes. A final record without its answer takes about 30 KiB of write-ahead log, so this lets 30 turns end.
BYTES: Final = 1 << 20
# The ballast is made anew once the disk has so many times its size, so that making it does not fill the disk again.
ROOM: Final = 16


class Ballast:
    """The file, and whether it is there."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._held = self._given_up = False
        # The thread that writes and the one that does chores may both see that it is missing.
        self._making = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether it is there to be given up."""
        return self._held

    def take_on(self) -> bool:
        """Make the file if it is missing and there is room for it; says whether it is there."""
        with self._making:
            return self._held or self._take_on()

    def _take_on(self) -> bool:
        try:
            if not self._is_whole():
                if shutil.disk_usage(self._path.parent).free < ROOM * BYTES:
                    return False
                self._write()
        except OSError:
            # A disk without room, or one that cannot be written: the store itself says so to whoever writes.
            self._remove()
            return False
        self._held, self._given_up = True, False
        return True

    def give_up(self) -> bool:
        """Release the space; false if there was none."""
        if not self._held:
            return False
        self._held, self._given_up = False, True
        return self._remove()

    def spare(self) -> bool:
        """Whether there is space for what could as well come later: not between giving it up and having it back."""
        return not self._given_up or self.take_on()

    def _is_whole(self) -> bool:
        return self._path.exists() and self._path.stat().st_size == BYTES

    def _write(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            # Not zeros: a file system may keep those without space.
            file.write(os.urandom(BYTES))
            file.flush()
            os.fsync(file.fileno())

    def _remove(self) -> bool:
        with suppress(OSError):
            self._path.unlink()
            return True
        return False
