"""The bench, run as a person runs it, as small as it gets."""

import json
import signal
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.harness.programs import Program, all_ended, below, held, run

# Some two hundred turns and ten starts: 100 s here, and five times that on a busy machine.
RUN_S = 600.0
ALONE = {"trickle": 20, "burst": 500, "history 10": 20, "history 100": 20}
FOLLOWING = {"session": 20, "tool": 20}
CHUNKS = {**ALONE, **FOLLOWING, "parallel 1": 20, "parallel 2": 20}
STOPPED = 130
BENCH = [sys.executable, "-m", "claude_code_api", "bench"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.real_cli
@pytest.mark.bench
@pytest.mark.timeout(900)
def test_one_turn_of_everything(tmp_path: Path) -> None:
    file, picture = tmp_path / "raw.json", tmp_path / "raw.svg"
    command = [*BENCH, "--quick", "--turns", "1", "--at-once", "1,2", "--json", str(file), "--picture", str(picture)]
    # From anywhere: it is a command of the installed program.
    done = run(command, cwd=tmp_path, within_s=RUN_S)
    assert done.returncode == 0, done.stderr

    for row in ("floor ", "cold ", "gateway ", "floor, 2 at once", "gateway, 2 at once", "trickle:", "parallel:"):
        assert row in done.stdout
    for row in (
        "start until it listens",
        "import of the command line",
        "memory, idle",
        "CPU for a chunk alone",
        "load before",
    ):
        assert row in done.stdout

    raw = json.loads(file.read_bytes())
    found = {scenario["name"]: scenario for scenario in raw["scenarios"]}
    assert list(found) == list(CHUNKS)
    for name, scenario in found.items():
        systems = ["floor", "cold", "gateway"] if name in ALONE else ["floor", "gateway"]
        assert list(scenario["systems"]) == systems
        for system, series in scenario["systems"].items():
            check_series(series, CHUNKS[name], scenario["at_once"])
            if system != "cold" and sys.platform == "linux":
                assert series["cpu_s"] > 0
    timed = [figure for figure in raw["gateway"] if figure["unit"] == "ms"]
    assert all(value > 0 for figure in timed for value in figure["values"] + figure["floor"])
    assert {"gap p99 beside 200 idle streams", "gap p99 beside 8 slow readers"} <= {
        one["name"] for one in raw["gateway"]
    }
    # The systems are comparable: what they ask of the model is the same, field by field.
    assert [note for note in raw["notes"] if "sends upstream" in note] == []
    root = ET.fromstring(picture.read_text())  # noqa: S314 - it was made a moment ago
    drawn = {text.text for text in root.iter(f"{SVG}text")}
    assert {*CHUNKS, "floor", "cold", "gateway"} <= drawn


def check_series(series: dict[str, Any], chunks: int, at_once: int) -> None:
    assert len(series["turns"]) == at_once
    assert all(rate > 0 for rate in series["requests_per_s"])
    for turn in series["turns"]:
        assert len(turn["chunks_ms"]) == chunks
        assert 0 < turn["chunks_ms"][0] <= turn["chunks_ms"][-1] <= turn["total_ms"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--against", "http://192.0.2.1:80"], "on this machine"),
        (["--against", "https://127.0.0.1:80"], "on this machine"),
        (["--at-once", "1,x"], "separated by commas"),
        (["--at-once", "0"], "separated by commas"),
        (["--turns", "0"], "--turns"),
        (["--load", "0"], "minutes"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(tmp_path: Path, arguments: list[str], reason: str) -> None:
    done = run([*BENCH, *arguments], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr


@pytest.mark.real_cli
@pytest.mark.bench
@pytest.mark.timeout(900)
def test_a_moment_of_load(tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    command = [*BENCH, "--load", "0.2", "--json", str(file)]
    done = run(command, cwd=tmp_path, within_s=RUN_S)
    raw = json.loads(file.read_bytes())
    # Twelve seconds are the start of it: that is no time to judge growth in, but nothing may fail.
    assert [failure for failure in raw["failures"] if "grew" not in failure] == [], done.stdout
    figures = raw["figures"]
    assert figures["turns"] > 0
    assert 0 < figures["first token ms p50"] <= figures["first token ms p99"]
    assert all(sample["descriptors"] > 0 for sample in raw["samples"]) or sys.platform != "linux"


@pytest.mark.real_cli
def test_stopped_in_the_middle_it_tells_what_it_has_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "raw.json"
    with Program([*BENCH, "--quick", "--turns", "1", "--json", file], cwd=tmp_path) as bench:
        bench.stderr.line("bench: import of the command line")
        with held(below(bench.pid)) as descriptors:
            assert descriptors, "the stand-in at least"
            bench.signal(signal.SIGTERM)
            assert bench.wait() == STOPPED, bench.stderr.text
            all_ended(descriptors)
        assert "bench: stopped" in bench.stderr.text
        assert "PARTIAL: stopped" in bench.stdout.text
        assert "import of the command line" in bench.stdout.text
    raw = json.loads(file.read_bytes())
    assert [figure["name"] for figure in raw["gateway"]] == ["import of the command line"]
    assert raw["scenarios"] == []
    assert "trickle" in raw["notes"][0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.real_cli
def test_killed_it_leaves_nothing(tmp_path: Path) -> None:
    with Program([*BENCH, "--quick", "--turns", "1"], cwd=tmp_path) as bench:
        bench.stderr.line("bench: import of the command line")
        with held(below(bench.pid)) as descriptors:
            assert descriptors
            bench.signal(signal.SIGKILL)
            all_ended(descriptors)
