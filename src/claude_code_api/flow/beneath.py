"""Files below a directory that somebody else may be changing at this very moment.

A path that was looked at is another one when it is opened: an agent in a jail may put a link into its place in between,
and the gateway, which is in no jail, would follow it out of the project. So each step is opened from the one before it,
and no step is a link. (`openat2` would do it in one step; Python does not have it.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutsideError(OSError):
    """The path leads out of the directory."""


@contextmanager
def parent_of(root: Path, path: PurePath, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Hold the directory of a file, as a descriptor; yields it with the file's name in it.

    `path` is relative to `root`. `make`: directories that are not there are made. Raises `OSError` where a step is not
    a directory, or is a link.
    """
    *steps, name = path.parts or ("",)
    if path.is_absolute() or name in ("", "..") or ".." in steps:
        raise OutsideError(f"not a path below a directory: {path}")
    handle = os.open(root, _DIRECTORY)
    try:
        for step in steps:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(step, dir_fd=handle)
            below = os.open(step, _DIRECTORY, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle, name
    finally:
        os.close(handle)


def open_beneath(root: Path, path: PurePath) -> int:
    """Open a file to read, and nothing that it only leads to; returns a descriptor."""
    with parent_of(root, path) as (directory, name):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=directory)
