"""A checkout of made-up packages, of which every one has a newer release in an index on the loopback address."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.install import Place, places
from tests.install.loopback_index import NEWER, Index, served

# The project's own backend needs hatchling; this one stands in the checkout, but says that it needs it too.
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "backend"
backend-path = ["."]
[project]
name = "checkout"
version = "1.0"
"""
BACKEND = """
import pathlib, zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "checkout-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(directory) / name, "w") as wheel:
        wheel.writestr("checkout.pth", str(pathlib.Path.cwd()))
        wheel.writestr("checkout-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: checkout\\nVersion: 1.0\\n")
        wheel.writestr("checkout-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\n"
            "Tag: py3-none-any\\n")
        wheel.writestr("checkout-1.0.dist-info/RECORD", "checkout.pth,,\\ncheckout-1.0.dist-info/METADATA,,\\n"
            "checkout-1.0.dist-info/WHEEL,,\\ncheckout-1.0.dist-info/RECORD,,\\n")
    return name
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """It is the only one that pip knows while these tests run."""
    with served(Index(tmp_path_factory.mktemp("wheels"))) as index, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("PIP_") or name.lower().endswith("_proxy")]:
            patch.delenv(name)
        for name, value in index.environment().items():
            patch.setenv(name, value)
        yield index


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, index: Index) -> Path:
    """`cart` wants `basket` with an extra, which wants `handle`: what old pips refuse once there is a newer basket."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "requirements").mkdir()
    runtime = [
        index.offer("cart", "1.0", "basket[handle]>=1"),
        index.offer("basket", "1.0", "handle: handle>=1"),
        index.offer("handle", "1.0"),
        'elsewhere==1.0 ; sys_platform == "win32" \\\n    --hash=sha256:' + "0" * 64 + "\n",
    ]
    build = [index.offer("hammer", "1.0")]
    dev = [*runtime, *build, index.offer("saw", "1.0", "cart")]
    for name, lines in {"runtime": runtime, "build": build, "dev": dev}.items():
        (root / f"requirements/{name}.txt").write_text("".join(lines))
    for name in ("cart", "basket", "handle", "hammer", "saw", "hatchling", "pip", "setuptools"):
        index.offer(name, NEWER)
    return root


@pytest.fixture
def runtime(checkout: Path) -> Place:
    return places(checkout)["runtime"]


@pytest.fixture
def dev(checkout: Path) -> Place:
    return places(checkout)["dev"]
