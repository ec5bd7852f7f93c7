"""Files below a directory that somebody else is changing at the same time."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import pytest

from claude_code_api.flow.beneath import OutsideError, open_beneath, parent_of

NOT_A_STEP = r"symbolic links|Not a directory"


def read(root: Path, path: str) -> bytes:
    with os.fdopen(open_beneath(root, PurePath(path)), "rb") as file:
        return file.read()


def test_what_is_below_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("here")
    (tmp_path / "file").write_text("there")
    assert (read(tmp_path, "a/b/file"), read(tmp_path, "file")) == (b"here", b"there")


@pytest.mark.parametrize("path", ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a/.."])
def test_what_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OutsideError):
        open_beneath(tmp_path, PurePath(path))


@pytest.mark.parametrize("path", ["link", "way/file", "a/way/file"])
def test_no_step_is_a_link(tmp_path: Path, path: str) -> None:
    """As it is when a directory is taken away, and a link put in its place, after it was looked at."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / "a").mkdir(parents=True)
    (outside / "file").write_text("secret")
    (root / "link").symlink_to(outside / "file")
    (root / "way").symlink_to(outside)
    (root / "a" / "way").symlink_to(outside)
    with pytest.raises(OSError, match=NOT_A_STEP):
        open_beneath(root, PurePath(path))
    if path != "link":
        with (
            pytest.raises(OSError, match=NOT_A_STEP),
            parent_of(root, PurePath(path), make=True),
        ):
            pytest.fail("it was held")


def test_directories_are_made_where_that_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), parent_of(tmp_path, PurePath("a/b/file")):
        pytest.fail("it was held")
    with parent_of(tmp_path, PurePath("a/b/file"), make=True) as (directory, name):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=directory))
    assert (tmp_path / "a" / "b" / "file").exists()


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    (tmp_path / "a").mkdir()
    for path in ("a/x/y", "a/x", "x/y"):
        with pytest.raises(FileNotFoundError):
            open_beneath(tmp_path, PurePath(path))
    assert len(list(Path("/dev/fd").iterdir())) == before
