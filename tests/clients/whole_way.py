"""The gateway with the bundled claude behind it and a stand-in upstream, and the official client in front."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx2
import openai

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.prove import Proof
from claude_code_api.engine.scripted import ScriptedEngine
from claude_code_api.standin import StandIn
from tests.http.loopback import KEY, PATIENCE_S, Running, running


@asynccontextmanager
async def whole_way(
    directory: Path,
    upstream: StandIn,
    *,
    warm: bool = False,
    silence_s: float = 15,
    data_dir: Path | None = None,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[tuple[Running, openai.AsyncOpenAI]]:
    """`warm`: turns share processes, which serve one after another. `data_dir`: where a gateway has been before."""
    options = EngineOptions(anthropic_base_url=upstream.base_url, upstream_retries=0, silence_s=silence_s)
    site = Site(find_binary(options, Path("/nowhere")), Credentials(api_key="sk-ant-made-up"), directory)
    engine = ClaudeEngine(options, site)
    if warm:
        engine.trust(Proof({"all": True}))
    try:
        async with (
            running(cast("ScriptedEngine", engine), data_dir=data_dir, patience_s=patience_s) as gateway,
            httpx2.AsyncClient(trust_env=False) as http,
            openai.AsyncOpenAI(api_key=KEY, base_url=gateway.url + "/v1", http_client=http) as client,
        ):
            yield gateway, client
    finally:
        await engine.close()
    assert engine.live == 0
