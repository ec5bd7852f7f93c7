"""The loop that the gateway is served on, and a gateway for tests that need nothing special of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.http.loopback import Running, running


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def gateway() -> AsyncIterator[Running]:
    async with running() as serving:
        yield serving
