"""The first key: made at the first start, kept in a file that only its owner can read.

Deleting the file makes a new key at the next start; nothing else does.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from claude_code_api.flow.access import new_key

KEY_FILE_NAME: Final = "api-key"


@dataclass(frozen=True, slots=True)
class FirstKey:
    """The key, and whether it was made just now: only then may it be shown."""

    key: str = field(repr=False)
    path: Path
    fresh: bool


class KeyFileError(Exception):
    """The file cannot be used; the text says why and what to do."""


def make_private_directory(directory: Path) -> None:
    """Make a directory that only its owner can enter, or make an empty one so; one that is in use is not touched."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not directory.stat().st_mode & 0o077:
        return
    if any(directory.iterdir()):
        msg = (
            f"The data directory {directory} can be entered by others; run `chmod 700 {directory}`, or choose another."
        )
        raise KeyFileError(msg)
    directory.chmod(0o700)


def read_key(directory: Path) -> FirstKey | None:
    """Return the key if there is one."""
    path = directory / KEY_FILE_NAME
    try:
        key = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The key file {path} cannot be read: {error}"
        raise KeyFileError(msg) from error
    if path.stat().st_mode & 0o077:
        msg = f"The key file {path} can be read by others; run `chmod 600 {path}`."
        raise KeyFileError(msg)
    if not key:
        msg = f"The key file {path} is empty; delete it to have a new key made."
        raise KeyFileError(msg)
    return FirstKey(key, path, fresh=False)


def read_or_make_key(directory: Path) -> FirstKey:
    """Return the key, made now if there was none. Two gateways that start at once end up with the same one."""
    found = read_key(directory)
    if found is not None:
        return found
    make_private_directory(directory)
    path = directory / KEY_FILE_NAME
    key = new_key()
    draft = path.with_name(f".{KEY_FILE_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, unlike a rename, does not replace what another gateway put there in the meantime.
        os.link(draft, path)
    except FileExistsError:
        return read_or_make_key(directory)
    finally:
        draft.unlink()
    return FirstKey(key, path, fresh=True)
