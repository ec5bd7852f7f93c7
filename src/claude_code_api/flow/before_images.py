"""What the running of agents needs of whoever keeps what they change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from claude_code_api.flow.records import FileChange


class BeforeImages(Protocol):
    """What the files were that agents changed, before they did: one image for each file and turn.

    Raises `OSError` where the disk fails.
    """

    async def keep(self, turn_id: str, workplace: Path, name: str) -> None:
        """Keep what a file below a workplace is, unless it has been kept in this turn."""
        ...

    async def changes(self, turn_ids: Sequence[str], workplace: Path) -> tuple[FileChange, ...]:
        """Say how files differ from what they were before the first of these turns, which come in order."""
        ...

    async def restore(self, turn_ids: Sequence[str], workplace: Path) -> tuple[FileChange, ...]:
        """Make them what they were; says what that undoes."""
        ...

    async def forget(self, turn_ids: Sequence[str]) -> None:
        """Drop what was kept in these turns."""
        ...

    async def forget_old(self, *, kept_before_s: float) -> int:
        """Drop what was kept before a time; says of how many turns."""
        ...
