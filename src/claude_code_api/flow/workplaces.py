"""Where projects are, as a port: `storage` makes the directories."""

from __future__ import annotations

from typing import Protocol


class Workplaces(Protocol):
    """The directories of projects, each under a name that the gateway chose."""

    async def make(self, project_id: str) -> str:
        """Make an empty directory; returns its absolute path."""
        ...

    async def holds_files(self, project_id: str) -> bool:
        """Whether there is anything in it."""
        ...

    async def remove(self, project_id: str) -> None:
        """Remove it with everything in it, and nothing that a link in it leads to."""
        ...
