"""The fake CLI, on the two loops that the gateway may run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.fake_site import FakeSite


@pytest.fixture
def fake(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)
