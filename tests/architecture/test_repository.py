"""The repository works on every machine: nothing in it names one machine, and what the documents promise is there."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

# Built from pieces, so that this file does not contain what it looks for.
DOT = r"\."
HOSTS = "|".join(
    DOT.join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("npmmirror", "com"),
        ("proxy", "golang", "org"),
        ("index", "crates", "io"),
    )
)
PLACEHOLDERS = "user|you|me|alice|bob"
PATHS = "|".join(
    (
        "/" + "root/",
        "/" + "work/",
        "/" + "opt/(?!homebrew)",
        "/" + rf"home/(?!(?:{PLACEHOLDERS})\b)[a-z]",
        "/" + rf"Users/(?!(?:{PLACEHOLDERS})\b)[A-Za-z]",
    )
)
# A path starts a word: neither a longer path, nor part of a URL or of a regular expression.
NOT_PORTABLE = re.compile(rf"\b(?:{HOSTS})\b|(?<![\w./$}}~*-])(?:{PATHS})|\b[A-Z]:\\Users\\")

TARGETS = {
    "install",
    "runtime",
    "dev",
    "jail",
    "start",
    "start-dev",
    "start-prod",
    "demo",
    "test",
    "test-chat",
    "test-real",
    "test-clients",
    "test-install",
    "test-busy",
    "fuzz",
    "corpus",
    "faults",
    "crash",
    "soak",
    "bench",
    "bench-smoke",
    "load",
    "lint",
    "clean",
    "kill",
    "fmt",
    "types",
    "imports",
    "golden",
    "docs",
    "build",
    "sbom",
    "lock",
    "audit",
    "changelog",
}
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|`)\s*(?:\$ )?make ([a-z][a-z-]*)", re.MULTILINE)


def not_portable(files: Iterable[Path], top: Path) -> list[str]:
    """Lines that name a package registry or a place on somebody's machine."""
    found = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:  # a picture
            continue
        found += [
            f"{file.relative_to(top)}:{number} {match[0]}"
            for number, line in enumerate(lines, 1)
            for match in NOT_PORTABLE.finditer(line)
        ]
    return found


def broken_links(files: Iterable[Path], top: Path) -> list[str]:
    """Relative Markdown links to a file that does not exist."""
    found = []
    for file in files:
        for target in LINK.findall(FENCE.sub("", file.read_text(encoding="utf-8"))):
            path = target.partition("#")[0]
            if path and "://" not in path and not path.startswith("mailto:") and not (file.parent / path).exists():
                found.append(f"{file.relative_to(top)}: {target}")
    return found


def unhashed(text: str) -> list[str]:
    """What a lock must not hold: options that name a place, addresses, packages without version or hash."""
    found = []
    for entry in re.sub(r"\\\n", " ", text).splitlines():
        line = entry.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        if not re.match(r"[a-z0-9][a-z0-9._-]*==\S+ ", line) or "--hash=sha256:" not in line or "://" in line:
            found.append(line[:80])
    return found


def locked(text: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.MULTILINE))


def documents(files: Iterable[Path], top: Path) -> list[Path]:
    """Markdown at the top and under docs/."""
    names = {file: file.relative_to(top).parts for file in files if file.suffix == ".md"}
    return [file for file, parts in names.items() if len(parts) == 1 or parts[0] == "docs"]


def documented_targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))


def test_nothing_names_a_registry_or_a_machine(repository_files: list[Path], root: Path) -> None:
    assert not_portable(repository_files, root) == []


def test_links_in_docs_resolve(repository_files: list[Path], root: Path) -> None:
    assert broken_links(documents(repository_files, root), root) == []


def test_no_path_files(repository_files: list[Path]) -> None:
    """A `.pth` file runs code at every start of Python."""
    assert [file for file in repository_files if file.suffix == ".pth"] == []


@pytest.mark.parametrize("name", ["runtime", "dev", "build", "clients", "aider", "audit"])
def test_the_lock_is_hashed_and_names_no_place(root: Path, name: str) -> None:
    assert unhashed((root / f"requirements/{name}.txt").read_text(encoding="utf-8")) == []


def test_the_lock_holds_every_direct_dependency(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    runtime, dev, build, audit = (
        locked((root / f"requirements/{name}.txt").read_text(encoding="utf-8"))
        for name in ("runtime", "dev", "build", "audit")
    )
    groups = project["dependency-groups"]
    direct, tools, builders, auditors = (
        {re.split(r"[^a-z0-9-]", line)[0] for line in lines if isinstance(line, str)}
        for lines in (project["project"]["dependencies"], groups["dev"], groups["build"], groups["audit"])
    )
    assert direct <= runtime <= dev
    assert builders <= build <= dev
    assert tools <= dev
    assert auditors <= audit
    assert len(direct) <= 17, "docs: the budget of direct dependencies"


def test_make_lists_every_target(root: Path) -> None:
    assert documented_targets((root / "Makefile").read_text(encoding="utf-8")) - {"help"} == TARGETS


def test_docs_name_only_make_targets_that_exist(repository_files: list[Path], root: Path) -> None:
    named = {
        (file.name, target)
        for file in documents(repository_files, root)
        for target in COMMAND.findall(file.read_text(encoding="utf-8"))
    }
    assert {pair for pair in named if pair[1] not in TARGETS} == set()


@pytest.mark.parametrize(
    "line",
    [
        "see https://" + "pypi" + ".org/simple",
        "https://files." + "pythonhosted" + ".org/x.whl",
        'open("/' + 'root/x")',
        "cd /" + "work/main",
        "/" + "home/jane/project",
        "cwd=/" + "Users/Jane/project",
    ],
)
def test_a_place_is_found(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.md"
    file.write_text(line, encoding="utf-8")
    assert len(not_portable([file], tmp_path)) == 1


@pytest.mark.parametrize(
    "line", ["frame" + "work/x", "a/" + "work/b", "https://x.test/" + "root/", "/" + "home/user/x"]
)
def test_an_innocent_path_is_not_found(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.md"
    file.write_text(line, encoding="utf-8")
    assert not_portable([file], tmp_path) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    good = "[a](README.md#top) [b](https://example.org) [c](#here)\n```\n[d](nowhere.md)\n```\n"
    file.write_text(good + "[e](gone.md#part) ![f](gone.png)\n", encoding="utf-8")
    assert broken_links([file], tmp_path) == ["README.md: gone.md#part", "README.md: gone.png"]


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://x.test/simple\n",
        "a==1\n",
        "a>=1 --hash=sha256:00\n",
        "a @ https://x.test/a.whl --hash=sha256:00\n",
    ],
    ids=["index", "no hash", "no version", "address"],
)
def test_a_careless_lock_is_found(text: str) -> None:
    assert len(unhashed(text)) == 1
