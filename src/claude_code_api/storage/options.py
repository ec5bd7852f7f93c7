"""What can be set about storage."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated


def default_data_dir() -> Path:
    """Return the place where this system expects an application's data."""
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/claude-code-api").expanduser()
    return Path("~/.local/share/claude-code-api").expanduser()


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """The settings of storage."""

    data_dir: Annotated[Path, "Directory of everything that has to be kept."] = field(default_factory=default_data_dir)
    database_url: Annotated[
        str,
        "Where conversations are kept: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`; "
        "by default the file `gateway.db` in the data directory.",
        "secret",
    ] = field(default="", repr=False)
