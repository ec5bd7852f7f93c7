"""The loop that the gateway is served on, and a gateway for tests that need nothing special of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from claude_code_api.standin import StandIn
from tests.engine.patience import be_patient
from tests.http.loopback import Running, running


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def upstream() -> Iterator[StandIn]:
    with StandIn(pace_ms=0) as standin:
        yield standin


@pytest.fixture
async def gateway() -> AsyncIterator[Running]:
    async with running() as serving:
        yield serving


@pytest.fixture(autouse=True)
def _patient() -> Iterator[None]:
    yield from be_patient()
