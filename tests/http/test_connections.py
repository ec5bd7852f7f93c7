"""What a connection may cost before anybody knows whose it is: time, size and number. Also over TLS."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import trustme

from claude_code_api.http import connections, gate
from claude_code_api.http.connections import KEPT_DESCRIPTORS, Crowd, take_descriptors
from claude_code_api.http.options import HttpOptions
from claude_code_api.http.server import TransportError, check_transport
from tests.harness.waiting import BOUND_S
from tests.http.loopback import CHAT, KEY, PATIENCE_S, Door, Running, asking, running, says, stops_at

HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
ELSEWHERE = "192.0.2.7"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def error_in(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"connection: close" in head
    found = orjson.loads(body)
    # As the clients of both vendors expect it.
    assert found["type"] == "error"
    return found["error"]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    monkeypatch.setattr(connections, "LINGER_S", 0.05)


@pytest.mark.usefixtures("hurry")
class TestItem13Deadlines:
    async def test_item_13_who_says_nothing_is_let_go(self, gateway: Running) -> None:
        assert await gateway.raw() == b""

    @pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
    async def test_item_13_a_head_that_stops_coming(self, gateway: Running, sent: bytes) -> None:
        answer = await gateway.raw(sent)
        assert status_of(answer) == 408
        assert "head" in error_in(answer)["message"]

    async def test_item_13_a_head_that_goes_on_for_ever(self, gateway: Running) -> None:
        loop = asyncio.get_running_loop()
        # A bare one: what has come can be read from it even after it was cut off in the middle of his talking.
        with socket.create_connection(("127.0.0.1", gateway.port)) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n")
            answer = asyncio.create_task(loop.sock_recv(client, 65536))
            while not answer.done():
                # A field now and then, which restarts no clock.
                with suppress(ConnectionError):
                    await loop.sock_sendall(client, b"X: y\r\n")
                await asyncio.wait([answer], timeout=0.02)
            assert status_of(await answer) == 408

    @pytest.mark.parametrize("sent", [b"\r\n", b"GET /he"])
    async def test_item_13_after_an_answer_a_head_has_its_time_again(self, gateway: Running, sent: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 OK\r\n" in await reader.readuntil(b"ok")
        writer.write(sent)
        assert status_of(await reader.read()) == 408
        writer.close()

    async def test_item_13_a_head_that_began_during_an_answer(self, gateway: Running) -> None:
        answer = await gateway.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he")
        assert answer.count(b"HTTP/1.1 200 OK") == 1
        assert answer.count(b"HTTP/1.1 408 ") == 1

    async def test_the_next_head_does_not_hurry_an_answer(self) -> None:
        door = Door()
        async with running(stops_at(2, door, "a", "b")) as gateway:
            body = orjson.dumps(asking(stream=True))
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await door.reached.wait()
            writer.write(b"GET /he")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.readuntil(b"[DONE]")
            door.set()
            assert b'"finish_reason":"stop"' in await reader.readuntil(b"[DONE]")
            assert status_of((await reader.read()).partition(b"0\r\n\r\n")[2]) == 408
            writer.close()

    async def test_item_13_a_body_that_nobody_wanted_does_not_hold_the_connection(self, gateway: Running) -> None:
        head = (
            b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        )
        answer = await gateway.raw(head + b"{")
        assert status_of(answer) == 404

    async def test_what_is_in_time_has_all_the_time(self, gateway: Running) -> None:
        """A turn may take minutes; the head's clock has stopped by then."""
        async with running(says("a"), http=HttpOptions(heartbeat_s=0.02)) as slow:
            assert (await slow.post(stream=True)).status_code == 200
            assert (await slow.post()).status_code == 200


class TestItem13Sizes:
    async def test_item_13_too_many_fields(self, gateway: Running) -> None:
        fields = "".join(f"X-{n}: y\r\n" for n in range(connections.MAX_HEADERS))
        answer = await gateway.raw(f"{HEAD}{fields}\r\n".encode())
        assert status_of(answer) == 431

    @pytest.mark.parametrize("at_once", [True, False])
    async def test_item_13_too_long_a_head(self, gateway: Running, at_once: bool) -> None:
        field = b"X: " + b"y" * connections.MAX_HEAD_BYTES + b"\r\n\r\n"
        pieces = [HEAD.encode() + field] if at_once else [HEAD.encode(), field[:-4], field[-4:]]
        answer = await gateway.raw(*pieces)
        assert status_of(answer) == 431
        assert "64 KiB" in error_in(answer)["message"]
        assert gateway.engine.plans == []

    async def test_a_body_is_no_head(self, gateway: Running) -> None:
        for _ in range(3):
            long = asking("x" * 3 * connections.MAX_HEAD_BYTES)
            assert (await gateway.http.post(CHAT, json=long)).status_code == 200

    async def test_a_long_head_passes(self, gateway: Running) -> None:
        filler = "y" * (connections.MAX_HEAD_BYTES - 1000)
        response = await gateway.http.post(CHAT, json=asking(), headers={"x-filler": filler})
        assert response.status_code == 200

    async def test_item_13_a_body_of_a_byte_now_and_then(
        self, gateway: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate, "PACE_AFTER_S", 0.05)
        monkeypatch.setattr(gate, "PACE_BYTES_S", 10**9)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"{HEAD}Content-Length: 100000\r\n\r\n".encode())
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait([answer], timeout=0.02)
        assert status_of(await answer) == 408
        assert gateway.engine.plans == []
        writer.close()


