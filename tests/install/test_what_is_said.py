"""What a person reads while packages come, and when the machine is not one for them."""

import io
import re
import subprocess
from pathlib import Path

import pytest
from typing_extensions import override

from scripts.locked_packages import Progress

ROOT = Path(__file__).parents[2]
# What pips from 22.3 to 26 print for three kinds of source, with what they print beside it.
PIP = """Looking in links: /wheels
Ignoring colorama: markers 'sys_platform == "win32"' don't match your environment
Collecting alembic==1.20.1 (from -r requirements/runtime.txt (line 3))
  Downloading alembic-1.20.1-py3-none-any.whl (270 kB)
Processing /wheels/jsonschema_specifications-2025.9.1-py3-none-any.whl (from -r requirements/runtime.txt (line 521))
Requirement already satisfied: h11==0.16.0 in ./.venv/lib/python3.11/site-packages (0.16.0)
Collecting claude-agent-sdk==0.2.186 (from -r requirements/runtime.txt (line 280))
  Downloading claude_agent_sdk-0.2.186-py3-none-manylinux_2_17_x86_64.whl (166.2 MB)
Installing collected packages: alembic, jsonschema-specifications, claude-agent-sdk
"""


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def heard(out: io.StringIO, text: str, total: int) -> str:
    progress = Progress("runtime", total, out)
    for line in text.splitlines(keepends=True):
        progress.hear(line)
    progress.end()
    return out.getvalue()


def test_a_terminal_has_one_line_that_goes_on() -> None:
    shown = heard(Terminal(), PIP, 5).split("\r\033[K")
    assert shown == [
        "",
        "Installing runtime: 1 of 4: alembic",
        "Installing runtime: 2 of 4: jsonschema-specifications",
        "Installing runtime: 3 of 4: h11",
        "Installing runtime: 4 of 4: claude-agent-sdk",
        "Installing runtime: 4 of 4: claude-agent-sdk (166.2 MB)",
        "Installing runtime: unpacking 3",
        "",
    ]


def test_a_file_gets_a_line_for_twenty_packages_and_for_what_takes_long() -> None:
    many = "".join(f"Collecting p{number}==1 (from -r x)\n" for number in range(1, 46))
    assert heard(io.StringIO(), many + PIP, 50).splitlines() == [
        "Installing runtime: 20 of 50: p20",
        "Installing runtime: 40 of 50: p40",
        "Installing runtime: 49 of 49: claude-agent-sdk",
        "Installing runtime: 49 of 49: claude-agent-sdk (166.2 MB)",
        "Installing runtime: unpacking 3",
    ]


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("python", "found"),
    [
        ('case "$*" in *platform*) echo 3.9.2 ;; *) exit 1 ;; esac', "3.9.2"),
        ("exit 127", "missing"),
    ],
    ids=["too old", "does not start"],
)
def test_a_python_that_is_too_old_is_refused_in_one_sentence(tmp_path: Path, python: str, found: str) -> None:
    asked = program(tmp_path / "python", python)
    ended = subprocess.run(
        ["sh", ROOT / "scripts/install.sh", "runtime", asked], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert (
        ended.stderr == f"Python 3.11 or newer is needed; '{asked}' is {found}. Try: make install PYTHON=python3.12\n"
    )


@pytest.mark.parametrize(
    ("version", "status", "said"),
    [
        ("bubblewrap 0.6.1", 1, r"bubblewrap 0\.8 or newer is needed; here is: bubblewrap 0\.6\.1\. Debian 12, .*"),
        ("what is this", 1, r"bubblewrap 0\.8 or newer is needed; here is: what is this\. .*"),
        ("bubblewrap 0.8.0", 0, r"bubblewrap is here: bubblewrap 0\.8\.0"),
        ("bubblewrap 0.11.0", 0, r"bubblewrap is here: bubblewrap 0\.11\.0"),
        ("bubblewrap 1.0", 0, r"bubblewrap is here: bubblewrap 1\.0"),
    ],
)
def test_a_bubblewrap_that_is_too_old_is_refused(tmp_path: Path, version: str, status: int, said: str) -> None:
    program(tmp_path / "bwrap", f"echo '{version}'")
    ended = subprocess.run(
        ["sh", ROOT / "scripts/install_jail.sh"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, bool(ended.stderr)) == (status, status != 0)
    assert re.fullmatch(said, (ended.stdout + ended.stderr).strip())
