"""The engine's own limits, for tests about something else: a busy machine is no CLI that does not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from claude_code_api.engine import jail, process, prove
from claude_code_api.engine.process import CliProcess
from tests.harness.waiting import BOUND_S


def be_patient() -> Iterator[None]:
    """Have the engine wait as long as the tests do, until the generator goes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "CONTROL_S", BOUND_S)
        for method in (CliProcess.control, CliProcess.controls):
            assert method.__kwdefaults__ is not None
            patch.setitem(method.__kwdefaults__, "within_s", BOUND_S)
        patch.setattr(prove, "_SILENCE_S", BOUND_S)
        patch.setattr(jail, "_TRIAL_S", BOUND_S)
        yield
