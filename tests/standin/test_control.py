"""Waiting, breaking off, recording and choosing: what a test steers from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest

from claude_code_api.standin import Answer, Break, Gate, Pause, StandIn, Text, answer_to_json, says
from tests.standin.conftest import TIMEOUT_S, Api, events, joined, names, request


def read_until(chunks: Iterator[str], text: str) -> str:
    seen = ""
    while text not in seen:
        seen += next(chunks)
    return seen


def test_a_gate_holds_the_stream_until_it_is_released(upstream: StandIn, api: Api) -> None:
    upstream.play(Answer((Text(pieces=("one", Gate("go"), "two")),)))
    with api.http.stream("POST", "/v1/messages", json=request(stream=True)) as response:
        chunks = response.iter_text()
        before = read_until(chunks, "one")
        upstream.wait_at_gate("go")
        assert "two" not in before
        assert not upstream.received[0].closed
        upstream.release("go")
        assert joined(events(before + "".join(chunks))) == "onetwo"
    assert upstream.wait_closed(0).finished


def test_a_gate_may_be_released_first_and_stays_open_until_cleared(upstream: StandIn, api: Api) -> None:
    upstream.release("go")
    upstream.always(Answer((Gate("go"), Text("x"))))
    assert joined(api.stream()) == joined(api.stream()) == "x"
    upstream.clear()
    assert upstream.received == []


@pytest.mark.parametrize("wait", [Pause(60_000), Gate("never"), Break("stall")])
@pytest.mark.parametrize("held", ["hold", "step", "json"])
def test_a_client_that_leaves_is_noticed_while_nothing_is_sent(
    upstream: StandIn, wait: Pause | Gate | Break, held: str
) -> None:
    upstream.play(Answer((Text("never"),), hold=wait) if held == "hold" else Answer((Text("a"), wait, Text("never"))))
    body = json.dumps(request(stream=held != "json")).encode()
    address = urllib.parse.urlsplit(upstream.base_url)
    with socket.create_connection((address.hostname, address.port), TIMEOUT_S) as connection:
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        upstream.wait_received(1)
        if isinstance(wait, Gate):
            upstream.wait_at_gate(wait.name)
        seen = b""
        while held == "step" and b"text_delta" not in seen:
            seen += connection.recv(65536)
        assert not upstream.received[0].closed
    record = upstream.wait_closed(0)
    assert record.client_left
    assert not record.finished
    assert record.client_left_after_ms is not None
    assert record.client_left_after_ms < 60_000


def test_a_cut_truncates_the_chunked_body(upstream: StandIn, api: Api) -> None:
    upstream.play(Answer((Text(pieces=("so far", Break("cut"), "never")), Text("never"))))
    seen: list[str] = []
    with api.http.stream("POST", "/v1/messages", json=request(stream=True)) as response:
        assert response.headers["transfer-encoding"] == "chunked"
        with pytest.raises(httpx2.RemoteProtocolError):
            seen.extend(response.iter_text())
    assert names(events("".join(seen)))[-1] == "content_block_delta"
    assert "never" not in "".join(seen)
    record = upstream.wait_closed(0)
    assert (record.finished, record.client_left) == (False, False)


@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_may_come_before_the_headers(upstream: StandIn, api: Api, stream: bool) -> None:
    upstream.play(Answer(hold=Break("cut")))
    with pytest.raises(httpx2.RemoteProtocolError):
        api.post(stream=stream)
    assert upstream.wait_closed(0).closed


def test_markers_keep_concurrent_clients_apart(upstream: StandIn, api: Api) -> None:
    upstream.play("queued")
    upstream.always("always")
    upstream.when('a "quoted" märker', "first", "then")
    upstream.when(lambda body: body["model"] == "claude-opus-5", "special")
    asked = [api.final(text)["content"][0]["text"] for text in ('a "quoted" märker', "other", 'my a "quoted" märker.')]
    assert asked == ["first", "queued", "then"]
    assert api.final("x", model="claude-opus-5")["content"][0]["text"] == "special"
    assert api.final("x")["content"][0]["text"] == "always"
    assert [(record.answered_by, record.answered_index) for record in upstream.messages] == [
        ("rule", 0),
        ("queue", 0),
        ("rule", 1),
        ("rule", 2),
        ("always", 0),
    ]


def test_a_record_tells_everything_about_a_request(upstream: StandIn, api: Api) -> None:
    upstream.play(Answer((Text(pieces=("a", "b")),)))
    api.http.post("/v1/messages?beta=true", json=request(stream=True), headers={"X-Own": "Value"})
    (record,) = upstream.wait_received(1, path="/v1/messages")
    assert (record.method, record.path, record.query) == ("POST", "/v1/messages", "beta=true")
    assert record.headers["x-own"] == "Value"
    assert record.body == json.loads(record.raw) == request(stream=True)
    closed = upstream.wait_closed(0)
    assert (closed.finished, closed.client_left, closed.events_sent) == (True, False, 7)


def test_waiting_in_vain_names_what_was_seen(upstream: StandIn, api: Api) -> None:
    api.http.get("/nope")
    with pytest.raises(TimeoutError, match=r"2 requests.*nope"):
        upstream.wait_received(2, 0.01)
    with pytest.raises(TimeoutError, match="end of exchange 5"):
        upstream.wait_closed(5, 0.01)


def test_a_restart_drops_streams_and_keeps_port_and_records(upstream: StandIn, api: Api) -> None:
    upstream.play(Answer((Text(pieces=("a", Break("stall"))),)), "again")
    url = upstream.base_url
    with api.http.stream("POST", "/v1/messages", json=request(stream=True)) as response:
        chunks = response.iter_text()
        read_until(chunks, "text_delta")
        upstream.restart()
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            list(chunks)
    assert upstream.base_url == url
    assert api.final()["content"][0]["text"] == "again"
    assert (upstream.received[0].closed, upstream.received[0].client_left) == (True, False)
    upstream.stop()
    upstream.stop()
    with pytest.raises(httpx2.ConnectError):
        api.post()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com", "192.168.0.1", ""])
def test_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        StandIn(host=host)


@pytest.mark.anyio
async def test_sixty_four_paced_streams_at_once(upstream: StandIn) -> None:
    upstream.always(says("x" * 20, pieces=1, every_ms=5))
    texts: list[str] = []
    limits = httpx2.Limits(max_connections=64)
    async with httpx2.AsyncClient(base_url=upstream.base_url, timeout=TIMEOUT_S, limits=limits) as client:

        async def ask() -> None:
            response = await client.post("/v1/messages", json=request(stream=True))
            texts.append(joined(events(response.text)))

        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(ask)
    assert texts == ["x" * 20] * 64


def test_the_remote_control(upstream: StandIn, api: Api) -> None:
    script = [answer_to_json(Answer((Gate("a/b"), Text("one")))), {"match": "MARK", "answer": "two"}]
    posted = api.http.post("/standin/script", json=script)
    assert posted.json() == {"ok": True, "answers": 1, "rules": 1}
    assert api.http.post("/standin/release/a/b").status_code == 200
    assert api.final("MARK")["content"][0]["text"] == "two"
    assert api.final("x")["content"][0]["text"] == "one"
    assert api.http.post("/standin/script", json={"always": "three"}).status_code == 200
    assert api.final("x")["content"][0]["text"] == "three"
    listed = api.http.get("/standin/received").json()
    assert [record["answered_by"] for record in listed] == ["rule", "queue", "always"]
    assert api.http.get("/standin/received/0/raw").content == upstream.received[0].raw
    assert api.http.get("/standin/received/9/raw").status_code == 404
    assert api.http.delete("/standin/received").status_code == api.http.delete("/standin/script").status_code == 200
    assert api.http.get("/standin/received").json() == []
    assert "stand-in" in api.final("x")["content"][0]["text"]
    bad = api.http.post("/standin/script", json=[{"steps": [{"step": "txt"}]}])
    assert (bad.status_code, "script[0].steps[0]" in bad.json()["error"]["message"]) == (400, True)
    assert api.http.get("/standin/unknown").status_code == 404


def test_a_process_of_its_own_ends_at_once_with_streams_open(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"steps": ["from a file", {"step": "break", "kind": "stall"}]}]))
    command = [sys.executable, "-m", "claude_code_api.standin", "--print-url", "--script", str(script)]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": path}, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with (
            httpx2.Client(timeout=TIMEOUT_S) as client,
            client.stream("POST", f"{url}/v1/messages", json=request(stream=True)) as response,
        ):
            chunks = response.iter_text()
            read_until(chunks, "from a file")
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT_S) == 0
            with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
                list(chunks)


@pytest.mark.parametrize("arguments", [["--host", "0.0.0.0"], ["--script", "/nonexistent"]])
def test_a_process_that_cannot_start_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from claude_code_api.standin.__main__ import main  # noqa: PLC0415 - as the interpreter does it

    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("stand-in: ")
