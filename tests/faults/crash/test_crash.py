"""A gateway that is killed while clients talk to it, and the bugs that the checker has to find. Slow: `make faults`.

`make crash KILLS=300` does the first of these for longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.crash.drive import Evidence, Wanted, drive, judge
from tests.faults.crash.gateway import BUGS
from tests.faults.crash.talk import Habits

pytestmark = [pytest.mark.faults, pytest.mark.real_cli, pytest.mark.timeout(180)]

STREAMS, KEYS = Habits(streams=1, keys=0), Habits(keys=1)
# The rule that a bug breaks, where the gateway has to die for it to be seen, and what clients have to do for it.
PLANTED = {
    "acknowledges-before-the-commit": ("I1 lost", "before_T4", STREAMS),
    "writes-twice": ("I1 doubled", "after_T4", Habits()),
    "never-ends": ("I3", "after_T4", Habits()),
    "loses-answers": ("I4", "after_T4", Habits()),
    "bills-twice": ("I10", "after_T4", Habits()),
    "forgets-keys": ("KEY", "before_T4", KEYS),
    "forgets-the-beginning": ("I2", "after_T4", Habits()),
}


def test_nothing_that_was_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "evidence")
    kills = drive(evidence, Wanted(kills=6, seed=4, steps=("after_T0", "streaming", "after_T4")))
    verdict = judge(evidence)
    assert verdict["violations"] == []
    assert kills.total() >= 6
    assert verdict["acknowledged"] > 0
    assert verdict["turns"]["completed"] > 0


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str) -> None:
    rule, step, habits = PLANTED[bug]
    evidence = Evidence(tmp_path / "evidence")
    drive(evidence, Wanted(kills=3, seed=1, bug=("--bug", bug), steps=(step,), habits=habits))
    found = judge(evidence)["violations"]
    assert [one for one in found if one.startswith(rule)], found
