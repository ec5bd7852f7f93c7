"""What files were before agents changed them, on this machine's disk: a directory for each turn, a file for each file.

An image is a line of JSON, and after it the bytes of the file, if it was one. It is there before the change is made,
and so survives whatever ends the agent, or the gateway. What a command changes is not noticed here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final
from uuid import uuid4

import orjson
import structlog

from claude_code_api.flow.beneath import open_beneath, parent_of
from claude_code_api.flow.records import Change, FileChange
from claude_code_api.turn.diffs import MAX_DIFF_CHARS, diff_of

_log = structlog.get_logger("claude_code_api.storage")

# A larger file is not kept: source code is not that long, and a turn may change many.
MAX_FILE_BYTES: Final = 10 * 1024 * 1024
# Bytes of all images of one turn. What comes after is named, and not kept.
MAX_TURN_BYTES: Final = 100 * 1024 * 1024
_PRIVATE: Final = 0o700
_PRIVATE_FILE: Final = 0o600


@dataclass(frozen=True, slots=True)
class _Image:
    """What a file was. `data` None: there was none."""

    name: str
    kept: bool
    data: bytes | None
    mode: int = 0o644


class BeforeImageFiles:
    """`BeforeImages` on this machine's disk."""

    def __init__(self, root: Path) -> None:
        """Take the directory; it is made when it is first needed."""
        self._root = root

    async def keep(self, turn_id: str, workplace: Path, name: str) -> None:
        """Keep what a file is, unless it has been kept in this turn."""
        await asyncio.to_thread(self._keep, turn_id, workplace, name)

    def _keep(self, turn_id: str, workplace: Path, name: str) -> None:
        place = self._place(turn_id)
        image = place / hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
        if image.exists():
            return
        for directory in (self._root, place):
            directory.mkdir(mode=_PRIVATE, exist_ok=True)
        used = sum(entry.stat().st_size for entry in os.scandir(place))
        found = _looked_at(workplace, name, MAX_TURN_BYTES - used)
        head = {"name": os.fsencode(name).hex(), "kept": found.kept, "file": found.data is not None, "mode": found.mode}
        unfinished = place / f"{uuid4()}.part"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE), "wb") as file:
            file.write(orjson.dumps(head) + b"\n" + (found.data or b""))
        unfinished.rename(image)

    def _place(self, turn_id: str) -> Path:
        # Whatever is not plainly an id of ours leads to a place of its own all the same.
        return self._root / hashlib.sha256(turn_id.encode()).hexdigest()

    async def changes(self, turn_ids: Sequence[str], workplace: Path) -> tuple[FileChange, ...]:
        """Say how files differ from what they were before the first of these turns."""
        return await asyncio.to_thread(lambda: tuple(self._changes(turn_ids, workplace)))

    def _changes(self, turn_ids: Sequence[str], workplace: Path) -> Iterator[FileChange]:
        for image in self._first_images(turn_ids):
            yield _compared(image, _looked_at(workplace, image.name, MAX_FILE_BYTES))

    def _first_images(self, turn_ids: Sequence[str]) -> Iterator[_Image]:
        """Read the oldest image of each file, one after the other: together they may be large."""
        seen: set[str] = set()
        for turn_id in turn_ids:
            place = self._place(turn_id)
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                if path.name not in seen and path.suffix != ".part":
                    seen.add(path.name)
                    yield _read(path)

    async def restore(self, turn_ids: Sequence[str], workplace: Path) -> tuple[FileChange, ...]:
        """Make files what they were; says what that undoes."""
        return await asyncio.to_thread(lambda: tuple(self._restore(turn_ids, workplace)))

    def _restore(self, turn_ids: Sequence[str], workplace: Path) -> Iterator[FileChange]:
        for image in self._first_images(turn_ids):
            change = _compared(image, _looked_at(workplace, image.name, MAX_FILE_BYTES))
            target = _inside(workplace, image.name)
            if change.change is Change.UNCHANGED:
                continue
            done = change.restorable and target is not None and _put_back(workplace, target, image)
            yield dataclasses.replace(change, restorable=done)

    async def forget(self, turn_ids: Sequence[str]) -> None:
        """Drop what was kept in these turns."""
        places = [self._place(turn_id) for turn_id in turn_ids]
        await asyncio.to_thread(_remove, places)

    async def forget_old(self, *, kept_before_s: float) -> int:
        """Drop what was kept before a time; says of how many turns."""
        return await asyncio.to_thread(self._forget_old, kept_before_s)

    def _forget_old(self, kept_before_s: float) -> int:
        if not self._root.is_dir():
            return 0
        old = [place for place in self._root.iterdir() if place.stat().st_mtime < kept_before_s]
        for place in old:
            shutil.rmtree(place)
        return len(old)


