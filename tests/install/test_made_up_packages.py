"""Everything has a newer release than the locked one, and the installer installs the locked one; also after damage."""

import fcntl
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.install import Place, fault, make_ready
from scripts.locked_packages import packages, python_of
from tests.install.loopback_index import MENDED_PIP, NEWER, Index

# An environment takes six seconds on a slow machine that has nothing else to do.
pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
RUNTIME = {"cart-1.0", "basket-1.0", "handle-1.0", "hammer-1.0"}


def readied(place: Place) -> str:
    out = io.StringIO()
    make_ready(place, out)
    return out.getvalue()


def readied_alone(runtime: Place, dev: Place) -> None:
    if dev.stamp.exists():
        shutil.rmtree(dev.directory)
    readied(runtime)


def pip(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python_of(place.directory)), "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def own(place: Place) -> set[str]:
    """What is installed, but for what Python put there."""
    found = {name.removesuffix(".dist-info") for name in packages(place.directory)}
    return {name for name in found if not name.startswith(("pip-", "setuptools-"))}


def test_exactly_the_lock_is_installed_and_nothing_else_is_asked_for(index: Index, runtime: Place) -> None:
    shutil.rmtree(runtime.directory, ignore_errors=True)
    index.asked.clear()
    said = readied(runtime).splitlines()
    assert own(runtime) == RUNTIME | {"checkout-1.0"}
    assert index.pages() == {"cart", "basket", "handle", "hammer"}, "neither hatchling nor pip"
    assert index.files() == {f"{name}-py3-none-any.whl" for name in RUNTIME}
    assert re.fullmatch(r"Making \.venv\. Python 3\.\d+\.\d+\S*\.", said[0])
    assert said[1:] == [
        "Installing runtime: 4 of 4: hammer",
        "Installing runtime: unpacking 4",
        "Installing the project itself",
        f".venv is ready: {len(packages(runtime.directory))} packages.",
    ]


def test_the_same_pip_left_to_itself_refuses_the_lock_or_is_new_enough(index: Index, runtime: Place) -> None:
    """What was wrong: without `--no-deps` it depends on the pip whether a newer release ends the installation."""
    readied(runtime)
    version = re.match(r"pip (\d+)\.(\d+)", pip(runtime, "--version").stdout)
    assert version is not None
    lock = str(runtime.locks[0])
    plain = pip(runtime, "install", "--dry-run", "--ignore-installed", "--require-hashes", "-r", lock)
    refused = "In --require-hashes mode, all requirements must have their versions pinned" in plain.stderr
    assert refused == ((int(version[1]), int(version[2])) < MENDED_PIP), plain.stderr
    assert refused == (plain.returncode != 0)


def test_a_build_left_to_itself_takes_the_newest_tool(index: Index, runtime: Place, checkout: Path) -> None:
    readied(runtime)
    index.asked.clear()
    pip(runtime, "install", "--no-deps", "-e", str(checkout), "--target", str(checkout / "elsewhere"))
    assert index.files() == {f"hatchling-{NEWER}-py3-none-any.whl"}


def test_a_second_run_asks_nothing_and_says_nothing(index: Index, runtime: Place) -> None:
    readied(runtime)
    index.asked.clear()
    assert readied(runtime) == ""
    assert index.asked == []


def test_the_rest_is_added_to_what_is_there(index: Index, runtime: Place, dev: Place) -> None:
    readied_alone(runtime, dev)
    index.asked.clear()
    said = readied(dev)
    assert "Making" not in said
    assert index.files() == {"saw-1.0-py3-none-any.whl"}
    assert own(dev) == RUNTIME | {"saw-1.0", "checkout-1.0"}
    assert (fault(dev), fault(runtime)) == ("", ""), "the larger one will do for the smaller"


@contextmanager
def away(path: Path, tmp_path: Path) -> Iterator[None]:
    """Take a file away for a while; in between another one may be put there."""
    shutil.move(path, tmp_path / "away")
    yield
    path.unlink(missing_ok=True)
    shutil.move(tmp_path / "away", path)


def nothing(path: Path) -> None:
    """The file stays away."""


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_end(path: Path) -> None:
    path.write_text((path.parent.parent / "requirements/runtime.txt").read_text() + "\n")


@pytest.mark.parametrize(
    ("file", "then", "said"),
    [
        (".venv/.installed-runtime", nothing, "it was not finished"),
        (".venv/.installed-runtime", empty, "it was not finished"),
        (".venv/{site}/cart.py", nothing, "cart.py is gone or empty"),
        (".venv/{site}/cart.py", empty, "cart.py is gone or empty"),
        (".venv/{site}/cart-1.0.dist-info/RECORD", nothing, "cart-1.0.dist-info is gone or empty"),
        (".venv/bin/python", nothing, "its Python does not start"),
        (".venv/bin/python", empty, "its Python does not start"),
        (".venv/pyvenv.cfg", nothing, "its Python does not start"),
        ("requirements/build.txt", another_end, "another lock than it was made with"),
        (
            "pyproject.toml",
            lambda path: path.write_text('[build-system]\n[project]\nname = "checkout"\nversion = "2.0"\n'),
            "another project section of pyproject.toml than it was made with",
        ),
    ],
)
def test_what_is_amiss_is_seen(
    runtime: Place, checkout: Path, tmp_path: Path, file: str, then: Callable[[Path], object], said: str
) -> None:
    readied(runtime)
    site = f"lib/python3.{sys.version_info.minor}/site-packages"
    path = checkout / file.format(site=site)
    with away(path, tmp_path):
        then(path)
        assert fault(runtime) == said
    assert fault(runtime) == ""


def test_an_edited_file_is_no_damage(runtime: Place) -> None:
    """A person who looks for a fault in a package writes into it, and does not want it back in the midst of that."""
    readied(runtime)
    (path,) = runtime.directory.glob("lib/python3*/site-packages/handle.py")
    path.write_text("# looked at\n")
    assert fault(runtime) == ""


def test_what_is_damaged_is_made_anew_without_the_remains(runtime: Place) -> None:
    readied(runtime)
    (site,) = runtime.directory.glob("lib/python3*/site-packages")
    (site / "basket.py").unlink()
    (site / "of_another_version.py").touch()
    assert readied(runtime).startswith("Making .venv anew: basket.py is gone or empty. Python 3")
    assert (site / "basket.py").exists()
    assert not (site / "of_another_version.py").exists()
    assert fault(runtime) == ""


def test_killed_in_the_middle_it_is_unfinished_and_closed_until_pip_ends(
    index: Index, checkout: Path, runtime: Place, dev: Place
) -> None:
    readied_alone(runtime, dev)
    index.held = "saw"
    program = (
        "import sys; from pathlib import Path; from scripts.install import alone, make_ready, places\n"
        "root = Path(sys.argv[1])\nwith alone(root, sys.stdout): make_ready(places(root)['dev'], sys.stdout)"
    )
    running = subprocess.Popen([sys.executable, "-c", program, checkout], cwd=ROOT, stdout=subprocess.DEVNULL)
    index.waits.wait()
    running.kill()
    running.wait()
    # Its pip still writes.
    held = os.open(checkout, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        index.go.set()
        fcntl.flock(held, fcntl.LOCK_EX)
    finally:
        os.close(held)
    assert fault(dev) == fault(runtime) == "it was not finished"
