"""What all tests share: the loop, hypothesis' profile, the switch that writes golden files anew."""

from __future__ import annotations

import pytest
from hypothesis import settings

# The same examples in every run, and no deadline: a slow machine is not a wrong answer.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files of the dialects anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
