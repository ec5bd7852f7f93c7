"""Makes an environment ready, or finds in a moment that it is. The one way by which locked packages get here.

An environment that is half-made, damaged, of another Python or of an older lock is made anew. Which one has to be there
is known to `scripts/install.sh`, which chooses the Python and calls this. The standard library alone; knows of pip only
through `locked_packages`. usage: python -m scripts.install NAME
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from scripts import locked_packages
from scripts.locked_packages import InstallError, Progress

ROOT: Final = Path(__file__).resolve().parents[1]
# Raised when an environment has to be made anew though no lock changed: the installer does something else.
EDITION: Final = 1
# The newest Python for which every lock of .venv was seen to have wheels.
NEWEST: Final = (3, 14)


@dataclass(frozen=True, slots=True)
class Place:
    """An environment, and what has to be in it."""

    name: str
    directory: Path
    locks: tuple[Path, ...]
    # The project itself goes in too.
    checkout: Path | None = None
    # What is ready as well once this is: it has a part of the same packages.
    covers: tuple[Place, ...] = ()
    # The first Python that its packages refuse.
    below: tuple[int, int] | None = None

    @property
    def stamp(self) -> Path:
        """Written last, so it is there only if everything is."""
        return self.directory / f".installed-{self.name}"


def places(root: Path) -> dict[str, Place]:
    """Every environment of the checkout at `root`."""

    def locks(*names: str) -> tuple[Path, ...]:
        return tuple(root / "requirements" / f"{name}.txt" for name in names)

    runtime = Place("runtime", root / ".venv", locks("runtime", "build"), root)
    return {
        "runtime": runtime,
        "dev": Place("dev", root / ".venv", locks("dev"), root, (runtime,)),
        "clients": Place("clients", root / ".venv-clients", locks("clients")),
        "aider": Place("aider", root / ".venv-aider", locks("aider"), below=(3, 13)),
        "audit": Place("audit", root / ".venv-audit", locks("audit")),
    }


def wanted(place: Place) -> dict[str, str]:
    """What the stamp of a place has to say, to be believed."""
    parts = {
        "installer": str(EDITION),
        # Binary packages are made for one of these.
        "Python": f"{sys.implementation.cache_tag} {sysconfig.get_config_var('SOABI')}",
        # Programs in an environment name its place in their first line.
        "directory": str(place.directory.resolve()),
        "lock": hashlib.sha256(b"\0".join(lock.read_bytes() for lock in place.locks)).hexdigest(),
    }
    if place.checkout is not None:
        project = tomllib.loads((place.checkout / "pyproject.toml").read_text("utf-8"))
        told = json.dumps([project["build-system"], project["project"]], sort_keys=True)
        parts["project section of pyproject.toml"] = hashlib.sha256(told.encode()).hexdigest()
    return parts


def fault(place: Place) -> str:
    """Say why a place is not ready; "": it is."""
    if not place.directory.exists():
        return "it is not there"
    try:
        stamp = json.loads(place.stamp.read_text("utf-8"))
        parts, installed = stamp["parts"], set(stamp["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        return "it was not finished"
    changed = [name for name, value in wanted(place).items() if parts.get(name) != value]
    if changed:
        return f"another {' and another '.join(changed)} than it was made with"
    if not locked_packages.starts(place.directory):
        return "its Python does not start"
    gone = [*sorted(installed - set(locked_packages.packages(place.directory)))]
    gone += locked_packages.damage(place.directory) if not gone else []
    return f"{gone[0]} is gone or empty" if gone else ""


def make_ready(place: Place, out: TextIO) -> None:
    """See to it that the place is ready. Says nothing if it is."""
    why = fault(place)
    if not why:
        return
    # What it covers is sound, and the rest was never there.
    grows = not place.stamp.exists() and any(not fault(one) for one in place.covers)
    for one in (place, *place.covers):
        one.stamp.unlink(missing_ok=True)
    name = place.directory.name
    if not grows:
        anew = f"Making {name} anew: {why}." if place.directory.exists() else f"Making {name}."
        print(f"{anew} Python {platform.python_version()}.", file=out, flush=True)
        locked_packages.make_venv(place.directory)
    progress = Progress(place.name, locked_packages.counted(place.locks), out)
    locked_packages.install(place.directory, place.locks, progress)
    if place.checkout is not None:
        locked_packages.install_checkout(place.directory, place.checkout, Progress("the project itself", 1, out))
    locked_packages.check(place.directory, progress)
    installed = locked_packages.packages(place.directory)
    for one in (*place.covers, place):
        one.stamp.write_text(json.dumps({"parts": wanted(one), "packages": installed}), "utf-8")
    print(f"{name} is ready: {len(installed)} packages.", file=out, flush=True)


@contextmanager
def alone(root: Path, out: TextIO) -> Iterator[None]:
    """Hold the checkout's directory, so that two installations do not write into one environment."""
    held = os.open(root, os.O_RDONLY)
    os.set_inheritable(held, True)  # noqa: FBT003 - so it is called
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another installation is at work here: waiting for it.", file=out, flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def main(arguments: list[str]) -> int:
    """Make the named environment ready; 0 when it is."""
    known = places(ROOT)
    if len(arguments) != 1 or arguments[0] not in known:
        print(f"usage: install.sh {'|'.join(known)} [PYTHON]", file=sys.stderr)
        return 2
    place = known[arguments[0]]
    if place.below is not None and sys.version_info >= place.below:
        print(
            f"{place.name} needs a Python older than {place.below[0]}.{place.below[1]}: it is left out.",
            file=sys.stderr,
        )
        return 0
    try:
        with alone(ROOT, sys.stdout):
            make_ready(place, sys.stdout)
    except InstallError as failed:
        print(failed, file=sys.stderr)
        if sys.version_info[:2] > NEWEST:
            print(
                f"The locked packages are for Python 3.11 to {NEWEST[0]}.{NEWEST[1]}; this is "
                f"{platform.python_version()}. Try: make install PYTHON=python3.13",
                file=sys.stderr,
            )
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped. {place.directory.name} is not finished; the next run makes it anew.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
