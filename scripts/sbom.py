"""Writes the bill of materials: CycloneDX JSON of the runtime lock, and of the `claude` program that comes with it.

Made of the lock and the program alone: the same ones give the same bytes. usage: sbom.py [FILE]
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements" / "runtime.txt"
SPEC: Final = "1.6"
# Of which package the `claude` program is a part, and where in it.
CLI_PACKAGE: Final = "claude-agent-sdk"
CLI_PROGRAM: Final = "claude_agent_sdk/_bundled/claude"
CHUNK_BYTES: Final = 1 << 20

_PIN: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? *\\?$")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA: Final = re.compile(r"#\s+(?:via\s+)?([A-Za-z0-9._-]+)(?: \(.*\))?$")


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of the lock."""

    name: str
    version: str
    # On which machines it is installed; "": on all.
    marker: str
    hashes: tuple[str, ...]
    # Which others want it; the project itself among them.
    wanted_by: tuple[str, ...]

    @property
    def ref(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(text: str) -> list[Locked]:
    """Read a lock with hashes. Raises `ValueError` for a line of a kind that is not known."""
    found: list[Locked] = []
    entry: list[str] = []
    for line in [*text.splitlines(), ""]:
        begins = bool(line) and not line.startswith((" ", "#"))
        if entry and (begins or not line):
            found.append(_locked(entry))
            entry = []
        if begins or entry:
            entry.append(line)
    return found


def _locked(lines: list[str]) -> Locked:
    pin = _PIN.match(lines[0])
    hashes = tuple(hash_ for line in lines[1:] for hash_ in _HASH.findall(line))
    if pin is None or not hashes:
        raise ValueError(f"not a pinned package with hashes: {lines[0]!r}")
    via = (_VIA.search(line.strip()) for line in lines[1:] if "#" in line)
    wanted_by = tuple(match[1] for match in via if match is not None and match[1] != "via")
    return Locked(pin["name"], pin["version"], pin["marker"] or "", hashes, wanted_by)


def bill(locked: list[Locked], project: dict[str, Any]) -> dict[str, Any]:
    """Say it as CycloneDX does."""
    name, version = project["name"], project["version"]
    root = {"type": "application", "bom-ref": f"pkg:pypi/{name}@{version}", "name": name, "version": version}
    root |= {"purl": root["bom-ref"], "licenses": [{"license": {"id": project["license"]}}]}
    components = [*map(_component, locked), *_program(locked)]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(components, sort_keys=True))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": list(_dependencies(locked, name, str(root["bom-ref"]))),
    }


def _component(package: Locked) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.ref,
        "name": package.name,
        "version": package.version,
        "purl": package.ref,
        # A package has one file for each kind of machine: the lock takes any of these, and no other.
        "properties": [{"name": "lock:sha256", "value": hash_} for hash_ in package.hashes],
    }
    if package.marker:
        said["properties"].append({"name": "lock:marker", "value": package.marker})
    return said


def _program(locked: list[Locked]) -> Iterator[dict[str, Any]]:
    """The program that a package brings along for this kind of machine, by what it is."""
    brings = next((package for package in locked if package.name == CLI_PACKAGE), None)
    if brings is None:
        return
    distribution = importlib.metadata.distribution(CLI_PACKAGE)
    if distribution.version != brings.version:
        raise ValueError(f"{CLI_PACKAGE} {distribution.version} is installed, and {brings.version} is locked")
    path = Path(str(distribution.locate_file(CLI_PROGRAM)))
    ref = f"{brings.ref}#{CLI_PROGRAM}"
    yield {
        "type": "application",
        "bom-ref": ref,
        "name": "claude",
        "version": _cli_version(path.parent.parent),
        "hashes": [{"alg": "SHA-256", "content": _digest(path)}],
        "properties": [{"name": "brought-by", "value": brings.ref}],
    }


def _cli_version(package: Path) -> str:
    found = re.search(r'__cli_version__ = "([^"]+)"', (package / "_cli_version.py").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError("the package does not say which claude it brings")
    return found[1]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dependencies(locked: list[Locked], name: str, root: str) -> Iterator[dict[str, Any]]:
    for wanting, ref in ((name, root), *((package.name, package.ref) for package in locked)):
        wanted = sorted(package.ref for package in locked if wanting in package.wanted_by)
        yield {"ref": ref, "dependsOn": wanted}


def main(target: Path) -> None:
    """Write it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = bill(read_lock(LOCK.read_text(encoding="utf-8")), project)
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    print(f"{target}: {len(said['components'])} components")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "sbom.cdx.json")
