"""The bench, run as a person runs it, as small as it gets."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHUNKS = {"trickle": 20, "burst": 500, "history 10": 20, "history 100": 20, "parallel 1": 20, "parallel 2": 20}


@pytest.mark.real_cli
@pytest.mark.timeout(150)
def test_one_turn_of_everything(tmp_path: Path) -> None:
    file = tmp_path / "raw.json"
    command = [sys.executable, "-m", "bench", "--quick", "--turns", "1", "--at-once", "1,2", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

    for row in ("floor ", "cold ", "gateway ", "floor, 2 at once", "gateway, 2 at once", "trickle:", "parallel:"):
        assert row in done.stdout
    for row in ("start until it listens", "import of the command line", "memory, idle", "load before"):
        assert row in done.stdout

    raw = json.loads(file.read_bytes())
    found = {scenario["name"]: scenario for scenario in raw["scenarios"]}
    assert list(found) == list(CHUNKS)
    for name, scenario in found.items():
        systems = ["floor", "gateway"] if name.startswith("parallel") else ["floor", "cold", "gateway"]
        assert list(scenario["systems"]) == systems
        for system, series in scenario["systems"].items():
            check_series(series, CHUNKS[name], scenario["at_once"])
            if system != "cold" and sys.platform == "linux":
                assert 0 < series["cpu_s"] < 60
    assert all(value > 0 for figure in raw["gateway"] for value in figure["values"] + figure["floor"])
    assert len(raw["gateway"]) == (5 if sys.platform == "linux" else 2)
    # The systems are comparable: what they ask of the model is the same, field by field.
    assert [note for note in raw["notes"] if "sends upstream" in note] == []


def check_series(series: dict[str, Any], chunks: int, at_once: int) -> None:
    assert len(series["turns"]) == at_once
    assert all(rate > 0 for rate in series["requests_per_s"])
    for turn in series["turns"]:
        assert len(turn["chunks_ms"]) == chunks
        assert 0 < turn["chunks_ms"][0] <= turn["chunks_ms"][-1] <= turn["total_ms"] < 60_000


def test_another_machine_is_not_measured() -> None:
    command = [sys.executable, "-m", "bench", "--against", "http://192.0.2.1:80"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == 2
    assert "on this machine" in done.stderr
