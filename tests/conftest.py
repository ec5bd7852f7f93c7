"""What all tests share: the loop, how long they have, hypothesis' profile, the switch that writes golden files anew."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.harness.waiting import soon

# Before the alarm of pytest-timeout, which uvloop swallows: a test that hangs there would take its runner with it.
BEFORE_THE_ALARM_S = 10.0

# The same examples in every run, and no deadline: a slow machine is not a wrong answer.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files of the dialects anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Give a test with a loop its time inside the loop: the traceback then ends at the line that it waited at."""
    test = pyfuncitem.obj
    if inspect.iscoroutinefunction(test):
        marked = pyfuncitem.get_closest_marker("timeout")
        limit_s = float(marked.args[0] if marked is not None else pyfuncitem.config.getini("timeout"))

        @functools.wraps(test)
        async def bounded(*arguments: object, **fixtures: object) -> None:
            await soon(test(*arguments, **fixtures), "the end of the test", within_s=limit_s - BEFORE_THE_ALARM_S)

        pyfuncitem.obj = bounded
    try:
        return (yield)
    finally:
        pyfuncitem.obj = test


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
