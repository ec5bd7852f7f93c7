"""Which versions of the CLI the gateway works with."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import structlog

from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

_log = structlog.get_logger("claude_code_api.engine")

Version: TypeAlias = tuple[int, int, int]

# The first one with which everything was proved; of older ones nobody knows how they treat text, tools and settings.
OLDEST: Final[Version] = (2, 1, 329)
# The newest one with which the whole test suite has passed. A later one is served: what the quick way relies on is
# proved for each binary (`prove.py`), and what cannot be proved there is not used.
NEWEST_TESTED: Final[Version] = (2, 1, 329)

_NUMBERS: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})\b")


class TooOldError(TurnRefusedError):
    """The CLI is older than any that is known to be safe, or does not say how old it is."""


def version_of(text: str) -> Version | None:
    """Read a version as the CLI says it; None where it is none."""
    found = _NUMBERS.match(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found is not None else None


def shown(version: Version) -> str:
    """Write a version."""
    return ".".join(map(str, version))


def check_version(text: str) -> None:
    """Raise `TooOldError`, or warn of a version that was never tried."""
    version = version_of(text)
    # Every one since the oldest says it.
    if version is None or version < OLDEST:
        said = f"is version {text}" if version is not None else "does not say its version"
        message = (
            f"The installed claude {said}; this gateway needs {shown(OLDEST)} or newer. "
            "Leave out CLAUDE_BINARY_PATH to use the one that comes with it, or run `claude update`."
        )
        raise TooOldError(TurnError(ErrorKind.ENGINE_UNAVAILABLE, message, source="engine"))
    if version > NEWEST_TESTED:
        _log.warning("claude_not_tested", version=text, newest_tested=shown(NEWEST_TESTED))
