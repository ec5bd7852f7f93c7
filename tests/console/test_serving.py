"""The whole gateway as a process, over the real CLI: its start, its turns, and every way in which it can end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_code_api.standin import Answer, Gate, StandIn, Text, says
from tests.console.gateway_process import GatewayProcess, streaming
from tests.harness.programs import all_ended, below, held
from tests.harness.waiting import until

pytestmark = pytest.mark.real_cli

QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[StandIn]:
    with StandIn(pace_ms=0) as standin:
        yield standin


@pytest.fixture(autouse=True)
def _clean(upstream: StandIn) -> None:
    upstream.clear()


def serve(home: Path, upstream: StandIn, *more: str, env: dict[str, str] | None = None) -> GatewayProcess:
    known = {"ANTHROPIC_API_KEY": "sk-ant-upstream", "ANTHROPIC_BASE_URL": upstream.base_url, **(env or {})}
    return GatewayProcess("serve", "--port", "0", "--data-dir", str(home / "data"), *more, home=home, env=known)


def gated() -> Answer:
    """An answer that begins, and goes on only when the gate is opened."""
    return Answer((Text(pieces=("begun ", Gate("more"), "done")),))


def contents(lines: list[str]) -> str:
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ()))


def read_until(lines: Iterator[str], text: str) -> None:
    assert any(text in line for line in lines)


def test_item_02_the_first_start_makes_a_key_and_shows_it_once(tmp_path: Path, upstream: StandIn) -> None:
    with serve(tmp_path, upstream) as first:
        key = first.key
        assert first.welcome.count(f"this once: {key}") == 1
        assert f"export OPENAI_BASE_URL={first.url}/v1" in first.welcome
        assert f"export ANTHROPIC_BASE_URL={first.url}\n" in first.welcome
        assert (first.data_dir / "api-key").stat().st_mode & 0o777 == 0o600
        assert first.data_dir.stat().st_mode & 0o777 == 0o700
    with serve(tmp_path, upstream) as second:
        assert second.key == key
        assert key not in second.welcome
        assert f"$(cat {second.data_dir}/api-key)" in second.welcome


def test_a_turn_and_its_log_line(tmp_path: Path, upstream: StandIn) -> None:
    upstream.play(says("good day"))
    with serve(tmp_path, upstream, "--log-level", "debug", env={"CLAUDE_CODE_API_KEYS": "cca-static"}) as gateway:
        with gateway.client() as client:
            answer = client.post("/v1/chat/completions", json=QUESTION, headers={"Authorization": "Bearer cca-static"})
            assert answer.json()["choices"][0]["message"]["content"] == "good day"
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        key = gateway.key
    line = next(json.loads(line) for line in gateway.log if '"event":"request"' in line)
    assert line["key_name"] == "static-1"
    assert line["outcome"] == "stop"
    assert line["request_id"] == answer.headers["x-request-id"]
    everything = "".join(gateway.log)
    assert not any(secret in everything for secret in ("good day", "cca-static", "sk-ant-upstream", key))
    assert not list((gateway.data_dir / "run").iterdir())


def test_sigterm_lets_a_turn_end(tmp_path: Path, upstream: StandIn) -> None:
    upstream.play(gated())
    with serve(tmp_path, upstream) as gateway, gateway.client() as client, streaming(client, QUESTION) as lines:
        read_until(lines, "begun")
        gateway.signal(signal.SIGTERM)
        with gateway.client() as other:
            until(lambda: other.get("/healthz").text == "draining", "the drain")
            assert other.get("/healthz").status_code == 503
            refused = other.post("/v1/chat/completions", json=QUESTION)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
            assert "retry-after" in refused.headers
        upstream.release("more")
        rest = list(lines)
        assert contents(rest) == "done"
        assert rest[-2] == "data: [DONE]" or rest[-1] == "data: [DONE]"
        assert gateway.wait() == 0


def test_asked_twice_it_ends_turns_with_an_error(tmp_path: Path, upstream: StandIn) -> None:
    upstream.play(gated())
    with serve(tmp_path, upstream) as gateway, gateway.client() as client, streaming(client, QUESTION) as lines:
        read_until(lines, "begun")
        gateway.signal(signal.SIGTERM)
        with gateway.client() as other:
            until(lambda: other.get("/healthz").text == "draining", "the drain")
        gateway.signal(signal.SIGTERM)
        assert any('"code":"shutting_down"' in line for line in lines)
        assert gateway.wait() == 0
    assert upstream.wait_closed(0).client_left


def test_the_drain_has_an_end(tmp_path: Path, upstream: StandIn) -> None:
    upstream.play(gated())
    with (
        serve(tmp_path, upstream, "--set", "drain-s=0.2") as gateway,
        gateway.client() as client,
        streaming(client, QUESTION) as lines,
    ):
        read_until(lines, "begun")
        gateway.signal(signal.SIGINT)
        assert any('"code":"shutting_down"' in line for line in lines)
        assert gateway.wait() == 0


def test_killed_it_leaves_no_process_and_the_next_start_no_directory(tmp_path: Path, upstream: StandIn) -> None:
    upstream.play(gated())
    with serve(tmp_path, upstream) as gateway:
        with gateway.client() as client, streaming(client, QUESTION) as lines:
            read_until(lines, "begun")
            with held(below(gateway.pid)) as descriptors:
                assert len(descriptors) >= 2  # a warden and its CLI
                gateway.signal(signal.SIGKILL)
                all_ended(descriptors)
            gateway.wait()
        assert upstream.wait_closed(0).client_left
        (left,) = (gateway.data_dir / "run").iterdir()
    with serve(tmp_path, upstream):
        assert not left.exists()


def test_without_credentials_it_starts_and_says_what_to_do(tmp_path: Path) -> None:
    with GatewayProcess("serve", "--port", "0", "--data-dir", "data", home=tmp_path) as gateway:
        assert "ANTHROPIC_API_KEY" in gateway.wait_for_line("No credentials")
        with gateway.client() as client:
            assert client.get("/healthz").text == "ok"
            ready = client.get("/readyz")
            assert ready.status_code == 503
            assert "ANTHROPIC_API_KEY" in ready.json()["problem"]
            health = client.get("/health").json()
            assert (health["status"], health["credentials"]) == ("degraded", None)
            answer = client.post("/v1/chat/completions", json=QUESTION)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_credentials")
            assert "ANTHROPIC_API_KEY" in answer.json()["error"]["message"]


def test_the_demo_streams_a_first_answer(tmp_path: Path) -> None:
    with GatewayProcess("demo", "--port", "0", home=tmp_path, env={"ANTHROPIC_API_KEY": "sk-ant-real"}) as gateway:
        gateway.wait_for_line("nothing of the demo is kept")
        assert "stand-in" in gateway.welcome
        assert "sk-ant-real" not in gateway.welcome
        gateway.signal(signal.SIGINT)
        assert gateway.wait() == 0
    assert not (tmp_path / ".local").exists()
