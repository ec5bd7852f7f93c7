"""Pages of other origins: the ones that the operator allowed may read the answers, and nobody else."""

from __future__ import annotations

import pytest

from claude_code_api.http.options import HttpOptions
from tests.http.loopback import CHAT, Running, asking, running

PAGE = "https://page.example"
ALLOWING = HttpOptions(allowed_origins=(PAGE + "/", "http://Localhost:3000"))
WANTED = "authorization,content-type,anthropic-version,x-stainless-lang"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": WANTED}


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
async def test_an_allowed_page_asks_and_then_sends(origin: str) -> None:
    async with running(http=ALLOWING) as gateway:
        async with gateway.client() as stranger:
            asked = await stranger.options(CHAT, headers={"origin": origin, **PREFLIGHT})
        answer = await gateway.http.post(CHAT, json=asking(), headers={"origin": origin})
        stream = await gateway.http.post(CHAT, json=asking(stream=True), headers={"origin": origin})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == origin
    assert asked.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert asked.headers["access-control-allow-headers"] == WANTED
    assert int(asked.headers["access-control-max-age"]) > 0
    for response in (answer, stream):
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in response.headers["access-control-expose-headers"]
        assert "origin" in response.headers["vary"].lower()
        assert "access-control-allow-credentials" not in response.headers


async def test_an_allowed_page_can_read_why_it_was_refused() -> None:
    async with running(http=ALLOWING) as gateway, gateway.client(origin=PAGE) as stranger:
        for response in (
            await stranger.post(CHAT, json=asking()),
            await stranger.post(CHAT, content=b"x"),
            await stranger.get("/v1/nothing"),
        ):
            assert response.status_code in (401, 404, 415)
            assert response.headers["access-control-allow-origin"] == PAGE


async def test_header_names_that_are_none_are_not_echoed() -> None:
    async with running(http=ALLOWING) as gateway, gateway.client(origin=PAGE) as stranger:
        asked = await stranger.options(CHAT, headers={**PREFLIGHT, "access-control-request-headers": "a b; c"})
    assert asked.status_code == 204
    assert "access-control-allow-headers" not in asked.headers


async def test_a_foreign_page_is_told_nothing() -> None:
    async with running(http=ALLOWING) as gateway, gateway.client(origin="https://evil.test") as stranger:
        for response in (await stranger.options(CHAT, headers=PREFLIGHT), await stranger.post(CHAT, json=asking())):
            assert response.status_code == 403
            assert not any(name.startswith("access-control-") for name in response.headers)
        assert gateway.engine.plans == []


async def test_without_allowed_origins_nothing_is_added(gateway: Running) -> None:
    own = {"origin": gateway.url}
    for response in (
        await gateway.http.options(CHAT, headers={**PREFLIGHT, **own}),
        await gateway.http.post(CHAT, json=asking(), headers=own),
    ):
        assert response.is_success
        assert not any(name.startswith("access-control-") for name in response.headers)
