"""The directories of projects, below one root. Their names are ids that the gateway made, never a client's words."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from pathlib import Path
from typing import Final

_PRIVATE: Final = 0o700


class ProjectDirectories:
    """`Workplaces` on this machine's disk."""

    def __init__(self, root: Path) -> None:
        """Take the root; it is made when it is first needed."""
        self._root = root

    def _place(self, project_id: str) -> Path:
        # Whatever is not plainly an id cannot lead anywhere.
        return self._root.absolute() / str(uuid.UUID(project_id))

    async def make(self, project_id: str) -> str:
        """Make an empty directory; returns its absolute path."""
        place = self._place(project_id)
        await asyncio.to_thread(self._make, place)
        return str(place)

    def _make(self, place: Path) -> None:
        self._root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        place.mkdir(mode=_PRIVATE)

    async def holds_files(self, project_id: str) -> bool:
        """Whether there is anything in it."""
        place = self._place(project_id)
        return await asyncio.to_thread(lambda: place.is_dir() and any(place.iterdir()))

    async def remove(self, project_id: str) -> None:
        """Remove it with everything in it, and nothing that a link in it leads to."""
        place = self._place(project_id)
        await asyncio.to_thread(_remove, place)


def _remove(place: Path) -> None:
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        # It does not follow links, and where the system allows it, is safe against one that is put there meanwhile.
        shutil.rmtree(place)
