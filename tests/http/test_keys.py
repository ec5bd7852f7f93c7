"""Every route but one asks for a key, and whatever is wrong with the key, the answer is the same."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.flow.options import AccessOptions
from tests.http.loopback import CHAT, KEY, Running, asking, routes_of, running

WITHOUT_A_KEY = [("GET", "/healthz")]
JSON = {"content-type": "application/json"}
OTHER = "cca-another-key"

WRONG: list[dict[str, str]] = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": KEY},
    {"authorization": f"Basic {KEY}"},
    {"authorization": f"Bearer {KEY}x"},
    {"authorization": f"Bearer {KEY[:-1]}"},
    {"authorization": f"Bearer {KEY.upper()}"},
    {"authorization": f"Bearer {KEY}, Bearer {KEY}"},
    {"authorization": f"Bearer Bearer {KEY}"},
    {"x-api-key": ""},
    {"x-api-key": KEY + "x"},
    {"x-api-key": f"Bearer {KEY}"},
    {"authorization": f"Bearer {KEY}", "x-api-key": "other"},
    {"authorization": "Bearer other", "x-api-key": KEY},
    {"cookie": f"key={KEY}"},
    {"x-api-key": "\xff\xfe"},
]

RIGHT: list[dict[str, str]] = [
    {"authorization": f"Bearer {KEY}"},
    {"authorization": f"bearer {KEY}"},
    {"authorization": f"BEARER   {KEY}"},
    {"x-api-key": KEY},
    {"authorization": f"Bearer {KEY}", "x-api-key": KEY},
    {"authorization": "Bearer", "x-api-key": KEY},
    {"authorization": f"Bearer {KEY}", "x-api-key": ""},
    # An official client without a key of its own sends what it has to somewhere.
    {"authorization": "Basic dTpw", "x-api-key": KEY},
]


async def test_item_03_every_route_but_one_asks_for_a_key() -> None:
    errors = list[dict[str, Any]]()
    patient = AccessOptions(failed_keys_per_minute=0)
    async with running(keys=patient) as gateway, gateway.client() as stranger:
        for method, path in routes_of(gateway):
            for headers in WRONG:
                raw = [(name.encode(), value.encode("latin-1")) for name, value in {**JSON, **headers}.items()]
                response = await stranger.request(
                    method, path, headers=raw, content=orjson.dumps(asking()) if method == "POST" else None
                )
                if (method, path) in WITHOUT_A_KEY:
                    assert response.text == "ok"
                    continue
                assert response.status_code == 401, (method, path, headers)
                errors.append(response.json()["error"])
    # Whatever was wrong, the answer is the same: in OpenAI's shape, or in Anthropic's.
    message = "A valid API key is needed: send it as `Authorization: Bearer <key>` or as `x-api-key: <key>`."
    said = {"message": message, "type": "authentication_error"}
    openais = {**said, "param": None, "code": "invalid_api_key"}
    assert all(error in (said, openais) for error in errors)
    assert said in errors
    assert openais in errors
    assert gateway.engine.plans == []
    assert {line.get("key_name") for line in gateway.logs.requests()} == {None}


@pytest.mark.parametrize("headers", RIGHT)
async def test_the_key_in_every_form(gateway: Running, headers: dict[str, str]) -> None:
    async with gateway.client(**headers) as client:
        assert (await client.post(CHAT, json=asking())).status_code == 200
    assert (await gateway.logs.request())["key_name"] == "tests"


async def test_a_key_in_the_address_is_no_key(gateway: Running) -> None:
    async with gateway.client() as stranger:
        for name in ("key", "api_key", "token", "access_token", "authorization"):
            assert (await stranger.get("/", params={name: KEY})).status_code == 401


async def test_two_right_keys_in_one_request_are_nobodys() -> None:
    callers = {digest_of(key): Caller(key, admin=True) for key in (KEY, OTHER)}
    async with running(access=Access(callers)) as gateway, gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "x-api-key": OTHER}
        assert (await client.get("/", headers=headers)).status_code == 401
        assert (await client.get("/", headers={"x-api-key": OTHER})).status_code == 200


async def test_the_key_is_looked_at_before_the_body(gateway: Running) -> None:
    """Nobody without a key may have the gateway wait for, or read, thirty megabytes."""
    sent = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    answer = await gateway.raw(f"{sent}Content-Length: 30000000\r\nExpect: 100-continue\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 "), "and it was not asked to go on either"


async def test_item_03_on_every_route_the_key_is_looked_at_before_the_body() -> None:
    async with running(keys=AccessOptions(failed_keys_per_minute=0)) as gateway, gateway.client() as stranger:
        for method, path in routes_of(gateway):
            if method in ("POST", "PATCH"):
                for body in (b"{", b"[]", b'{"a": NaN}', b'{"nobody": "asked"}'):
                    answer = await stranger.request(method, path, headers=JSON, content=body)
                    assert answer.status_code == 401, (method, path, body)
                sent = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                raw = await gateway.raw(f"{sent}Content-Length: 60000\r\nConnection: close\r\n\r\n".encode())
                assert raw.startswith(b"HTTP/1.1 401 "), (method, path)


async def test_item_13_one_decoder_for_every_route(gateway: Running) -> None:
    bodies = (b"{", b'{"name": NaN}', b'{"name": ' + b"[" * 200 + b"]" * 200 + b"}", b'{"name": 1' + b"0" * 40 + b"}")
    for method, path in routes_of(gateway):
        # These take none, and read none.
        if method in ("POST", "PATCH") and not path.endswith(("/interrupt", "/cancel", "/rotate", "/compact")):
            for body in bodies:
                answer = await gateway.http.request(method, path, headers=JSON, content=body)
                assert answer.status_code == 400, (method, path, body)
                assert answer.json()["error"]["message"]


async def test_without_keys_every_route_is_open() -> None:
    async with running(access=Access(None)) as gateway, gateway.client() as stranger:
        for method, path in routes_of(gateway):
            # A body that any dialect takes.
            body: Any = asking(max_tokens=9, prompt="hi") if method == "POST" else None
            response = await stranger.request(method, path, json=body)
            # Whether the body and the ids in the path are any is another question.
            assert response.status_code < 500, (method, path)
            assert response.status_code not in (401, 403), (method, path)
    assert {line.get("key_name") for line in gateway.logs.requests()} == {None, "no-auth"}
