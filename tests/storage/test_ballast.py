"""The space that is kept for the end of running turns."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from claude_code_api.storage.ballast import BYTES, ROOM, Ballast


class Disk(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much the disk says is free: the last entry."""
    said = [ROOM * BYTES]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(0, 0, said[-1]))
    return said


def test_it_is_made_once_and_found_again(tmp_path: Path) -> None:
    assert Ballast(tmp_path).take_on()
    file = tmp_path / "ballast"
    content = file.read_bytes()
    assert len(content) == BYTES
    # Not something that a file system keeps without space.
    assert len(set(content)) == 256
    assert Ballast(tmp_path).take_on()
    assert file.read_bytes() == content


def test_half_of_one_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / "ballast").write_bytes(b"x")
    assert Ballast(tmp_path).take_on()
    assert (tmp_path / "ballast").stat().st_size == BYTES


def test_it_is_given_up_once_and_comes_back_when_there_is_room(tmp_path: Path, free: list[int]) -> None:
    ballast = Ballast(tmp_path)
    assert ballast.take_on()
    assert ballast.spare()
    assert ballast.give_up()
    assert not (tmp_path / "ballast").exists()
    assert not ballast.give_up()
    free.append(ROOM * BYTES - 1)
    assert not ballast.spare()
    assert not ballast.held
    free.append(ROOM * BYTES)
    assert ballast.spare()
    assert ballast.held


def test_a_start_on_a_small_disk_goes_without(tmp_path: Path, free: list[int]) -> None:
    free.append(0)
    ballast = Ballast(tmp_path)
    assert not ballast.take_on()
    assert ballast.spare()
    assert not ballast.give_up()


def test_a_place_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    assert not Ballast(tmp_path / "absent").take_on()
