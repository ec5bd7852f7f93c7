"""The first key: made once, readable by its owner alone."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from claude_code_api.storage.key_file import KEY_FILE_NAME, KeyFileError, read_key, read_or_make_key
from claude_code_api.storage.options import StorageOptions


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_a_key_and_the_second_finds_it(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    assert read_key(directory) is None
    first = read_or_make_key(directory)
    assert first.fresh
    assert first.path == directory / KEY_FILE_NAME
    assert (mode(first.path), mode(directory)) == (0o600, 0o700)
    second = read_or_make_key(directory)
    assert (second.key, second.fresh) == (first.key, False)
    assert read_key(directory) == second


def test_a_key_has_256_random_bits_and_says_whose_it_is(tmp_path: Path) -> None:
    keys = {read_or_make_key(tmp_path / str(number)).key for number in range(20)}
    assert len(keys) == 20
    for key in keys:
        assert key.startswith("cca-")
        assert len(key) == len("cca-") + 43
        assert key.isascii()


def test_nothing_else_is_left_in_the_directory(tmp_path: Path) -> None:
    read_or_make_key(tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE_NAME]


def test_a_directory_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir(mode=0o755)
    read_or_make_key(directory)
    assert mode(directory) == 0o700


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644, 0o666, 0o620, 0o601])
def test_a_file_that_others_can_touch_is_refused(tmp_path: Path, bits: int) -> None:
    found = read_or_make_key(tmp_path)
    found.path.chmod(bits)
    with pytest.raises(KeyFileError, match=f"chmod 600 {found.path}") as refusal:
        read_or_make_key(tmp_path)
    assert found.key not in str(refusal.value)


@pytest.mark.parametrize(("content", "advice"), [(b"", "empty"), (b" \n", "empty"), (b"\xff\xfe", "cannot be read")])
def test_a_file_that_holds_no_key(tmp_path: Path, content: bytes, advice: str) -> None:
    path = tmp_path / KEY_FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=advice):
        read_or_make_key(tmp_path)
    assert path.read_bytes() == content, "what is there is never overwritten"


def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE_NAME).mkdir()
    with pytest.raises(KeyFileError, match="cannot be read"):
        read_or_make_key(tmp_path)


def test_a_key_of_ones_own_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE_NAME
    path.write_text("  my-own-key\n", encoding="ascii")
    path.chmod(0o400)
    found = read_or_make_key(tmp_path)
    assert (found.key, found.fresh) == ("my-own-key", False)


def test_gateways_that_start_at_once_end_up_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: read_or_make_key(tmp_path / "data"), range(64)))
    assert len({key.key for key in found}) == 1
    assert sum(key.fresh for key in found) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE_NAME]


def test_the_other_gateway_was_quicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the link: its key is there, and stays."""
    link = os.link

    def beaten(draft: Path, path: Path) -> None:
        path.write_text("of-the-other\n", encoding="ascii")
        path.chmod(0o600)
        link(draft, path)

    monkeypatch.setattr(os, "link", beaten)
    found = read_or_make_key(tmp_path)
    assert (found.key, found.fresh) == ("of-the-other", False)
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE_NAME]


def test_a_key_is_not_shown_by_accident(tmp_path: Path) -> None:
    found = read_or_make_key(tmp_path)
    assert found.key not in repr(found)


def test_the_usual_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for platform, place in (
        ("linux", ".local/share/claude-code-api"),
        ("darwin", "Library/Application Support/claude-code-api"),
    ):
        monkeypatch.setattr("sys.platform", platform)
        assert StorageOptions().data_dir == tmp_path / place


def test_a_directory_in_use_that_others_can_enter_is_not_touched(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "somebody's file").touch()
    with pytest.raises(KeyFileError, match="chmod 700"):
        read_or_make_key(shared)
    assert mode(shared) == 0o755
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)
    read_or_make_key(empty)
    assert mode(empty) == 0o700
