"""GET /v1/models and what hangs on it."""

from __future__ import annotations

from typing import Any

from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import OfferedModel
from claude_code_api.turn.errors import ErrorKind, TurnError
from tests.http.loopback import Running, running, says

OFFERED = (
    OfferedModel("default", "claude-opus-9", "Default (recommended)", "Use the default model (currently Opus 9)"),
    OfferedModel(
        "opus", "claude-opus-9", "Opus", "Opus 9 · Best for everything · $4/$20 per Mtok", ("low", "medium", "high")
    ),
    OfferedModel("haiku", "claude-haiku-9", "Haiku", "Haiku 9 · Fastest · $0.80/$4 per Mtok"),
)


def offering(*models: OfferedModel) -> Any:
    engine = says("Hello")
    engine.models = models
    return running(engine, flow=FlowOptions(model_aliases={"gpt-4": "opus", "mini": "haiku", "lost": "nowhere"}))


async def test_the_list_is_openais_with_more_beside_it() -> None:
    async with offering(*OFFERED) as gateway:
        answer = (await gateway.http.get("/v1/models")).json()
    assert answer["object"] == "list"
    ids = [model["id"] for model in answer["data"]]
    assert ids[:2] == ["claude-opus-9", "claude-haiku-9"], "what the CLI offers comes first"
    assert "claude-sonnet-4-20250514" in ids
    assert len(set(ids)) == len(ids)
    for model in answer["data"]:
        assert (model["object"], model["owned_by"]) == ("model", "anthropic")
        assert isinstance(model["created"], int)
    opus, haiku = answer["data"][:2]
    assert opus["aliases"] == ["default", "opus", "gpt-4"]
    assert haiku["pricing"] == {"input_usd_per_mtok": 0.8, "output_usd_per_mtok": 4.0}
    assert haiku["context_window"] is None, "what nobody said is not made up"


async def test_one_model_by_its_id_and_by_an_alias() -> None:
    async with offering(*OFFERED) as gateway:
        by_id = (await gateway.http.get("/v1/models/claude-opus-9")).json()
        by_alias = (await gateway.http.get("/v1/models/gpt-4")).json()
    assert (by_id["id"], by_id["claude_model"]) == ("claude-opus-9", "claude-opus-9")
    assert (by_alias["id"], by_alias["claude_model"]) == ("gpt-4", "claude-opus-9")
    assert by_alias["aliases"] == by_id["aliases"]


async def test_a_model_that_nobody_knows(gateway: Running) -> None:
    for name in ("llama-3", "a/b/c", "lost", "%F0%9F%99%82"):
        response = await gateway.http.get(f"/v1/models/{name}")
        assert response.status_code == 404, name
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("model_not_found", "model")


async def test_capabilities() -> None:
    async with offering(*OFFERED) as gateway:
        data = (await gateway.http.get("/v1/models/capabilities")).json()["data"]
    found = {model["id"]: model["capabilities"] for model in data}
    assert found["claude-opus-9"] == {
        "streaming": True,
        "vision": True,
        "thinking": True,
        "effort_levels": ["low", "medium", "high"],
    }
    assert found["claude-haiku-9"]["thinking"] is None
    assert found["claude-3-5-haiku-20241022"]["thinking"] is False


async def test_an_engine_that_cannot_be_asked_answers_for_the_list() -> None:
    async with offering() as gateway:
        gateway.engine.refusal = TurnError(ErrorKind.ENGINE_UNAVAILABLE, "The CLI does not start.", source="engine")
        for path in ("/v1/models", "/v1/models/opus", "/v1/models/capabilities"):
            response = await gateway.http.get(path)
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "engine_unavailable"


async def test_an_entry_without_a_target_takes_nothing_down() -> None:
    async with offering(OfferedModel("broken", "", "Broken"), *OFFERED) as gateway:
        answer = await gateway.http.get("/v1/models")
        assert answer.status_code == 200
        assert answer.json()["data"][0]["id"] == "claude-opus-9"