def _remove(places: Sequence[Path]) -> None:
    for place in places:
        if place.exists():
            shutil.rmtree(place)


def _inside(workplace: Path, name: str) -> PurePath | None:
    """Where a name leads today, below the workplace. A link may come in its way before it is opened: see `beneath`."""
    parent = Path(os.path.realpath((workplace / name).parent))
    return parent.relative_to(workplace) / PurePath(name).name if parent.is_relative_to(workplace) else None


def _looked_at(workplace: Path, name: str, most_bytes: int) -> _Image:
    path = _inside(workplace, name)
    if path is None:
        return _Image(name, kept=False, data=b"")
    try:
        handle = open_beneath(workplace, path)
    except (FileNotFoundError, NotADirectoryError):
        return _Image(name, kept=True, data=None)
    except OSError:
        # A link, or a file that the gateway may not read.
        return _Image(name, kept=False, data=b"")
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > min(most_bytes, MAX_FILE_BYTES):
            return _Image(name, kept=False, data=b"")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return _Image(name, kept=True, data=file.read(MAX_FILE_BYTES), mode=stat.S_IMODE(found.st_mode))
    finally:
        os.close(handle)


def _read(path: Path) -> _Image:
    line, _, data = path.read_bytes().partition(b"\n")
    head: dict[str, Any] = orjson.loads(line)
    name = os.fsdecode(bytes.fromhex(head["name"]))
    return _Image(name, kept=head["kept"], data=data if head["file"] else None, mode=head["mode"])


def _compared(then: _Image, now: _Image) -> FileChange:
    known = then.kept and now.kept
    diff = _diff(then, now) if known else None
    lines = diff.split("\n")[2:] if diff else []
    return FileChange(
        name=then.name,
        change=_change(then, now),
        insertions=sum(line.startswith("+") for line in lines),
        deletions=sum(line.startswith("-") for line in lines),
        diff=None if diff is None else diff[:MAX_DIFF_CHARS],
        restorable=then.kept,
    )


def _change(then: _Image, now: _Image) -> Change:
    if then.data is None or now.data is None:
        both = then.data is None and now.data is None
        return Change.UNCHANGED if both else Change.CREATED if then.data is None else Change.DELETED
    same = then.kept and now.kept and then.data == now.data
    return Change.UNCHANGED if same else Change.MODIFIED


def _diff(then: _Image, now: _Image) -> str | None:
    try:
        return diff_of((then.data or b"").decode(), (now.data or b"").decode(), then.name)
    except UnicodeDecodeError:
        return None


def _put_back(workplace: Path, target: PurePath, image: _Image) -> bool:
    try:
        _write(workplace, target, image)
    except OSError as error:
        # A directory stands in its place, or the disk fails: the others are put back all the same.
        _log.warning("file_not_put_back", reason=str(error))
        return False
    return True


def _write(workplace: Path, target: PurePath, image: _Image) -> None:
    if image.data is None:
        with suppress(FileNotFoundError), parent_of(workplace, target) as (directory, name):
            os.unlink(name, dir_fd=directory)
        return
    with parent_of(workplace, target, make=True) as (directory, name):
        # Written beside it and put in its place: a link there is replaced, and not followed.
        beside = f".{uuid4()}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(beside, flags, image.mode, dir_fd=directory), "wb") as file:
            file.write(image.data)
            os.fchmod(file.fileno(), image.mode)
        os.replace(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
