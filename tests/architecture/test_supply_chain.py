"""Item 26: what is locked, what is in the wheel, and what the bill of materials says of both."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.options import EngineOptions
from claude_code_api.engine.versions import OLDEST, version_of
from scripts.install import places
from scripts.locked_packages import INSTALL
from scripts.sbom import read_lock

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "runtime.txt"
# Any moment will do; the second build is made as if on another day.
EPOCH = "1700000000"


def run(*arguments: str, **env: str) -> None:
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"))


def built(place: Path) -> Path:
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(place), SOURCE_DATE_EPOCH=EPOCH)
    (found,) = place.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("sbom") / "sbom.json"
    run("scripts/sbom.py", str(target))
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def locked() -> dict[str, set[str]]:
    """What is locked, with its hashes: read in another way than the script's."""
    found: dict[str, set[str]] = {}
    for entry in re.split(r"\n(?=\S)", LOCK.read_text()):
        if "==" in entry.splitlines()[0]:
            name, version = entry.split()[0].split("==")
            found[f"{name}@{version}"] = set(re.findall(r"sha256:(\w+)", entry))
    return found


def test_item_26_the_bill_of_materials_is_the_lock(bill: dict[str, Any]) -> None:
    libraries = [one for one in bill["components"] if one["type"] == "library"]
    said = {
        f"{one['name']}@{one['version']}": {p["value"] for p in one["properties"] if p["name"] == "lock:sha256"}
        for one in libraries
    }
    assert said == locked()
    assert len(said) == len(libraries) > 20
    assert all(said.values()), "nothing is locked without a hash"
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert all(one["purl"] == one["bom-ref"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in libraries)


def test_item_26_the_program_is_in_it_with_its_hash(bill: dict[str, Any]) -> None:
    (program,) = [one for one in bill["components"] if one["type"] == "application"]
    binary = find_binary(EngineOptions(), Path("/nowhere"))
    with binary.open("rb") as file:
        assert program["hashes"] == [{"alg": "SHA-256", "content": hashlib.file_digest(file, "sha256").hexdigest()}]
    version = version_of(program["version"])
    assert version is not None
    assert version >= OLDEST, "the one that comes along is served"


def test_every_dependency_is_wanted_by_something(bill: dict[str, Any]) -> None:
    refs = {one["bom-ref"] for one in bill["components"] if one["type"] == "library"}
    wanted = {ref for one in bill["dependencies"] for ref in one["dependsOn"]}
    assert wanted == refs
    root = bill["metadata"]["component"]["bom-ref"]
    (direct,) = [one["dependsOn"] for one in bill["dependencies"] if one["ref"] == root]
    # Extras are no dependencies of the wheel itself.
    needed = [need for need in importlib.metadata.requires("claude-code-api") or [] if "extra ==" not in need]
    assert len(direct) == len(needed)


def test_the_bill_is_the_same_each_time(bill: dict[str, Any], tmp_path: Path) -> None:
    run("scripts/sbom.py", str(tmp_path / "again.json"))
    assert json.loads((tmp_path / "again.json").read_text()) == bill


@pytest.mark.parametrize("line", ["fastapi>=1", "fastapi @ git+https://example.org/x", "fastapi==1.0", "-e ."])
def test_what_is_not_pinned_with_hashes_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a pinned package"):
        read_lock(f"{line}\n    # via something\n")


def test_item_26_nothing_in_the_wheel_runs_by_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not [name for name in names if name.endswith(".pth")], "they are run at each start of any Python"
    tops = {name.partition("/")[0] for name in names}
    (info,) = tops - {"claude_code_api"}
    assert re.fullmatch(r"claude_code_api-[0-9.]+\.dist-info", info)
    assert not [name for name in names if Path(name).name in {"sitecustomize.py", "usercustomize.py"}]
    assert not [name for name in names if name.endswith((".so", ".pyd", ".dll", ".exe"))]


def test_item_26_the_wheel_is_the_same_bit_for_bit(wheel: Path, tmp_path: Path) -> None:
    again = built(tmp_path)
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_every_lock_has_hashes_for_everything() -> None:
    for lock in sorted(LOCK.parent.glob("*.txt")):
        assert read_lock(lock.read_text()), lock.name


def test_every_lock_is_installed_by_the_one_installer() -> None:
    assert {lock for place in places(ROOT).values() for lock in place.locks} == set(LOCK.parent.glob("*.txt"))
    assert "--no-deps" in INSTALL


# Each of these fetches what is newest, or may.
INSTALLS = re.compile(
    r"pip3? (?:-\S+ )*(?:install|download|sync|wheel)|-m pip\b|\"pip\"|\buvx?\b (?:run|sync|add|tool)|\bpipx\b"
    r"|\bnpm (?:install|i|add|update|exec)\b|\bnpx\b"
)
INSTALLERS = {
    "scripts/locked_packages.py": 1,
    # Writes Node's lock anew, which is asked for, and installs nothing.
    "scripts/lock.sh": 1,
}


def test_nothing_else_installs_packages() -> None:
    texts = [ROOT / "Makefile", *(ROOT / "scripts").iterdir(), *(ROOT / ".ci").glob("*")]
    found = {
        str(file.relative_to(ROOT)): len(said)
        for file in texts
        if file.is_file() and (said := INSTALLS.findall(file.read_text()))
    }
    assert found == INSTALLERS
    assert "npm install --silent --package-lock-only" in (ROOT / "scripts" / "lock.sh").read_text()


@pytest.mark.parametrize(
    "line", ["pip install x", "python -m pip -q install", "uv pip install -r x", "uv sync", "npm install", "npx x"]
)
def test_another_installer_is_found(line: str) -> None:
    assert INSTALLS.search(line)


def test_item_26_an_audit_that_could_not_look_is_none() -> None:
    """A registry that knows no weaknesses skips every package; by itself the tool then says that there are none."""
    assert "pip-audit --strict --require-hashes" in (ROOT / "scripts" / "audit.sh").read_text()
