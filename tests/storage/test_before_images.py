"""What files were before agents changed them: kept before the change, and put back without following anybody's link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from claude_code_api.flow.records import Change, FileChange
from claude_code_api.storage import before_images
from claude_code_api.storage.before_images import BeforeImageFiles


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir()
    return made


@pytest.fixture
def images(tmp_path: Path) -> BeforeImageFiles:
    return BeforeImageFiles(tmp_path / "kept")


def told(changes: tuple[FileChange, ...]) -> dict[str, tuple[Change, bool]]:
    return {one.name: (one.change, one.restorable) for one in changes}


NAMES = ["a", "with space", "déjà", "line\nend", "\udcff", "-rf", "deep/er/file"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("before", [None, b"", b"text\n", b"\x00\xff\n\n"])
async def test_there_and_back(images: BeforeImageFiles, place: Path, name: str, before: bytes | None) -> None:
    path = place / name
    if before is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(before)
    await images.keep("t1", place, name)
    assert told(await images.changes(["t1"], place)) == {name: (Change.UNCHANGED, True)}
    assert await images.restore(["t1"], place) == ()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"after\n")
    expected = Change.CREATED if before is None else Change.MODIFIED
    assert told(await images.restore(["t1"], place)) == {name: (expected, True)}
    assert (path.read_bytes() if path.exists() else None) == before
    assert [one.name for one in path.parent.iterdir()] == ([] if before is None else [path.name])


async def test_the_first_image_of_a_turn_and_the_first_turn_count(images: BeforeImageFiles, place: Path) -> None:
    path = place / "a"
    for turn, text in (("t1", "1"), ("t1", "2"), ("t2", "3")):
        path.write_text(text)
        await images.keep(turn, place, "a")
    path.write_text("4")
    await images.restore(["t2"], place)
    assert path.read_text() == "3"
    await images.restore(["t1", "t2"], place)
    assert path.read_text() == "1"
    assert await images.changes(["never"], place) == ()


async def test_a_deleted_file_comes_back_with_its_rights(images: BeforeImageFiles, place: Path) -> None:
    path = place / "deep" / "run.sh"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    await images.keep("t1", place, "deep/run.sh")
    path.unlink()
    path.parent.rmdir()
    assert told(await images.changes(["t1"], place)) == {"deep/run.sh": (Change.DELETED, True)}
    await images.restore(["t1"], place)
    assert path.stat().st_mode & 0o777 == 0o755


async def test_lines_are_counted(images: BeforeImageFiles, place: Path) -> None:
    (place / "a").write_text("1\n2\n3\n")
    await images.keep("t1", place, "a")
    (place / "a").write_text("1\n-- x\n++ y\n3\n")
    (change,) = await images.changes(["t1"], place)
    assert (change.insertions, change.deletions) == (2, 1)
    (place / "a").write_bytes(b"\xff")
    (change,) = await images.changes(["t1"], place)
    assert (change.diff, change.insertions, change.change) == (None, 0, Change.MODIFIED)


async def test_what_is_no_plain_file_is_named_and_left_alone(images: BeforeImageFiles, place: Path) -> None:
    secret = place.parent / "secret"
    secret.write_text("s")
    (place / "link").symlink_to(secret)
    (place / "out").symlink_to(place.parent)
    (place / "directory").mkdir()
    os.mkfifo(place / "pipe")
    for name in ("link", "directory", "pipe", "out/secret"):
        await images.keep("t1", place, name)
    changes = await images.changes(["t1"], place)
    assert {(one.restorable, one.diff) for one in changes} == {(False, None)}
    assert {one.restorable for one in await images.restore(["t1"], place)} == {False}
    assert secret.read_text() == "s"


async def test_a_directory_in_the_way_is_not_removed(images: BeforeImageFiles, place: Path) -> None:
    (place / "a").write_text("a")
    (place / "b").write_text("b")
    for name in ("a", "b"):
        await images.keep("t1", place, name)
        (place / name).unlink()
    (place / "a" / "precious").mkdir(parents=True)
    assert told(await images.restore(["t1"], place)) == {"a": (Change.MODIFIED, False), "b": (Change.DELETED, True)}
    assert (place / "a" / "precious").is_dir()
    assert (place / "b").read_text() == "b"


async def test_images_are_bounded(images: BeforeImageFiles, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before_images, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(before_images, "MAX_TURN_BYTES", 2500)
    for name, size in (("large", 1001), ("fits", 1000), ("a", 1000), ("b", 1000), ("c", 1000)):
        (place / name).write_bytes(b"x" * size)
        await images.keep("t1", place, name)
    kept = {one.name for one in await images.changes(["t1"], place) if one.restorable}
    assert kept == {"fits", "a"}


async def test_what_was_kept_is_dropped(images: BeforeImageFiles, place: Path) -> None:
    root = place.parent / "kept"
    assert await images.forget_old(kept_before_s=1e12) == 0
    await images.forget(["never"])
    for turn in ("t1", "t2", "../../t3"):
        await images.keep(turn, place, "a")
    assert {path.parent for path in root.iterdir()} == {root}
    assert len(list(root.iterdir())) == 3
    assert {path.stat().st_mode & 0o777 for path in (root, *root.iterdir())} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in root.glob("*/*")} == {0o600}
    await images.forget(["t1"])
    assert len(list(root.iterdir())) == 2
    assert await images.forget_old(kept_before_s=0) == 0
    assert await images.forget_old(kept_before_s=1e12) == 2
    assert list(root.iterdir()) == []


async def test_a_disk_that_fails_is_told(images: BeforeImageFiles, place: Path) -> None:
    (place.parent / "kept").write_text("not a directory")
    with pytest.raises(OSError):  # noqa: PT011 - any of them
        await images.keep("t1", place, "a")
