"""What clients expect of any HTTP server, and the shape of what the server itself refuses, by path."""

from __future__ import annotations

import gzip
import re
from typing import Any

import brotli
import orjson
import pytest

from claude_code_api.http.options import HttpOptions
from tests.http.loopback import CHAT, KEY, Running, asking, running, says

MESSAGES = "/v1/messages"
AUTH = f"Authorization: Bearer {KEY}\r\nHost: localhost"
JSON_HEAD = f"{AUTH}\r\nContent-Type: application/json"


def posted(path: str, *, close: bool = False, **fields: Any) -> bytes:
    body = orjson.dumps(asking(**fields))
    end = "\r\nConnection: close" if close else ""
    return f"POST {path} HTTP/1.1\r\n{JSON_HEAD}\r\nContent-Length: {len(body)}{end}\r\n\r\n".encode() + body


# Errors


def openais(body: Any) -> bool:
    return set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}


def anthropics(body: Any) -> bool:
    return set(body) == {"type", "error", "request_id"} and set(body["error"]) == {"type", "message"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "content", "status"),
    [
        ("POST", "{}", {"content-type": "text/plain"}, b"x", 415),
        ("POST", "{}", {"content-type": "application/json"}, b"{", 400),
        ("POST", "{}", {"content-type": "application/json"}, b"x" * 1_100_000, 413),
        ("POST", "{}", {"content-type": "application/json", "authorization": "Bearer x"}, b"{}", 401),
        ("POST", "{}", {"content-type": "application/json", "origin": "https://evil.test"}, b"{}", 403),
        ("GET", "{}", {}, None, 405),
        ("DELETE", "{}/", {}, None, 405),
        ("GET", "{}/nothing/here", {}, None, 404),
    ],
)
async def test_errors_have_the_shape_of_their_path(
    method: str, path: str, headers: dict[str, str], content: bytes | None, status: int
) -> None:
    async with running(http=HttpOptions(body_mib=1)) as gateway:
        for own, shape in ((CHAT, openais), ("/v1/completions", openais), (MESSAGES, anthropics)):
            response = await gateway.http.request(method, path.format(own), headers=headers, content=content)
            assert response.status_code == status
            assert shape(response.json()), own
            assert response.headers["request-id"] == response.headers["x-request-id"]
            if shape is anthropics:
                assert response.json()["request_id"] == response.headers["request-id"]


async def test_elsewhere_the_header_of_anthropics_clients_decides(gateway: Running) -> None:
    for headers, shape in (({}, openais), ({"anthropic-version": "2023-06-01"}, anthropics)):
        assert shape((await gateway.http.get("/v1/files", headers=headers)).json())


# Methods and paths


async def test_options_tells_what_a_path_takes(gateway: Running) -> None:
    async with gateway.client() as stranger:
        for path, allowed in (
            (CHAT, "POST, OPTIONS"),
            (MESSAGES + "/", "POST, OPTIONS"),
            ("/v1/models", "GET, HEAD, OPTIONS"),
            ("/v1/models/a/b", "GET, HEAD, OPTIONS"),
        ):
            response = await stranger.options(path, headers={"x-stainless-lang": "js"})
            assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")
        assert (await stranger.options("/v1/nothing")).status_code == 404
    assert (await gateway.http.put(CHAT)).headers["allow"] == "POST, OPTIONS"


async def test_head_is_get_without_the_body(gateway: Running) -> None:
    for path in ("/healthz", "/v1/models", "/"):
        got, head = await gateway.http.get(path), await gateway.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert (await gateway.http.head(CHAT)).status_code == 405
    async with gateway.client() as stranger:
        assert (await stranger.head("/")).status_code == 401
    assert gateway.engine.plans == []


async def test_a_slash_at_the_end_is_nothing(gateway: Running) -> None:
    for path in (CHAT, MESSAGES, MESSAGES + "/count_tokens", "/v1/completions"):
        response = await gateway.http.post(f"{path}/?beta=true", json=asking(max_tokens=9, prompt="hi"))
        assert response.status_code == 200, path
    assert (await gateway.http.get("/v1/models/")).json()["object"] == "list"


