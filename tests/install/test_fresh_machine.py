"""The real locks, in a fresh checkout, with the pip that each Python brought, where every package has a newer release.

What is locked is fetched once from the index that pip is set up for. From then on pip knows the loopback index alone.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.install import ROOT, places
from scripts.sbom import read_lock
from tests.install.loopback_index import MENDED_PIP, NEWER, Index, served

# The largest lock is 200 MB, which a slow line brings in a quarter of an hour; unpacking takes minutes on a slow disk.
pytestmark = [pytest.mark.install, pytest.mark.timeout(3600)]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# What an installation reads, of all that is in a checkout.
CHECKOUT = ("Makefile", "README.md", "LICENSE", "pyproject.toml", "requirements", "scripts", "src")


def pythons() -> Iterator[Path]:
    """One Python of each version: of PATH, or of what pyenv has."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        on_path = shutil.which(f"python{version}")
        tried = [*sorted(pyenv.glob(f"{version}.*/bin/python{version}")), *([Path(on_path)] if on_path else [])]
        for python in tried:
            # One of pyenv's may be listed on PATH and not be there.
            ended = subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, check=False)
            if ended.returncode == 0:
                yield python
                break


PYTHONS = {python.name.removeprefix("python"): python for python in pythons()}
CASES = [
    (version, name)
    for version in PYTHONS
    for name, place in places(ROOT).items()
    if place.below is None or tuple(map(int, version.split("."))) < place.below
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fresh")
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    return root


def run(*command: str | Path, env: dict[str, str] | None = None, ok: bool = True) -> str:
    ended = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    assert ended.returncode == 0 or not ok, ended.stdout[-3000:]
    return ended.stdout


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(("version", "name"), CASES)
def test_the_lock_is_installed_as_it_is(checkout: Path, tmp_path: Path, version: str, name: str) -> None:
    place, python = places(checkout)[name], PYTHONS[version]
    shutil.rmtree(place.directory, ignore_errors=True)
    run(python, "-I", "-m", "venv", tmp_path / "fetching")
    pip = (tmp_path / "fetching/bin/python", "-I", "-m", "pip", "-q", "--disable-pip-version-check")
    locks = [argument for lock in place.locks for argument in ("-r", str(lock))]
    wheels = tmp_path / "wheels"
    run(*pip, "download", "--no-deps", "--only-binary=:all:", "--require-hashes", "-d", wheels, *locks)
    megabytes = sum(wheel.stat().st_size for wheel in wheels.iterdir()) / 1e6
    there = {wheel.name for wheel in wheels.iterdir()}

    with served(Index(wheels)) as index:
        pinned = {one.name: one.version for lock in place.locks for one in read_lock(lock.read_text())}
        for package in {*pinned, "pip", "setuptools", "wheel"}:
            index.offer(package, NEWER)
        env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")} | index.environment()

        began = time.monotonic()
        said = run("sh", checkout / "scripts/install.sh", name, python, env=env)
        took = time.monotonic() - began
        assert index.files() == there, "each of them once, and no newer one"
        assert index.pages() <= {plain(package) for package in pinned}

        # Nothing has to be asked a second time.
        index.asked.clear()
        began = time.monotonic()
        assert run("sh", checkout / "scripts/install.sh", name, env=env) == ""
        again = time.monotonic() - began
        assert index.asked == []

        own = (place.directory / "bin/python", "-I", "-m", "pip", "--disable-pip-version-check")
        listed = run(*own, "list", "--format=freeze").splitlines()
        found = {plain(one.partition("==")[0]): one.partition("==")[2] for one in listed}
        project = {"claude-code-api"} if place.checkout else set()
        brought = {"pip", "setuptools"} - {plain(package) for package in pinned}
        installed = {wheel.partition("-")[0] for wheel in there}
        assert set(found) - brought - project == {plain(package) for package in installed}
        assert NEWER not in found.values()
        assert "No broken requirements found" in run(*own, "check")

        # What was wrong, with this lock and this pip: it is refused, or the pip is one that can do it.
        number = re.match(r"pip (\d+)\.(\d+)", run(*pip, "--version"))
        assert number is not None
        left = run(*pip, "install", "--dry-run", "--require-hashes", *locks, env=env, ok=False)
        old = (int(number[1]), int(number[2])) < MENDED_PIP
        refused = "In --require-hashes mode, all requirements must have their versions pinned" in left
        assert refused <= old, left[-3000:]
    sys.stdout.write(
        f"\n{said}{name}, Python {version}, pip {number[1]}.{number[2]}: {took:.0f} s, again {again:.1f} s, "
        f"{len(there)} packages, {megabytes:.0f} MB; without --no-deps {'refused' if refused else 'accepted'}\n"
    )
