"""The gateway with the bundled claude behind it and a stand-in upstream, and the official client in front."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx2
import openai

from claude_code_api.app import CHECKPOINTS
from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.discover import find_binary
from claude_code_api.engine.jail import jail_support
from claude_code_api.engine.options import Credentials, EngineOptions, JailSupport, Site
from claude_code_api.engine.prove import MODEL_CHANGES, Proof
from claude_code_api.engine.scripted import ScriptedEngine
from claude_code_api.flow.options import FlowOptions
from claude_code_api.standin import StandIn
from claude_code_api.storage.before_images import BeforeImageFiles
from tests.harness.waiting import BOUND_S
from tests.http.loopback import KEY, PATIENCE_S, Running, running


@asynccontextmanager
async def whole_way(
    directory: Path,
    upstream: StandIn,
    *,
    warm: bool = False,
    silence_s: float = BOUND_S,
    data_dir: Path | None = None,
    patience_s: float = PATIENCE_S,
    flow: FlowOptions | None = None,
    jail: bool = False,
    **more: Any,
) -> AsyncIterator[tuple[Running, openai.AsyncOpenAI]]:
    """`warm`: turns share processes, which serve one after another. `data_dir`: where a gateway has been before.

    `jail`: agents can be locked in; `more`: options of the engine.
    """
    options = EngineOptions(anthropic_base_url=upstream.base_url, upstream_retries=0, silence_s=silence_s, **more)
    binary = find_binary(options, Path("/nowhere"))
    support = jail_support(binary, directory) if jail else JailSupport()
    site = Site(binary, Credentials(api_key="sk-ant-made-up"), directory, jail=support)
    images = BeforeImageFiles(data_dir / CHECKPOINTS) if data_dir is not None else None
    engine = ClaudeEngine(options, site, images)
    if warm:
        engine.trust(Proof({"all": True, MODEL_CHANGES: True}))
    try:
        async with (
            running(cast("ScriptedEngine", engine), data_dir=data_dir, patience_s=patience_s, flow=flow) as gateway,
            httpx2.AsyncClient(trust_env=False, timeout=BOUND_S) as http,
            openai.AsyncOpenAI(api_key=KEY, base_url=gateway.url + "/v1", http_client=http, timeout=BOUND_S) as client,
        ):
            yield gateway, client
    finally:
        await engine.close()
    assert engine.live == 0
