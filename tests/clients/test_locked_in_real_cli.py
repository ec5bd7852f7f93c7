"""Agents in a jail, the whole way: over HTTP, with keys that may less, in projects that are trusted or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import StandIn, ToolUse, calls, says
from tests.clients.test_agent_real_cli import ask, kept, make, offered_upstream, results_upstream
from tests.clients.whole_way import whole_way
from tests.http.loopback import Running
from tests.real_cli.cells import jail_here

pytestmark = pytest.mark.real_cli


@asynccontextmanager
async def gateway_at(directory: Path, upstream: StandIn, **more: Any) -> AsyncIterator[Running]:
    jail_here()
    make(directory / "run")
    options = {"full_profile": True, **more}
    async with whole_way(directory / "run", upstream, warm=True, data_dir=directory / "data", jail=True, **options) as (
        gateway,
        _,
    ):
        yield gateway


async def project(gateway: Running, profile: str, **more: Any) -> dict[str, Any]:
    made = await gateway.http.post("/v1/projects", json={"name": "p", "profile": profile, **more})
    assert made.status_code == 201, made.text
    return made.json()  # type: ignore[no-any-return]


def read(made: dict[str, Any], name: str) -> str:
    return Path(made["path"], name).read_text()


def write(made: dict[str, Any], name: str, text: str) -> None:
    Path(made["path"], name).write_text(text)


@pytest.mark.parametrize("profile", ["shell", "full"])
async def test_it_runs_commands_and_goes_on_after_them(tmp_path: Path, upstream: StandIn, profile: str) -> None:
    async with gateway_at(tmp_path, upstream) as gateway:
        made = await project(gateway, profile)
        upstream.play(calls(ToolUse("toolu_1", "Bash", {"command": "echo $((6*7)) > answer; cat answer; pwd"})))
        upstream.play(says("It is 42."))
        answer = await ask(gateway, "work", made["id"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "It is 42."
        assert read(made, "answer") == "42\n"
        session = answer.headers["x-session-id"]
        assert "/project" in json.dumps((await kept(gateway, session))[2]["content"]), "as the agent saw it"
        upstream.play(says("Still 42."))
        again = await ask(gateway, "sure?", session=session)
        assert again.json()["choices"][0]["message"]["content"] == "Still 42."
        (result,) = results_upstream(upstream)
        assert "42" in json.dumps(result["content"])


async def test_a_session_may_less_than_its_project(tmp_path: Path, upstream: StandIn) -> None:
    async with gateway_at(tmp_path, upstream) as gateway:
        made = await project(gateway, "full")
        for profile, offered in (("shell", {"Read", "Edit", "Write", "Bash"}), ("edit", {"Read", "Edit", "Write"})):
            wanted = {"project_id": made["id"], "profile": profile}
            session = (await gateway.http.post("/v1/sessions", json=wanted)).json()["id"]
            upstream.play(says("ok"))
            assert (await ask(gateway, "hi", session=session)).status_code == 200
            assert offered_upstream(upstream) == offered


async def test_full_is_refused_until_it_is_switched_on(tmp_path: Path, upstream: StandIn) -> None:
    async with gateway_at(tmp_path, upstream, full_profile=False) as gateway:
        made = await project(gateway, "full")
        answer = await ask(gateway, "hi", made["id"])
        assert answer.status_code == 503
        assert "switched off" in answer.json()["error"]["message"]
        assert len(upstream.received) == 0


async def test_a_key_s_models_are_all_that_its_jail_may_ask(tmp_path: Path, upstream: StandIn) -> None:
    async with gateway_at(tmp_path, upstream) as gateway:
        wanted = {"name": "k", "profile": "shell", "models": ["haiku"]}
        key = (await gateway.http.post("/v1/keys", json=wanted)).json()["key"]
        async with gateway.client(authorization=f"Bearer {key}") as theirs:
            made = (await theirs.post("/v1/projects", json={"name": "p", "profile": "shell"})).json()
            body = json.dumps(
                {"model": "claude-opus-4-1", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
            )
            use = f"curl -s --unix-socket /run/gateway/model.sock -H 'content-type: application/json' -d '{body}' http://x/v1/messages"
            upstream.play(calls(ToolUse("toolu_1", "Bash", {"command": use})), says("done"))
            asked = {"model": "haiku", "messages": [{"role": "user", "content": "go"}]}
            answer = await theirs.post("/v1/chat/completions", json=asked, headers={"x-project-id": made["id"]})
            assert answer.status_code == 200, answer.text
        (result,) = results_upstream(upstream)
        assert "this model is not allowed here" in json.dumps(result["content"])
        assert len(upstream.messages) == 2


class TestTrust:
    async def test_an_administrator_says_so_and_it_counts_from_then_on(self, tmp_path: Path, upstream: StandIn) -> None:
        async with gateway_at(tmp_path, upstream) as gateway:
            made = await project(gateway, "edit")
            assert made["trusted"] is False
            write(made, "CLAUDE.md", "marker-of-claude-md")
            for trusted in (False, True, False):
                changed = await gateway.http.patch(f"/v1/projects/{made['id']}", json={"trusted": trusted})
                assert changed.json()["trusted"] is trusted
                upstream.play(says("ok"))
                assert (await ask(gateway, "hi", made["id"])).status_code == 200
                assert ("marker-of-claude-md" in json.dumps(upstream.messages[-1].body)) is trusted

    async def test_nobody_else_can(self, tmp_path: Path, upstream: StandIn) -> None:
        async with gateway_at(tmp_path, upstream) as gateway:
            key = (await gateway.http.post("/v1/keys", json={"name": "k", "profile": "full"})).json()["key"]
            async with gateway.client(authorization=f"Bearer {key}") as theirs:
                refused = await theirs.post("/v1/projects", json={"name": "p", "trusted": True})
                assert (refused.status_code, refused.json()["error"]["param"]) == (403, "trusted")
                made = (await theirs.post("/v1/projects", json={"name": "p"})).json()
                url = f"/v1/projects/{made['id']}"
                assert (await theirs.patch(url, json={"trusted": True})).status_code == 403
                # The administrator can, although it is not his.
                assert (await gateway.http.patch(url, json={"trusted": True})).json()["trusted"] is True
                assert (await theirs.get(url)).json()["trusted"] is True
                assert (await theirs.patch(url, json={"trusted": False})).json()["trusted"] is False
                assert (await gateway.http.patch(url, json={"name": "mine"})).status_code in {403, 404}

    async def test_without_a_jail_it_is_refused(self, tmp_path: Path, upstream: StandIn) -> None:
        make(tmp_path / "run")
        async with whole_way(tmp_path / "run", upstream, data_dir=tmp_path / "data") as (gateway, _):
            made = await project(gateway, "read", trusted=True)
            answer = await ask(gateway, "hi", made["id"])
            assert answer.status_code == 503
            assert "needs a jail" in answer.json()["error"]["message"]
            assert len(upstream.received) == 0