async def test_headers_of_all_clients_are_tolerated(gateway: Running) -> None:
    headers = {
        "anthropic-dangerous-direct-browser-access": "true",
        "openai-organization": "o",
        "openai-beta": "assistants=v2",
        "x-stainless-retry-count": "1",
        "x-app": "cli",
        "x-claude-code-session-id": "s",
    }
    for path in (CHAT, MESSAGES):
        response = await gateway.http.post(path, json=asking(max_tokens=9), headers=headers)
        assert response.status_code == 200
        assert "x-ignored-params" not in response.headers


# The body


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_whole_answers_are_packed_and_streams_are_not(coding: str) -> None:
    async with running(says("word " * 1000)) as gateway, gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "accept-encoding": coding}
        for path in (CHAT, MESSAGES):
            whole = await client.post(path, json=asking(max_tokens=9), headers=headers)
            assert whole.headers["content-encoding"] == coding
            assert int(whole.headers["content-length"]) < 1000
            assert "accept-encoding" in whole.headers["vary"].lower()
            assert "word word" in whole.text
            stream = await client.post(path, json=asking(max_tokens=9, stream=True), headers=headers)
            assert "content-encoding" not in stream.headers
            plain = await client.post(
                path, json=asking(max_tokens=9), headers={**headers, "accept-encoding": "identity"}
            )
            assert "content-encoding" not in plain.headers
            assert plain.json()["usage"] == whole.json()["usage"]
        raw = await gateway.raw(
            f"GET /v1/models HTTP/1.1\r\n{AUTH}\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n".encode()
        )
    unpack = {"gzip": gzip.decompress, "br": brotli.decompress}[coding]
    assert orjson.loads(unpack(raw.partition(b"\r\n\r\n")[2]))["object"] == "list"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.2 , GZIP ; q=0.1", "br"),
        ("deflate", None),
        ("*", None),
        ("gzip;q=0", None),
        ("gzip;q=much", None),
        ("gzip;x=y", "gzip"),
        ("", None),
    ],
)
async def test_the_client_says_how_it_is_packed(accepted: str, coding: str | None) -> None:
    async with running(says("word " * 1000)) as gateway:
        answer = await gateway.http.post(CHAT, json=asking(), headers={"accept-encoding": accepted})
        assert answer.headers.get("content-encoding") == coding
        assert "word word" in answer.text


async def test_small_answers_are_left_as_they_are_and_large_ones_are_whole() -> None:
    async with running(says("word " * 200_000)) as gateway:
        small = await gateway.http.get("/healthz", headers={"accept-encoding": "br"})
        assert "content-encoding" not in small.headers
        large = await gateway.http.post(CHAT, json=asking(), headers={"accept-encoding": "br"})
        assert large.headers["content-encoding"] == "br"
        assert large.json()["choices"][0]["message"]["content"] == "word " * 200_000


async def test_a_client_that_waits_to_be_asked_for_its_body(gateway: Running) -> None:
    head, _, body = posted(MESSAGES, close=True, max_tokens=9).partition(b"\r\n\r\n")
    answer = await gateway.raw(head + b"\r\nExpect: 100-continue\r\n\r\n", body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


async def test_requests_one_after_another_on_one_connection(gateway: Running) -> None:
    """Pipelined: all are sent before the first is answered. The answers come in their order."""
    sent = [
        posted(MESSAGES, max_tokens=9),
        posted(CHAT),
        posted("/v1/nothing"),
        posted(MESSAGES, close=True, max_tokens=9),
    ]
    answer = await gateway.raw(b"".join(sent))
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"200", b"404", b"200"]
    assert answer.count(b'"type":"message"') == 2
    assert answer.index(b'"type":"message"') < answer.index(b'"chat.completion"')


async def test_a_body_in_chunks(gateway: Running) -> None:
    body = orjson.dumps(asking(max_tokens=9))
    pieces = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])]
    head = f"POST {MESSAGES} HTTP/1.1\r\n{JSON_HEAD}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert (await gateway.raw(head.encode(), *pieces, b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
