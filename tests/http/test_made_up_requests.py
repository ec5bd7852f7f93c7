"""Requests that nobody wrote, made up from the API's own description: no 5xx, and every error in its dialect's shape.

What the turn endpoints take is described by the vendors' own types: our description says only that it is an object.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson
import pytest
import requests
import schemathesis
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming as ChatCreateParams,
)
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter
from schemathesis import GenerationMode
from schemathesis.core.errors import UnsupportedSchema
from schemathesis.core.result import Ok

from tests.harness.waiting import BOUND_S
from tests.http.loopback import CHAT, KEY, Running, running

BODIES: dict[str, Any] = {
    CHAT: ChatCreateParams,
    "/v1/completions": CompletionCreateParamsNonStreaming,
    "/v1/messages": MessageCreateParamsNonStreaming,
    "/v1/messages/count_tokens": MessageCountTokensParams,
    "/v1/responses": ResponseCreateParamsNonStreaming,
}
ONE = 1
AUTHORIZATION = {"authorization": f"Bearer {KEY}"}
# More does not get through the parser of the server.
URL_BYTES = 60_000
# A good part of the time goes into making requests up.
PATIENCE_S = 1800


def with_vendors_bodies(document: dict[str, Any]) -> dict[str, Any]:
    """Describe what the turn endpoints take as the vendors' clients do."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for path, kind in BODIES.items():
        if path not in document["paths"]:
            continue
        name = path.strip("/").replace("/", "_")
        body = TypeAdapter(kind).json_schema(ref_template=f"#/components/schemas/{name}_{{model}}")
        schemas |= {f"{name}_{inner}": schema for inner, schema in body.pop("$defs", {}).items()}
        # It runs on when it has been answered: the end of the test would be no end.
        body["properties"].pop("background", None)
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"] = body
    return document


