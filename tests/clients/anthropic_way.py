"""The official anthropic client in front of a gateway that runs already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import httpx2

from tests.harness.waiting import BOUND_S
from tests.http.loopback import KEY, Running


@asynccontextmanager
async def anthropic_client(gateway: Running) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=BOUND_S) as http,
        anthropic.AsyncAnthropic(api_key=KEY, base_url=gateway.url, http_client=http) as client,
    ):
        yield client
