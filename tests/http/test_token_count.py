"""POST /v1/messages/count_tokens."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.flow.options import FlowOptions, IgnoredParams
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.request import ToolChoiceKind
from tests.http.loopback import Running, asking, running, says

COUNT = "/v1/messages/count_tokens"


async def test_a_number(gateway: Running) -> None:
    gateway.engine.count = lambda plan: 40 + len(plan.request.system)
    tools = [{"name": "look", "input_schema": {}}]
    fields: Any = {"system": "be brief", "tools": tools, "tool_choice": {"type": "any"}, "odd": 1}
    response = await gateway.http.post(f"{COUNT}?beta=true", json=asking(**fields))
    assert (response.status_code, response.json()) == (200, {"input_tokens": 41})
    assert response.headers["x-ignored-params"] == "odd"
    (plan,) = gateway.engine.counted
    assert plan.request.tool_choice.kind is ToolChoiceKind.REQUIRED
    assert gateway.engine.plans == [], "nothing was answered"


@pytest.mark.parametrize(
    ("body", "param"), [({"messages": []}, "model"), ({"model": "m", "messages": 1}, "messages"), ({"a": 1}, "model")]
)
async def test_what_cannot_be_counted(gateway: Running, body: Any, param: str) -> None:
    response = await gateway.http.post(COUNT, json=body)
    assert response.status_code == 400
    assert param in response.json()["error"]["message"]


async def test_rules_of_turns_hold(gateway: Running) -> None:
    async with gateway.client() as stranger:
        assert (await stranger.post(COUNT, json=asking())).status_code == 401
    assert (await gateway.http.get(COUNT)).status_code == 405
    image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    elsewhere = await gateway.http.post(COUNT, json=asking(messages=[{"role": "user", "content": [image]}]))
    assert elsewhere.status_code == 400
    async with running(flow=FlowOptions(ignored_params=IgnoredParams.REFUSE)) as strict:
        assert (await strict.http.post(COUNT, json=asking(odd=1))).status_code == 400


async def test_an_engine_that_cannot() -> None:
    engine = says("x")
    async with running(engine) as gateway:
        await gateway.http.get("/v1/models")
        engine.refusal = TurnError(ErrorKind.NOT_SERVED, "not with a login")
        response = await gateway.http.post(COUNT, json=asking())
    assert response.status_code == 501
    assert response.json()["error"] == {"type": "api_error", "message": "not with a login"}
    assert response.headers["x-should-retry"] == "false"