class TestCrowds:
    def test_there_is_an_end_to_everybody(self) -> None:
        crowd = Crowd.of(10, 5, descriptors=1000)
        assert crowd.refusal(10, ELSEWHERE) is None
        assert crowd.refusal(11, ELSEWHERE) == HTTPStatus.SERVICE_UNAVAILABLE

    def test_there_are_never_more_than_descriptors(self) -> None:
        assert Crowd.of(2000, 5, descriptors=1024).most == 1024 - KEPT_DESCRIPTORS

    def test_one_address_without_a_key_gets_a_few(self) -> None:
        crowd = Crowd.of(100, 2, descriptors=1000)
        for _ in range(3):
            crowd.come(ELSEWHERE)
            crowd.come("127.0.0.1")
        assert crowd.refusal(6, ELSEWHERE) == HTTPStatus.TOO_MANY_REQUESTS
        assert crowd.refusal(6, "127.0.0.1") is None, "it may be a proxy"
        assert crowd.refusal(6, "192.0.2.8") is None
        crowd.gone(ELSEWHERE)
        assert crowd.refusal(6, ELSEWHERE) is None
        crowd.gone(ELSEWHERE)
        crowd.gone(ELSEWHERE)
        assert ELSEWHERE not in crowd.unknown

    async def test_one_too_many_is_told_and_the_others_go_on(self) -> None:
        async with running(http=HttpOptions(max_connections=3)) as gateway:
            assert (await gateway.post()).status_code == 200
            others = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]
            answer = await gateway.raw()
            assert status_of(answer) == 503
            assert b"retry-after: 5\r\n" in answer
            assert error_in(answer)["type"] == "server_error"
            assert (await gateway.post()).status_code == 200
            for _, writer in others:
                writer.close()
                await writer.wait_closed()
            assert (
                status_of(await gateway.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
                == 200
            )

    async def test_who_has_shown_a_key_is_no_longer_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "is_loopback_address", lambda _: False)
        async with running(http=HttpOptions(max_unknown_connections=1)) as gateway:
            known = [httpx2.AsyncClient(base_url=gateway.url, trust_env=False, timeout=BOUND_S) for _ in range(3)]
            for client in known:
                response = await client.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
                assert response.status_code == 200
            _, stranger = await asyncio.open_connection("127.0.0.1", gateway.port)
            answer = await gateway.raw()
            assert status_of(answer) == 429
            assert b"retry-after: 5\r\n" in answer
            stranger.close()
            for client in known:
                await client.aclose()

    async def test_item_24_requests_that_wait_are_bounded(self, gateway: Running) -> None:
        one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(one * connections.MAX_WAITING)
        for _ in range(connections.MAX_WAITING):
            assert b" 200 OK\r\n" in await reader.readuntil(b"\r\n\r\nok")
        writer.write(one * (connections.MAX_WAITING + 2))
        assert (await reader.read()).count(b" 200 OK\r\n") <= connections.MAX_WAITING + 1
        writer.close()

    async def test_item_24_while_a_request_waits_no_more_is_read(self) -> None:
        door = Door()
        async with running(stops_at(2, door, "a")) as gateway:
            body = orjson.dumps(asking())
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await door.reached.wait()
            one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            writer.write(one)
            # More than the buffers between us and the gateway hold.
            writer.write(b"\r\n" * 16 * 1024 * 1024)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await writer.drain()
            door.set()
            assert b"HTTP/1.1 200 OK" in await reader.readuntil(b"\r\n\r\nok")
            writer.close()

    async def test_who_leaves_is_missed_also_if_he_has_asked_for_more(self) -> None:
        """With the first heartbeats: nothing is read from him meanwhile."""
        door = Door()
        async with running(stops_at(2, door, "a"), http=HttpOptions(heartbeat_s=0.02)) as gateway:
            body = orjson.dumps(asking(stream=True))
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await door.reached.wait()
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await writer.drain()
            writer.close()
            await gateway.logs.request()
            assert len(gateway.engine.left_early) == 1

    def test_the_system_is_asked_for_descriptors(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(hard, connections.DESCRIPTORS) if hard != resource.RLIM_INFINITY else connections.DESCRIPTORS
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        try:
            assert take_descriptors() == wanted
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == wanted
            assert take_descriptors() == wanted
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certified(authority: trustme.CA, tmp_path: Path) -> HttpOptions:
    cert = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    cert.private_key_pem.write_to_path(key)
    for pem in cert.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    return HttpOptions(tls_cert=chain, tls_key=key)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def health(gateway: Running, context: ssl.SSLContext) -> httpx2.Response:
    async with httpx2.AsyncClient(verify=context, trust_env=False, timeout=PATIENCE_S) as client:
        return await client.get(f"https://localhost:{gateway.port}/healthz")


async def test_over_tls(authority: trustme.CA, certified: HttpOptions) -> None:
    async with running(http=certified) as gateway:
        answer = await health(gateway, trusting(authority))
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        with pytest.raises(httpx2.ConnectError):
            await health(gateway, ssl.create_default_context())
        # Without TLS nothing is said.
        assert await gateway.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""


async def test_clients_that_need_a_certificate(authority: trustme.CA, certified: HttpOptions, tmp_path: Path) -> None:
    clients = trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    options = HttpOptions(
        tls_cert=certified.tls_cert, tls_key=certified.tls_key, tls_client_ca=tmp_path / "clients.pem"
    )
    async with running(http=options) as gateway:
        with_one = trusting(authority)
        clients.issue_cert("somebody@example.test").configure_cert(with_one)
        assert (await health(gateway, with_one)).status_code == 200
        of_others = trusting(authority)
        authority.issue_cert("somebody@example.test").configure_cert(of_others)
        for context in (trusting(authority), of_others):
            with pytest.raises((httpx2.ConnectError, httpx2.ReadError, httpx2.RemoteProtocolError)):
                await health(gateway, context)


def _wrong(certified: HttpOptions, tmp_path: Path) -> Iterator[tuple[HttpOptions, str]]:
    (tmp_path / "no.pem").write_text("nothing")
    yield HttpOptions(tls_cert=tmp_path / "missing.pem"), "missing.pem: "
    yield HttpOptions(tls_cert=tmp_path / "no.pem"), "cannot be served"
    yield HttpOptions(tls_cert=certified.tls_cert), "cannot be served"
    yield HttpOptions(tls_key=certified.tls_key), "need tls_cert"
    yield HttpOptions(tls_client_ca=certified.tls_cert), "need tls_cert"
    yield HttpOptions(trusted_proxies=("*",)), "names no address"
    yield HttpOptions(trusted_proxies=("10.0.0.0/8", "proxy.local")), "'proxy.local'"
    yield HttpOptions(trusted_proxies=("0.0.0.0/0",)), "believe everybody"
    yield HttpOptions(trusted_proxies=("::/0",)), "believe everybody"
    for origin in (
        "*",
        "null",
        "https://*.example",
        "app.example",
        "https://app.example/path",
        "https://a,b",
        "file://",
    ):
        yield HttpOptions(allowed_origins=("https://app.example", origin)), "names no origin"


def test_what_cannot_be_served_is_said_before_anything_listens(certified: HttpOptions, tmp_path: Path) -> None:
    check_transport(certified)
    check_transport(HttpOptions(trusted_proxies=("10.0.0.0/8", "::1", "192.0.2.1")))
    check_transport(HttpOptions(allowed_origins=("https://app.example", "http://[::1]:3000/", "moz-extension://a-1")))
    for options, words in _wrong(certified, tmp_path):
        with pytest.raises(TransportError, match=words):
            check_transport(options)


# Proxies


@pytest.mark.parametrize("trusted", [True, False])
async def test_item_15_a_proxy_is_believed_if_it_is_ours(trusted: bool) -> None:
    proxies = ("127.0.0.0/8",) if trusted else ("192.0.2.0/24",)
    async with running(http=HttpOptions(trusted_proxies=proxies)) as gateway:
        headers = {"x-forwarded-for": ELSEWHERE, "x-forwarded-proto": "https"}
        answer = await gateway.http.get("/v1/models", headers=headers)
        assert answer.status_code == 200
        assert ("strict-transport-security" in answer.headers) is trusted


async def test_what_a_browser_may_do_with_an_answer(gateway: Running) -> None:
    plain = "default-src 'none'; frame-ancestors 'none'"
    for path in ("/v1/models", "/healthz", "/nothing"):
        headers = (await gateway.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["content-security-policy"] == plain
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers
    page = (await gateway.http.get("/docs")).headers
    assert "default-src 'none'" in page["content-security-policy"]
    assert page["content-security-policy"] != plain