@dataclass
class Tally:
    """What came back."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    # Operations for which no more could be made up.
    left: list[str] = field(default_factory=list)


def share_of(operation: Any) -> int:
    """How much of the time an operation is worth: what takes more can be wrong in more ways."""
    if operation.path in BODIES:
        return 8 * ONE
    return 2 * ONE if operation.body or operation.path_parameters or operation.query else ONE


class MakesUp:
    """Sends made-up requests and judges the answers."""

    def __init__(self, url: str) -> None:
        self.tally = Tally()
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.chance = random.Random(7)

    def try_each(self, document: dict[str, Any], cases: int) -> Tally:
        schema = schemathesis.openapi.from_dict(document)
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        assert len(operations) == sum(len(methods) for methods in document["paths"].values())
        shares = [share_of(operation) for operation in operations]
        for operation, share in zip(operations, shares, strict=True):
            for mode in GenerationMode:
                # Where nothing is said about what can be sent, nothing can be wrong.
                if share and (mode is GenerationMode.POSITIVE or share > ONE):
                    self._try(operation, mode, math.ceil(cases * share / sum(shares) / 2))
        return self.tally

    def _try(self, operation: Any, mode: GenerationMode, cases: int) -> None:
        live = self.make_something()

        @settings(
            max_examples=cases,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            # Half of the requests are about something that is there.
            if case.path_parameters and self.chance.random() < 0.5:
                case.path_parameters |= {name: id_ for name, id_ in live.items() if name in case.path_parameters}
            self.judge(case)

        # Of some there is nothing that would be wrong; of others what is wrong cannot be made up to the last.
        try:
            send()
        except Unsatisfiable:
            pass
        except UnsupportedSchema as reason:
            self.tally.left.append(f"{operation.label}, {mode.value}: {reason}")

    def make_something(self) -> dict[str, str]:
        """Make what the ids of a path can stand for: an operation may have removed the last ones."""
        with httpx2.Client(base_url=self.url, headers=AUTHORIZATION, trust_env=False, timeout=BOUND_S) as http:
            found = {
                f"{kind}_id": http.post(f"/v1/{kind}s", json={"name": kind} if kind == "project" else {}).json()["id"]
                for kind in ("project", "session")
            }
            answer = http.post("/v1/responses", json={"model": "sonnet", "input": "hi"})
        return {**found, "response_id": answer.json().get("id", "resp_none")}

    def judge(self, case: Any) -> None:
        answer = case.call(base_url=self.url, headers=AUTHORIZATION, session=self.session)
        if len(answer.request.url or "") > URL_BYTES:
            # To the parser below us that is no HTTP; what it says of it is no answer of ours.
            return
        self.tally.cases += 1
        self.tally.statuses[answer.status_code] += 1
        complaint = complaint_about(case.method, case.operation.path, answer.status_code, answer.content)
        if complaint:
            self.tally.wrong.append(f"{complaint}\n  {case.as_curl_command()[:1500]}\n  {answer.content[:500]!r}")


def complaint_about(method: str, path: str, status: int, body: bytes) -> str | None:
    """Say what is wrong with an answer."""
    if status >= 500:
        return f"{method} {path}: {status}"
    if status < 400 or method == "HEAD":
        return None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return f"{method} {path}: {status} is not JSON"
    wanted = anthropic_error if path.startswith("/v1/messages") else openai_error
    return None if wanted(found) else f"{method} {path}: {status} is of another shape"


def openai_error(body: Any) -> bool:
    error = body.get("error") if isinstance(body, dict) and body.keys() == {"error"} else None
    return (
        isinstance(error, Mapping)
        and {"message", "type", "param", "code"} <= error.keys()
        and all(isinstance(error[name], str) for name in ("message", "type", "code"))
        and isinstance(error["param"], str | None)
    )


def anthropic_error(body: Any) -> bool:
    error = body.get("error") if isinstance(body, dict) and body.get("type") == "error" else None
    return isinstance(error, Mapping) and all(isinstance(error.get(name), str) for name in ("type", "message"))


async def made_up(gateway: Running, cases: int, *, quickly: bool) -> Tally:
    document = (await gateway.http.get("/openapi.json")).json()
    if not quickly:
        # To learn what the vendors take costs more than a few hundred requests.
        document = with_vendors_bodies(document)
    return await asyncio.to_thread(MakesUp(gateway.url).try_each, document, cases)


async def judged(cases: int, *, quickly: bool = False) -> None:
    async with running(patience_s=PATIENCE_S) as gateway:
        tally = await made_up(gateway, cases, quickly=quickly)
        complaints = list(bad_lines(gateway))
    print(f"{tally.cases} requests:", dict(sorted(tally.statuses.items())), *tally.left, sep="\n  ")  # noqa: T201 - the figures of a long run
    assert not tally.wrong, f"{len(tally.wrong)} wrong:\n" + "\n".join(tally.wrong[:20])
    assert complaints == []
    assert tally.cases >= cases * 0.7
    # It is not the door alone that was tried.
    assert tally.statuses[200] > cases / 10


def bad_lines(gateway: Running) -> Iterator[dict[str, Any]]:
    """Log lines that tell of a bug, whatever the client was told."""
    return (line for line in gateway.logs.all() if line["level"] in ("error", "critical"))


async def test_some_made_up_requests() -> None:
    await judged(60, quickly=True)


@pytest.mark.fuzz
@pytest.mark.timeout(PATIENCE_S)
async def test_thousands_of_made_up_requests() -> None:
    # Of some operations nothing can be wrong, so fewer are sent: 5,000 and more.
    await judged(6500)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (CHAT, 500, b"{}"),
        (CHAT, 400, b"no"),
        (CHAT, 422, b'{"detail":[]}'),
        (CHAT, 400, b'{"type":"error","error":{"type":"a","message":"b"}}'),
        (CHAT, 400, b'{"error":{"message":"a","type":"b","param":null,"code":1}}'),
        ("/v1/messages", 400, b'{"error":{"message":"a","type":"b","param":null,"code":"c"}}'),
    ],
)
def test_what_is_wrong_is_seen(path: str, status: int, body: bytes) -> None:
    assert complaint_about("POST", path, status, body)
