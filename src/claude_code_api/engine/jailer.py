"""Prepares a jail for each process that needs one, and clears it away: its files, its bounds, its guarded project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claude_code_api.engine.bounds import Groups, find_groups, remove
from claude_code_api.engine.jail import furnish
from claude_code_api.engine.kept_out import KeptOut, LinkedError
from claude_code_api.engine.options import EngineOptions, JailSupport
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError


@dataclass(frozen=True, slots=True)
class Prepared:
    """A jail that a process can be put into."""

    files: Path
    project: Path
    groups: tuple[Path, ...] = ()
    kept_out: tuple[str, ...] = ()
    # Whether a control group counts its processes.
    counted: bool = False


class Jailer:
    """All jails of a gateway."""

    def __init__(self, options: EngineOptions, support: JailSupport) -> None:
        """Look where control groups can be made, if there can be jails at all."""
        self._options = options
        self._groups = find_groups() if support.program is not None else Groups()
        self._groups.sweep()
        self._kept_out = KeptOut()

    def prepare(self, files: Path, project: Path, *, guarded: bool) -> Prepared:
        """Make everything ready; `guarded`: some things in the project are not to be changed."""
        furnish(files)
        try:
            kept_out = self._kept_out.enter(project) if guarded else ()
        except LinkedError as error:
            message = (
                f"{error} in the project is a link, so it cannot be protected from a shell: put what it names there."
            )
            raise TurnRefusedError(TurnError(ErrorKind.CONFLICT, message)) from error
        try:
            groups = self._groups.make(self._options)
        except BaseException:
            if guarded:
                self._kept_out.leave(project)
            raise
        return Prepared(files, project, groups, kept_out, "pids" in self._groups.bounded)

    def clear(self, prepared: Prepared) -> None:
        """The process is gone, or was never started. Its warden has removed the groups, if it could."""
        remove(prepared.groups)
        if prepared.kept_out:
            self._kept_out.leave(prepared.project)
