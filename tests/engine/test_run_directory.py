"""A directory for the processes of one gateway, and the leftovers of dead ones."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

from claude_code_api.engine.run_directory import own_run_directory

HOLD = """
import sys
from pathlib import Path
from claude_code_api.engine.run_directory import own_run_directory
with own_run_directory(Path(sys.argv[1])) as mine:
    (mine / "1").mkdir()
    print(mine, flush=True)
    sys.stdin.read()
"""


def holder(data_dir: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start another gateway, as far as directories go."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().decode().strip())


def test_it_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with own_run_directory(tmp_path / "data") as mine:
        assert stat.S_IMODE(mine.stat().st_mode) == 0o700
        assert stat.S_IMODE(mine.parent.stat().st_mode) == 0o700
        (mine / "1" / "home").mkdir(parents=True)
    assert list((tmp_path / "data" / "run").iterdir()) == []


def test_what_is_held_is_kept_and_what_is_dead_is_swept(tmp_path: Path) -> None:
    process, theirs = holder(tmp_path)
    with process:
        with own_run_directory(tmp_path) as mine:
            assert theirs.is_dir()
            assert mine != theirs
            # Two of one gateway do not sweep each other either.
            with own_run_directory(tmp_path):
                assert mine.is_dir()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert theirs.is_dir()
        with own_run_directory(tmp_path):
            assert not theirs.exists()


def test_a_good_end_sweeps_itself(tmp_path: Path) -> None:
    process, theirs = holder(tmp_path)
    process.communicate(b"")
    assert process.returncode == 0
    assert not theirs.exists()


def test_what_is_no_run_directory_is_left_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "half-made").mkdir(parents=True)
    (run / "note").write_text("mine")
    with own_run_directory(tmp_path):
        pass
    assert sorted(path.name for path in run.iterdir()) == ["half-made", "note"]


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    with own_run_directory(tmp_path) as mine:
        (lock,) = [
            entry for entry in Path("/proc/self/fd").iterdir() if entry.exists() and entry.samefile(mine / ".lock")
        ]
        assert not os.get_inheritable(int(lock.name))
