"""What the architecture tests look at: the files of the repository as they would be committed."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"node_modules", "build", "dist", "__pycache__", "htmlcov"}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def repository_files() -> list[Path]:
    """Tracked files and new ones that git does not ignore; without git, every file that no tool made."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(git, capture_output=True, check=True).stdout.decode().split("\0")
    except (FileNotFoundError, subprocess.CalledProcessError):
        return [path for path in ROOT.rglob("*") if path.is_file() and _is_ours(path.relative_to(ROOT))]
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def source_files() -> list[Path]:
    """The modules of the package."""
    return sorted((ROOT / "src").rglob("*.py"))


def _is_ours(path: Path) -> bool:
    allowed_dots = {".ci", ".github", ".gitignore", ".editorconfig", ".pre-commit-config.yaml"}
    return all(part not in NOT_OURS and (not part.startswith(".") or part in allowed_dots) for part in path.parts)
