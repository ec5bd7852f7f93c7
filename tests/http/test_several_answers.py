"""`n`: one request, several turns, one answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed
from tests.http.loopback import Door, answer_events, running, stops_at


def in_turn(*texts: str) -> ScriptedEngine:
    """Answers one text after another; an empty one is a failure before the turn began."""
    left = list(texts)

    def script(plan: Plan) -> Sequence[Step]:
        text = left.pop(0)
        broken = Failed(TurnError(ErrorKind.UPSTREAM_OVERLOADED, "overloaded", source="upstream"))
        return answer_events(plan, text) if text else [broken]

    return ScriptedEngine(script)


async def test_choices_are_indexed_and_usage_is_added_up() -> None:
    # One turn at once is enough, because they run one after another.
    async with running(in_turn("a", "b", "c"), flow=FlowOptions(max_turns=1)) as gateway:
        response = await gateway.post(n=3)
        line = await gateway.logs.request()
    body = response.json()
    assert [(choice["index"], choice["message"]["content"]) for choice in body["choices"]] == [
        (0, "a"),
        (1, "b"),
        (2, "c"),
    ]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (150, 15)
    assert (line["input_tokens"], line["output_tokens"], line["cost_usd"]) == (150, 15, 0.75)
    assert "x-ignored-params" not in response.headers
    assert len({plan.turn_id for plan in gateway.engine.plans}) == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_one_turn_that_fails_fails_the_answer(stream: bool) -> None:
    async with running(in_turn("a", "", "c")) as gateway:
        response = await gateway.post(n=3, stream=stream)
    assert len(gateway.engine.plans) == 2
    if stream:
        assert response.status_code == 200
        assert response.text.count("[DONE]") == 1
        assert '"code":"upstream_overloaded"' in response.text
        assert '"usage"' not in response.text
    else:
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "upstream_overloaded"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_turn_that_cannot_begin_after_another_ran_is_not_tried_again(stream: bool) -> None:
    engine = in_turn("a", "b")
    async with running(engine) as gateway:

        def script(plan: Plan) -> Sequence[Step]:
            gateway.runner.draining = True
            return answer_events(plan, "a")

        engine.script = script
        response = await gateway.post(n=2, stream=stream)
    assert '"code":"shutting_down"' in response.text
    if not stream:
        assert response.status_code == 503
        assert response.headers["x-should-retry"] == "false"
    else:
        assert response.text.endswith("data: [DONE]\n\n")


async def test_a_client_that_leaves_ends_the_turn_and_begins_no_other() -> None:
    door = Door()
    async with running(stops_at(2, door, "a")) as gateway:
        async with gateway.http.stream(
            "POST", "/v1/chat/completions", json={"model": "sonnet", "n": 2, "stream": True, "messages": HI}
        ):
            await door.reached.wait()
        line = await gateway.logs.request()
    assert line["outcome"] == "client_left"
    assert len(gateway.engine.plans) == 1


HI = [{"role": "user", "content": "hi"}]
