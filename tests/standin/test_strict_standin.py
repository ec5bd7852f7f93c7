"""The strict stand-in as a client and a test see it: refusals, their record, and the list of models."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from claude_code_api.standin import StandIn
from claude_code_api.standin.model_table import model_named, models
from claude_code_api.standin.strict import refusal
from tests.standin.conftest import TIMEOUT_S, Api, request
from tests.standin.strict_bodies import PLAIN, body, user


@pytest.fixture
def lenient() -> Iterator[StandIn]:
    with StandIn(pace_ms=0, strict=False) as stand_in:
        yield stand_in


def test_a_refused_request_uses_up_no_answer(upstream: StandIn, api: Api) -> None:
    upstream.play("the one answer")
    refused = api.post(temperature=3, stream=True)
    assert (refused.status_code, refused.headers["request-id"]) == (400, "req_standin_000001")
    assert refused.json() == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "temperature: range: 0..1"},
        "request_id": "req_standin_000001",
    }
    assert api.final()["content"][0]["text"] == "the one answer"
    ((rule, record),) = upstream.refusals
    assert (rule, record.index, record.refused) == ("temperature_most", 0, "temperature_most")
    assert record.refusal == "temperature: range: 0..1"
    assert [one.refused for one in upstream.messages] == ["temperature_most", None]


def test_other_refusals_have_their_own_status(api: Api) -> None:
    unknown = api.post(model="gpt-4o")
    assert (unknown.status_code, unknown.json()["error"]) == (
        404,
        {"type": "not_found_error", "message": "model: gpt-4o"},
    )
    large = api.post("x" * (32 * 1024 * 1024))
    assert (large.status_code, large.json()["error"]["type"]) == (413, "request_too_large")


def test_counting_is_refused_as_well(upstream: StandIn, api: Api) -> None:
    blank = {"model": PLAIN, "messages": [user(" ")]}
    refused = api.http.post("/v1/messages/count_tokens", json=blank)
    assert refused.json()["error"]["message"] == "messages: text content blocks must contain non-whitespace text"
    unbounded = {name: value for name, value in body().items() if name != "max_tokens"}
    assert api.http.post("/v1/messages/count_tokens", json=unbounded).json() == {"input_tokens": 1}
    assert [rule for rule, _ in upstream.refusals] == ["text_blank"]


def test_the_remote_control_shows_refusals(api: Api) -> None:
    api.post()
    api.post(top_k=-1)
    (shown,) = api.http.get("/standin/refusals").json()
    assert (shown["index"], shown["refused"]) == (1, "top_k_least")
    assert shown["refusal"] == "top_k: Input should be greater than or equal to 0"
    assert [record["refused"] for record in api.http.get("/standin/received").json()] == [None, "top_k_least"]


def test_a_lenient_one_answers_all_that_can_be_answered(lenient: StandIn) -> None:
    lenient.play("well")
    with httpx2.Client(base_url=lenient.base_url, timeout=TIMEOUT_S) as http:
        answered = http.post("/v1/messages", json=request(model="m", temperature=7, max_tokens="many", unknown=1))
        unanswerable = http.post("/v1/messages", json={"model": "m"})
    assert answered.json()["content"][0]["text"] == "well"
    assert (unanswerable.status_code, [rule for rule, _ in lenient.refusals]) == (400, ["unanswerable"])


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001"),
        ("claude-opus-5-5[1m]", "claude-opus-5-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
        ("claude-sonnet-4-0", "claude-sonnet-4-20250514"),
        ("claude-opus-4-1@20250805", "claude-opus-4-1-20250805"),
        ("claude-fable-9", "claude-fable-5-2"),
        ("claude-opus-5-7-20270101", "claude-opus-5-5"),
        ("claude-3-opus-20240229", None),
        ("claude-2.1", None),
        ("claude-poet-5", None),
        ("opus", None),
        ("", None),
    ],
)
def test_a_name_takes_its_row(name: str, row: str | None) -> None:
    found = model_named(name)
    assert (found.id if found is not None else None) == row


@pytest.mark.parametrize("model", [model.id for model in models()])
def test_every_model_accepts_a_plain_request(model: str) -> None:
    assert refusal(body(model=model), {}, 100) is None


def page(api: Api, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.http.get("/v1/models", params=query).json()
    return found


def test_models_are_listed_page_by_page(api: Api) -> None:
    everything = page(api, limit=1000)
    names = [model["id"] for model in everything["data"]]
    assert (len(names), everything["has_more"]) == (len(models()), False)
    assert (everything["first_id"], everything["last_id"]) == (names[0], names[-1])
    assert len(page(api)["data"]) == 20
    first = page(api, limit=3)
    assert ([model["id"] for model in first["data"]], first["has_more"]) == (names[:3], True)
    second = page(api, limit=3, after_id=first["last_id"])
    assert [model["id"] for model in second["data"]] == names[3:6]
    back = page(api, limit=2, before_id=names[3])
    assert ([model["id"] for model in back["data"]], back["has_more"]) == (names[1:3], True)
    last = page(api, after_id=names[-1])
    assert last == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"after_id": "m"}, {"before_id": "m"}]
)
def test_a_page_that_cannot_be_is_refused(api: Api, query: dict[str, Any]) -> None:
    assert page(api, **query)["error"]["type"] == "invalid_request_error"


def test_a_model_is_shown_with_what_it_can(api: Api) -> None:
    shown = api.http.get("/v1/models/claude-opus-4-6").json()
    assert (shown["id"], shown["type"], shown["line"]) == ("claude-opus-4-6", "model", "opus")
    assert (shown["max_input_tokens"], shown["max_tokens"]) == (200_000, 128_000)
    can = shown["capabilities"]
    assert can["structured_outputs"] == {"supported": True}
    assert {level for level in ("low", "medium", "high", "xhigh", "max") if can["effort"][level]["supported"]} == {
        "low",
        "medium",
        "high",
        "max",
    }
    assert can["thinking"]["types"] == {
        "adaptive": {"supported": True},
        "between_tools": {"supported": False},
        "disabled": {"supported": True},
        "enabled": {"supported": True},
    }
    assert api.http.get("/v1/models/claude-poet-5").status_code == 404


@pytest.mark.parametrize(("switches", "status"), [([], 400), (["--lenient"], 200)])
def test_a_process_of_its_own_is_strict_unless_told(switches: list[str], status: int) -> None:
    command = [sys.executable, "-m", "claude_code_api.standin", "--print-url", "--pace-ms", "0", *switches]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": path}, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answered = httpx2.post(f"{url}/v1/messages", json=request(temperature=7), timeout=TIMEOUT_S)
        process.terminate()
    assert (answered.status_code, process.returncode) == (status, 0)
