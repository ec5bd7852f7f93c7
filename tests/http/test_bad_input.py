"""What no client should send: a 4xx in the API's own shape that says what to change, and the gateway goes on."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_code_api.dialects.openai_chat_request import HONOURED, NAMED
from tests.http.loopback import CHAT, KEY, Running, asking, running

JSON = {"content-type": "application/json"}
PLAIN = orjson.dumps(asking())


def with_field(text: bytes) -> bytes:
    """A good body with one more field, as JSON text."""
    return PLAIN[:-1] + b',"more":' + text + b"}"


def with_content(text: bytes) -> bytes:
    """A good body with other content of the message, as the inside of a JSON string."""
    return b'{"model":"sonnet","messages":[{"role":"user","content":"' + text + b'"}]}'


# name: (body, a word that the message has to hold)
BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no body"),
    "blanks": (b" \n\t ", "no body"),
    "a word": (b"hello", "not valid JSON"),
    "cut": (PLAIN[:-1], "not valid JSON"),
    "two": (PLAIN + PLAIN, "not valid JSON"),
    "single quotes": (b"{'model': 'sonnet'}", "not valid JSON"),
    "a comma too many": (PLAIN[:-1] + b",}", "not valid JSON"),
    "a comment": (b"/* hi */" + PLAIN, "not valid JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + PLAIN, "not valid JSON"),
    "utf-16": (PLAIN.decode().encode("utf-16"), "not valid JSON"),
    "latin-1": (with_content(b"\xfc"), "not valid JSON"),
    "utf-8 cut": (with_content(b"\xf0\x9f\x99"), "not valid JSON"),
    "overlong utf-8": (with_content(b"\xc0\xaf"), "not valid JSON"),
    "a surrogate in utf-8": (with_content(b"\xed\xa0\x80"), "not valid JSON"),
    "a lone high surrogate": (with_content(b"\\ud800"), "not valid JSON"),
    "a lone low surrogate": (with_content(b"\\udc00 x"), "not valid JSON"),
    "surrogates turned round": (with_content(b"\\udc00\\ud800"), "not valid JSON"),
    "a raw NUL": (with_content(b"\x00"), "not valid JSON"),
    "a raw line end": (with_content(b"\n"), "not valid JSON"),
    "NUL outside": (b"\x00" + PLAIN, "not valid JSON"),
    "a list": (b"[]", "JSON object"),
    "a list of objects": (b"[" + PLAIN + b"]", "JSON object"),
    "null": (b"null", "JSON object"),
    "a string": (b'"model"', "JSON object"),
    "a number": (b"1", "JSON object"),
    "an empty object": (b"{}", "`model`"),
    "NaN": (with_field(b"NaN"), "not valid JSON"),
    "Infinity": (with_field(b"Infinity"), "not valid JSON"),
    "-Infinity": (with_field(b"-Infinity"), "not valid JSON"),
    "1e999": (with_field(b"1e999"), "not valid JSON"),
    "2^63": (with_field(b"9223372036854775808"), "64 bits"),
    "2^64": (with_field(b"18446744073709551616"), "64 bits"),
    "-2^64": (with_field(b"-18446744073709551616"), "64 bits"),
    "5,000 digits": (with_field(b"1" * 5000), ""),
    "100k open lists": (b"[" * 100_000, "128 levels"),
    "100k lists": (with_field(b"[" * 100_000 + b"]" * 100_000), "128 levels"),
    "100k open objects": (b'{"a":' * 100_000, "128 levels"),
    "100k objects": (with_field(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "128 levels"),
    "129 levels": (with_field(b"[" * 128 + b"]" * 128), "128 levels"),
    "deep behind a string of brackets": (with_field(b'["]]]]]",' + b"[" * 128 + b"]" * 129), "128 levels"),
    "10,001 keys": (with_field(orjson.dumps({str(n): 1 for n in range(10_001)})), "10000 keys"),
    "10,001 keys further in": (with_field(b"[[" + orjson.dumps({str(n): 1 for n in range(10_001)}) + b"]]"), "keys"),
    "a string without an end": (b'{"a":"' + b'\\"' * 100_000, "not valid JSON"),
    "the same among brackets": (b"[" * 129 + b'"' + b'\\"' * 100_000, "128 levels"),
    "the same behind brackets": (b"[]" * 129 + b'"' + b'\\"' * 100_000, "not valid JSON"),
    "quotes without an end": (b"[]" * 129 + b'"' * 100_001, "not valid JSON"),
    "a string that ends in a backslash": (b"[]" * 129 + b'"\\', "not valid JSON"),
}

FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages"),
    "messages null": ({"messages": None}, "messages"),
    "messages a string": ({"messages": "hi"}, "messages"),
    "messages an object": ({"messages": {"role": "user"}}, "messages"),
    "a message a string": ({"messages": ["hi"]}, "messages[0]"),
    "an unknown role": ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
    "no role": ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    "content a number": ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    "content missing": ({"messages": [{"role": "user"}]}, "messages[0]"),
    "a part of no type": ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0]"),
    "model null": ({"model": None}, "model"),
    "model empty": ({"model": ""}, "model"),
    "model a number": ({"model": 1}, "model"),
    "model a list": ({"model": ["sonnet"]}, "model"),
    "stream a word": ({"stream": "yes"}, "stream"),
    "stream a number": ({"stream": 1}, "stream"),
    "temperature a word": ({"temperature": "hot"}, "temperature"),
    "temperature 3": ({"temperature": 3}, "temperature"),
    "top_p -1": ({"top_p": -1}, "top_p"),
    "max_tokens 0": ({"max_tokens": 0}, "max_tokens"),
    "max_tokens 1.5": ({"max_tokens": 1.5}, "max_tokens"),
    "max_tokens true": ({"max_tokens": True}, "max_tokens"),
    "stop a number": ({"stop": 1}, "stop"),
    "stop empty": ({"stop": [""]}, "stop[0]"),
    "stream_options a list": ({"stream_options": []}, "stream_options"),
    "tools a word": ({"tools": "all"}, "tools"),
}


def refused(response: Any, word: str) -> dict[str, Any]:
    assert 400 <= response.status_code < 500, response.text[:300]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert all(isinstance(error[name], str) and error[name] for name in ("message", "type", "code"))
    assert word in error["message"], error["message"]
    return error


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_not_json_or_too_much_of_it(gateway: Running, name: str) -> None:
    body, word = BODIES[name]
    response = await gateway.http.post(CHAT, content=body, headers=JSON)
    refused(response, word)
    assert response.status_code == 400
    assert gateway.engine.plans == []
    assert (await gateway.post()).status_code == 200, "the gateway goes on"


@pytest.mark.parametrize("name", FIELDS)
async def test_a_field_that_is_wrong_is_named(gateway: Running, name: str) -> None:
    fields, param = FIELDS[name]
    error = refused(await gateway.http.post(CHAT, json={**asking(), **fields}), param)
    assert error["param"].startswith(param)
    assert error["type"] == "invalid_request_error"
    assert gateway.engine.plans == []


GOOD: dict[str, bytes] = {
    "brackets in strings": with_content(b"[{" * 100_000),
    "quotes and backslashes before brackets": with_content(b'\\\\\\"[[' * 1000),
    "128 levels": with_field(b"[" * 127 + b"]" * 127),
    "wide": with_field(b"[" + b"[]," * 1000 + b"[]]"),
    "10,000 keys": with_field(orjson.dumps({str(n): 1 for n in range(10_000)})),
    "2^63-1": with_field(b"9223372036854775807"),
    "-2^63": with_field(b"-9223372036854775808"),
    "many digits in a string": with_content(b"1" * 5000),
    "many digits behind the point": with_field(b"0." + b"3" * 5000),
    "NUL as an escape": with_content(b"a\\u0000b"),
    "a pair of surrogates": with_content(b"\\ud83d\\ude42"),
    "blanks around": b"\n " + PLAIN + b"\r\n",
    "a key twice": with_field(b"1")[:-1] + b',"more":2}',
    "an empty key": PLAIN[:-1] + b',"":1}',
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_body_at_the_limits_passes(gateway: Running, name: str) -> None:
    response = await gateway.http.post(CHAT, content=GOOD[name], headers=JSON)
    assert response.status_code == 200, response.text[:300]


async def test_nobody_is_shown_their_own_input(gateway: Running) -> None:
    """What is in a body may be private, and an error ends in logs and on screens."""
    marker = "s3cr3t-marker"
    wrong: list[Any] = [
        asking(temperature=marker),
        asking(stream=marker),
        asking(max_tokens={marker: 1}),
        {**asking(), "messages": [{"role": "user", "content": {"x": marker}}]},
        {**asking(), "messages": marker},
    ]
    answers = [await gateway.http.post(CHAT, json=body) for body in wrong]
    answers += [await gateway.http.post(CHAT, content=f'{{"{marker}"'.encode(), headers=JSON)]
    assert {answer.status_code for answer in answers} == {400}
    assert not any(marker in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("GET", "/v1/chat/completion", 404),
        ("GET", "/..%2f..%2fetc/passwd", 404),
        ("GET", "/%00", 404),
        ("GET", "/%ff%fe", 404),
        ("GET", CHAT, 405),
        ("PUT", CHAT, 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/healthz", 405),
        ("PROPFIND", "/", 405),
    ],
)
async def test_a_way_that_does_not_exist(gateway: Running, method: str, path: str, status: int) -> None:
    response = await gateway.http.request(method, path, content=b"{}", headers=JSON)
    assert response.status_code == status
    assert response.json()["error"]["code"] == ("not_found" if status == 404 else "method_not_allowed")
    assert "`GET /`" in response.json()["error"]["message"]
    if status == 405:
        assert response.headers["allow"]


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_bytes_that_are_no_http(gateway: Running, sent: bytes) -> None:
    answer = await gateway.raw(sent + b"GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 421")
    assert (await gateway.post()).status_code == 200


async def test_a_chunked_body_that_breaks(gateway: Running) -> None:
    sent = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    head = f"{sent}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    answer = await gateway.raw(head + b"zz\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert (await gateway.post()).status_code == 200


# Made-up bodies

NAMES = st.sampled_from(sorted(HONOURED | NAMED))
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool", "function", "robot", ""])
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "refusal", "input_audio", ""])},
    optional={"text": ANY, "image_url": ANY, "file": ANY, "refusal": ANY, "cache_control": ANY},
)
CALLS = st.fixed_dictionaries({"id": ANY, "type": ANY, "function": ANY})
MESSAGES = st.fixed_dictionaries(
    {"role": ROLES | ANY, "content": st.text(max_size=20) | st.lists(PARTS, max_size=3) | ANY},
    optional={"tool_calls": st.lists(CALLS, max_size=2) | ANY, "tool_call_id": ANY, "name": ANY, "function_call": ANY},
)
REQUESTS = st.fixed_dictionaries(
    {"model": st.just("sonnet") | ANY, "messages": st.lists(MESSAGES, max_size=4) | ANY},
    optional=dict.fromkeys(("stream", "tools", "stop", "response_format", "tool_choice", "user", "n"), ANY),
)


def as_json(value: Any) -> bytes:
    # The standard library writes what ours refuses: NaN, lone surrogates, integers of any length.
    return json.dumps(value).encode()


@pytest.mark.parametrize("bodies", [REQUESTS.map(as_json), ANY.map(as_json), st.binary(max_size=60)], ids=range(3))
async def test_no_body_breaks_the_gateway(bodies: st.SearchStrategy[bytes]) -> None:
    """Hypothesis is no friend of a running loop, so the examples are drawn first."""
    drawn: list[bytes] = []

    @settings(max_examples=150, database=None, suppress_health_check=list(HealthCheck))
    @given(bodies)
    def draw(body: bytes) -> None:
        drawn.append(body)

    draw()
    statuses = []
    async with running() as gateway:
        for body in drawn:
            response = await gateway.http.post(CHAT, content=body, headers=JSON)
            statuses.append(response.status_code)
            assert response.status_code in (200, 400), (response.status_code, body, response.text[:300])
            if response.status_code == 400:
                refused(response, "")
        assert (await gateway.post()).status_code == 200
    assert len(statuses) >= 100
    assert 400 in statuses
