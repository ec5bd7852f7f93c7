"""Host, Origin, content type, sizes and pace, on every route that the router knows, with keys and without."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from claude_code_api import app
from claude_code_api.flow.access import Access
from claude_code_api.http.gate import Gate
from claude_code_api.http.options import HttpOptions
from claude_code_api.http.record import RequestRecord, attach
from tests.http.loopback import CHAT, KEY, Running, a_store, asking, routes_of, running, says, settings_of

EXPOSED = HttpOptions(host="0.0.0.0")
NAMED = HttpOptions(allowed_hosts=("gateway.example", "Upper.Example"), allowed_origins=("https://page.example",))
OPEN = Access(None)

OWN_HOSTS = [
    "localhost",
    "localhost:8000",
    "LocalHost:8000",
    "localhost:",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.8.9.10:8000",
    "[::1]",
    "[::1]:8000",
    "[0:0:0:0:0:0:0:1]",
    "ip6-localhost",
    "localhost.localdomain",
]
FOREIGN_HOSTS = [
    "evil",
    "evil.test",
    "evil.test:8000",
    "127.0.0.1.evil.test",
    "localhost.evil.test",
    "evil.test.localhost",
    "127.0.0.1%00.evil.test",
    "127.0.0.1%x",
    "localhost:1@evil.test",
    "evil.test@localhost",
    "@localhost",
    "user:pw@127.0.0.1",
    "/#@localhost",
    "localhost/",
    "localhost/../evil.test",
    "localhost?evil.test",
    "localhost#evil.test",
    "localhost\\evil.test",
    "localhost,evil.test",
    "localhost evil.test",
    "http://localhost",
    "localhost:99999",
    "localhost:-1",
    "localhost:0",
    "localhost:a",
    "localhost:80:80",
    "localhost.",
    "[::1",
    "::1",
    "[::2]",
    "[evil.test]",
    "192.168.0.7",
    "10.0.0.1:8000",
    "169.254.169.254",
    "0.0.0.0",
    "[::]",
    "0x7f.1",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "",
    " ",
]
FOREIGN_ORIGINS = [
    "null",
    "http://evil.test",
    "https://evil.test:8000",
    "http://localhost:3000",
    "http://localhost.evil.test",
    "http://localhost@evil.test",
    "http://127.0.0.1",
    "https://page.example.evil.test",
    "http://page.example",
    "file://",
    "chrome-extension://abcdef",
    "",
]


def head(method: str, target: str, *headers: str) -> bytes:
    body = orjson.dumps(asking()) if method == "POST" else b""
    lines = [f"{method} {target} HTTP/1.1", *headers, f"Authorization: Bearer {KEY}", "Connection: close"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def error_of(answer: bytes) -> dict[str, Any]:
    body = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    error: dict[str, Any] = body["error"]
    # OpenAI's shape, or Anthropic's.
    assert set(error) == ({"message", "type"} if "request_id" in body else {"message", "type", "param", "code"})
    return error


@pytest.mark.parametrize("access", [None, OPEN], ids=["keys", "no keys"])
async def test_item_04_a_foreign_host_reaches_no_route(access: Access | None) -> None:
    async with running(access=access) as gateway:
        for method, path in routes_of(gateway):
            for host in FOREIGN_HOSTS:
                answer = await gateway.raw(head(method, path, f"Host: {host}"))
                assert status_of(answer) == 421, (method, path, host)
                assert "Host header" in error_of(answer)["message"]
        assert gateway.engine.plans == []


@pytest.mark.parametrize("access", [None, OPEN], ids=["keys", "no keys"])
async def test_item_04_a_foreign_origin_reaches_no_route(access: Access | None) -> None:
    async with running(access=access, http=NAMED) as gateway:
        for method, path in routes_of(gateway):
            for origin in FOREIGN_ORIGINS:
                answer = await gateway.raw(head(method, path, "Host: localhost:8000", f"Origin: {origin}"))
                assert status_of(answer) == 403, (method, path, origin)
                assert "origin" in error_of(answer)["message"]
        assert gateway.engine.plans == []


@pytest.mark.parametrize("access", [None, OPEN], ids=["keys", "no keys"])
@pytest.mark.parametrize("host", OWN_HOSTS)
async def test_this_machine_by_its_own_names(access: Access | None, host: str) -> None:
    async with running(access=access) as gateway:
        assert status_of(await gateway.raw(head("POST", CHAT, f"Host: {host}"))) == 200
        own_page = f"Origin: http://{host}"
        assert status_of(await gateway.raw(head("POST", CHAT, f"Host: {host}", own_page))) == 200


async def test_names_and_origins_that_were_listed() -> None:
    async with running(http=NAMED) as gateway:
        for host in ("gateway.example", "GATEWAY.example:443", "upper.example"):
            assert status_of(await gateway.raw(head("GET", "/", f"Host: {host}"))) == 200, host
        for origin in ("https://page.example", "https://PAGE.example/"):
            assert status_of(await gateway.raw(head("GET", "/", "Host: localhost", f"Origin: {origin}"))) == 200, origin


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 421),
        (("Host: localhost", "Host: localhost"), 421),
        (("Host: localhost", "Host: evil.test"), 421),
        (("Host: evil.test", "Host: localhost"), 421),
        (("Host: localhost:8000", "Origin: http://localhost:8000", "Origin: http://evil.test"), 403),
        (("Host: localhost", "Origin: http://localhost", "Origin: http://localhost"), 403),
    ],
)
async def test_a_header_that_has_to_be_single(gateway: Running, headers: tuple[str, ...], status: int) -> None:
    assert status_of(await gateway.raw(head("GET", "/", *headers))) == status


async def test_the_host_header_counts_and_not_the_address_in_the_request_line(gateway: Running) -> None:
    answers = [
        await gateway.raw(head("GET", "http://localhost/", "Host: evil.test")),
        await gateway.raw(head("GET", "http://evil.test/nothing", "Host: localhost")),
        await gateway.raw(head("GET", "http://evil.test/", "Host: localhost")),
    ]
    # The last two are answered for what they name here, with the key that came along: no browser can send them.
    assert [status_of(answer) for answer in answers] == [421, 404, 200]


@pytest.mark.parametrize("host", ["192.168.0.7", "10.0.0.1:8000", "[2001:db8::1]:8000", "0.0.0.0"])
async def test_behind_an_exposed_address_every_literal_address_is_this_machine(host: str) -> None:
    async with running(http=EXPOSED) as gateway:
        assert status_of(await gateway.raw(head("GET", "/", f"Host: {host}"))) == 200
        assert status_of(await gateway.raw(head("GET", "/", "Host: evil.test"))) == 421
        assert status_of(await gateway.raw(head("GET", "/", f"Host: {host}.evil.test"))) == 421


async def test_a_name_that_is_listened_on_is_known() -> None:
    async with running(http=HttpOptions(host="Box.example")) as gateway:
        assert status_of(await gateway.raw(head("GET", "/", "Host: box.example:8000"))) == 200


@pytest.mark.parametrize(
    "header", ["Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: a", "X-Real-IP: 1.2.3.4"]
)
async def test_without_keys_nobody_comes_through_a_proxy(header: str) -> None:
    """A tunnel on this machine turns loopback into the internet."""
    async with running(access=OPEN) as gateway:
        answer = await gateway.raw(head("POST", CHAT, "Host: localhost", header))
        assert status_of(answer) == 403
        assert "proxy" in error_of(answer)["message"]
        assert gateway.engine.plans == []
    async with running() as gateway:
        assert status_of(await gateway.raw(head("POST", CHAT, "Host: localhost", header))) == 200


async def test_an_upgrade_to_a_web_socket_is_no_way_around(gateway: Running) -> None:
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
    for extra, status in ((("Origin: http://evil.test", "Host: localhost"), 403), (("Host: evil.test",), 421)):
        assert status_of(await gateway.raw(head("GET", "/", *extra, *upgrade))) == status


async def test_item_05_no_header_ever_lets_another_page_read(gateway: Running) -> None:
    for method, path in [*routes_of(gateway), ("OPTIONS", CHAT), ("OPTIONS", "/"), ("GET", "/nothing")]:
        for origin in ("http://evil.test", "http://localhost", "null"):
            preflight = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
            answer = await gateway.raw(head(method, path, "Host: localhost", f"Origin: {origin}", *preflight))
            assert b"access-control-" not in answer.lower(), (method, path, origin)


CONTENT_TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain; application/json",
    "application/jsonp",
    "",
    None,
]


@pytest.mark.parametrize("access", [None, OPEN], ids=["keys", "no keys"])
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_a_form_of_another_page_reaches_no_handler(access: Access | None, content_type: str | None) -> None:
    async with running(access=access) as gateway:
        for method, path in [*routes_of(gateway), ("POST", "/"), ("PUT", CHAT), ("PATCH", "/nothing")]:
            if method not in ("POST", "PUT", "PATCH"):
                continue
            headers = {} if content_type is None else {"content-type": content_type}
            request = gateway.http.build_request(method, path, content=orjson.dumps(asking()), headers=headers)
            response = await gateway.http.send(request)
            assert response.status_code == 415, (method, path)
            assert "Content-Type: application/json" in response.json()["error"]["message"]
        assert gateway.engine.plans == []


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON ; charset=utf-8"])
async def test_json_by_every_spelling(gateway: Running, content_type: str) -> None:
    response = await gateway.http.post(CHAT, content=orjson.dumps(asking()), headers={"content-type": content_type})
    assert response.status_code == 200


# Sizes and pace

SMALL = HttpOptions(body_mib=1)
MIB = 1024 * 1024


async def test_a_body_over_the_limit_is_refused_before_it_is_sent() -> None:
    async with running(http=SMALL) as gateway:
        for length in (MIB + 1, 10**12, 10**30):
            sent = (
                f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            )
            answer = await gateway.raw(sent.encode())
            # The parser itself gives up on a length of thirty digits.
            assert status_of(answer) == (413 if length < 10**20 else 400), length
            if length < 10**20:
                assert error_of(answer)["message"] == "The body is larger than 1 MiB."


async def test_a_body_in_chunks_is_counted_while_it_comes() -> None:
    async with running(http=SMALL) as gateway:

        async def pieces() -> Any:
            for _ in range(2 * MIB // 65536):
                yield b" " * 65536

        response = await gateway.http.post(CHAT, content=pieces(), headers={"content-type": "application/json"})
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"
        assert (await gateway.post()).status_code == 200


async def test_a_body_of_just_the_limit_passes() -> None:
    body = orjson.dumps(asking())
    async with running(http=SMALL) as gateway:
        headers = {"content-type": "application/json"}
        response = await gateway.http.post(CHAT, content=body + b" " * (MIB - len(body)), headers=headers)
        assert response.status_code == 200
        response = await gateway.http.post(CHAT, content=body + b" " * (MIB + 1 - len(body)), headers=headers)
        assert response.status_code == 413


@pytest.mark.parametrize("sent", [0, 10])
async def test_a_body_that_stops_coming_is_given_up(sent: int) -> None:
    async with running(http=HttpOptions(body_silence_s=0.05)) as gateway:
        whole = head("POST", CHAT, "Host: localhost").replace(b"Connection: close\r\n", b"")
        body = whole.index(b"\r\n\r\n") + 4
        # Without `Connection: close` of ours: the gateway closes, for nothing more of this body is wanted.
        answer = await gateway.raw(whole[: body + sent])
        assert status_of(answer) == 408
        assert b"connection: close" in answer.lower()
        assert error_of(answer)["code"] == "request_timeout"
        assert gateway.engine.plans == []


async def test_a_slow_body_passes_as_long_as_it_goes_on() -> None:
    async with running(http=HttpOptions(body_silence_s=5)) as gateway:

        async def pieces() -> Any:
            for byte in orjson.dumps(asking()):
                yield bytes([byte])

        response = await gateway.http.post(CHAT, content=pieces(), headers={"content-type": "application/json"})
        assert response.status_code == 200


async def test_the_silence_limit_is_for_the_body_alone() -> None:
    """Afterwards the client has nothing to say, and waits for an answer that may take minutes."""
    async with running(says("a"), http=HttpOptions(body_silence_s=0.01, heartbeat_s=0.05)) as gateway:
        assert (await gateway.post(stream=True)).status_code == 200


# The gate alone: other servers let through what ours refuses before it comes here.


async def through_the_gate(
    headers: list[tuple[bytes, bytes]], kind: str = "http", options: HttpOptions | None = None
) -> int:
    """The status; 200 for what came through, and the close code of a web socket."""

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Scope = {"type": kind, "method": "GET", "path": "/", "headers": headers}
    attach(scope, RequestRecord("id", "GET", "/"))
    await Gate(inside, options=options or HttpOptions(), without_keys=False)(scope, receive, send)
    status: int = said[0].get("status", said[0].get("code"))
    return status


@given(host=st.binary(max_size=40) | st.sampled_from([host.encode() for host in OWN_HOSTS + FOREIGN_HOSTS]))
def test_no_host_breaks_the_gate(host: bytes) -> None:
    name = host.decode("latin-1")
    status = asyncio.run(through_the_gate([(b"host", host)]))
    if name in OWN_HOSTS:
        assert status == 200
    elif name in FOREIGN_HOSTS:
        assert status == 421
    assert status in (200, 421)


@pytest.mark.parametrize("length", [b"\xb2", b"-1", b"1e3", b"", b"0x10"])
async def test_a_length_that_is_no_number_is_left_to_the_reading(length: bytes) -> None:
    assert await through_the_gate([(b"host", b"localhost"), (b"content-length", length)]) == 200


@pytest.mark.parametrize(
    ("site", "origin", "status"),
    [
        (b"cross-site", None, 403),
        (b"same-site", None, 403),
        (b"same-origin", None, 200),
        (b"none", None, 200),
        (b"cross-site", b"https://page.example", 200),
        (b"cross-site", b"https://evil.example", 403),
    ],
)
async def test_a_picture_or_a_link_in_a_foreign_page_reaches_no_handler(
    site: bytes, origin: bytes | None, status: int
) -> None:
    """It comes without an Origin, and without one a GET could ask for a turn where no key is asked for."""
    headers = [(b"host", b"localhost"), (b"sec-fetch-site", site)]
    headers += [(b"origin", origin)] if origin is not None else []
    assert await through_the_gate(headers, options=NAMED) == status


async def test_a_web_socket_is_closed_before_it_opens() -> None:
    assert await through_the_gate([(b"host", b"localhost"), (b"origin", b"http://evil.test")], "websocket") == 1008
    assert await through_the_gate([(b"host", b"evil.test")], "websocket") == 1008
    assert await through_the_gate([(b"host", b"localhost")], "websocket") == 200


async def test_the_servers_own_talk_with_the_application_passes() -> None:
    async with a_store() as (store, storage):
        gateway = app.build(says("a"), store, Access(None), settings_of(storage=storage))
        heard = await talk_of_the_server(gateway)
    assert heard == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def talk_of_the_server(gateway: app.Gateway) -> list[str]:
    heard: list[str] = []
    said = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        return {"type": next(said)}

    async def send(message: Message) -> None:
        heard.append(message["type"])

    await gateway.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return heard
