"""The list of models for clients of Anthropic's API, which say so with a header."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import OfferedModel
from tests.http.loopback import Running, running, says

VERSION = {"anthropic-version": "2023-06-01"}
OFFERED = (OfferedModel("opus", "claude-opus-9", "Opus", "Opus 9 · Best · $4/$20 per Mtok"),)


def offering() -> Any:
    engine = says("Hello")
    engine.models = OFFERED
    return running(engine, flow=FlowOptions(model_aliases={"gpt-4": "opus"}))


async def page(gateway: Running, query: str = "") -> Any:
    response = await gateway.http.get(f"/v1/models{query}", headers=VERSION)
    assert response.status_code == 200
    return response.json()


async def test_the_shape_is_anthropics() -> None:
    async with offering() as gateway:
        listed = await page(gateway)
        openais = (await gateway.http.get("/v1/models")).json()
    assert listed["data"][0] == {
        "type": "model",
        "id": "claude-opus-9",
        "display_name": "Opus 9",
        "created_at": "2025-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": None,
        "max_tokens": None,
    }
    ids = [model["id"] for model in listed["data"]]
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, ids[0], ids[-1])
    assert [model["id"] for model in openais["data"]] == ids
    assert openais["object"] == "list"


async def test_pages_forth_and_back() -> None:
    async with offering() as gateway:
        ids = [model["id"] for model in (await page(gateway))["data"]]
        first = await page(gateway, "?limit=2")
        second = await page(gateway, f"?limit=2&after_id={first['last_id']}")
        back = await page(gateway, f"?limit=2&before_id={second['first_id']}")
        before_last = await page(gateway, f"?limit=2&before_id={ids[-1]}")
        end = await page(gateway, f"?after_id={ids[-1]}")
    assert [model["id"] for model in first["data"] + second["data"]] == ids[:4]
    assert (first["has_more"], second["has_more"]) == (True, True)
    assert (back["data"], back["has_more"]) == (first["data"], False)
    assert [model["id"] for model in before_last["data"]] == ids[-3:-1]
    assert before_last["has_more"]
    assert end == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=99999999",
        "after_id=no",
        "before_id=a&after_id=b",
    ],
)
async def test_pages_that_do_not_exist(gateway: Running, query: str) -> None:
    response = await gateway.http.get(f"/v1/models?{query}", headers=VERSION)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_one_model() -> None:
    async with offering() as gateway:
        found = await gateway.http.get("/v1/models/gpt-4", headers=VERSION)
        unknown = await gateway.http.get("/v1/models/nobody", headers=VERSION)
    assert (found.json()["type"], found.json()["id"]) == ("model", "claude-opus-9")
    assert unknown.status_code == 404
    body = unknown.json()
    assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    assert body["request_id"] == unknown.headers["request-id"]
