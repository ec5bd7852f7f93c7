"""Agents in a jail, the whole way: over HTTP, with keys that may less, in projects that are trusted or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import Answer as Scripted
from claude_code_api.standin import StandIn, Text, ToolUse, Usage, calls, says
from tests.clients.test_agent_real_cli import ask, kept, make, offered_upstream, results_upstream
from tests.clients.whole_way import whole_way
from tests.http.loopback import Running
from tests.http.test_api_keys import make as make_key
from tests.http.test_key_limits import NO_RATE
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


async def test_a_request_may_less_than_its_session(tmp_path: Path, upstream: StandIn) -> None:
    writing = {"Read", "Edit", "Write"}
    async with gateway_at(tmp_path, upstream) as gateway:
        made = await project(gateway, "full")
        session, full = "", set[str]()
        for profile, offered in (("read", {"Read"}), ("shell", {*writing, "Bash"}), ("edit", writing), ("chat", set())):
            upstream.play(says("ok"), says("ok"))
            answer = await ask(gateway, "hi", made["id"], session, profile=profile)
            assert answer.status_code == 200, answer.text
            assert offered_upstream(upstream) == offered
            session = answer.headers["x-session-id"]
            assert (await ask(gateway, "hi", session=session)).status_code == 200
            full = full or offered_upstream(upstream)
            assert offered_upstream(upstream) == full >= {*writing, "Bash", "Grep"}, "as before"


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
            use = asking_by_itself("claude-opus-4-1")
            upstream.play(calls(ToolUse("toolu_1", "Bash", {"command": use})), says("done"))
            asked = {"model": "haiku", "messages": [{"role": "user", "content": "go"}]}
            answer = await theirs.post("/v1/chat/completions", json=asked, headers={"x-project-id": made["id"]})
            assert answer.status_code == 200, answer.text
        (result,) = results_upstream(upstream)
        assert "this model is not allowed here" in json.dumps(result["content"])
        assert len(upstream.messages) == 2


# What runs in the jail and knows where the agent's door is.
BY_ITSELF = """
import json, socket, sys
for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_UNIX) as door:
        door.connect("/run/gateway/model.sock")
        body = json.dumps({"model": sys.argv[1], "max_tokens": 9, "messages": [{"role": "user", "content": "aside"}]})
        head = "POST /v1/messages HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n"
        door.sendall(f"{head}content-length: {len(body)}\\r\\n\\r\\n{body}".encode())
        answer = b"".join(iter(lambda: door.recv(65536), b""))
        print(answer.split()[1].decode(), answer.rpartition(b"\\r\\n\\r\\n")[2].decode(), flush=True)
"""


def asking_by_itself(model: str, times: int = 1) -> str:
    return f"/usr/bin/python3 - {model} {times} <<'END'{BY_ITSELF}END"


class TestA24:
    """What runs in a jail has the agent's door, and the agent's budget."""

    MODEL = "claude-3-5-haiku-20241022"

    async def run(
        self, tmp_path: Path, upstream: StandIn, times: int, **terms: Any
    ) -> tuple[list[Any], dict[str, Any], list[str]]:
        """Two turns in which a script asks so often; their answers, what the key has used, and what the script saw."""
        async with gateway_at(tmp_path, upstream) as gateway:
            made = await make_key(gateway, **NO_RATE, profile="shell", **terms)
            async with gateway.client(authorization=f"Bearer {made['key']}") as theirs:
                place = (await theirs.post("/v1/projects", json={"name": "p", "profile": "shell"})).json()
                use = ToolUse("toolu_1", "Bash", {"command": f"({asking_by_itself(self.MODEL, times)}\n) > seen.txt"})
                upstream.always(Scripted((Text("aside"),), usage=Usage(1000, 100)))
                upstream.play(Scripted((use,), stop_reason="tool_use", usage=Usage(10, 5)))
                body = {"model": self.MODEL, "messages": [{"role": "user", "content": "go"}]}
                headers = {"x-project-id": place["id"]}
                answers = [await theirs.post("/v1/chat/completions", json=body, headers=headers) for _ in range(2)]
            rows = (await gateway.http.get("/v1/usage", params={"group_by": "key"})).json()["data"]
            (used,) = [row for row in rows if row["key"] == made["id"]]
            return answers, used, read(place, "seen.txt").splitlines()

    async def test_what_it_asks_by_itself_is_on_the_bill(self, tmp_path: Path, upstream: StandIn) -> None:
        answers, used, seen = await self.run(tmp_path, upstream, 3)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert [line.split()[0] for line in seen] == ["200"] * 3
        # The call, three times aside, the answer to the call; and one more turn.
        assert used["total_tokens"] == 15 + 3 * 1100 + 2 * 1100
        assert answers[0].json()["usage"]["total_tokens"] == 15 + 4 * 1100
        assert len(upstream.messages) == 6

    async def test_over_the_budget_it_is_refused_and_the_turn_is_over(self, tmp_path: Path, upstream: StandIn) -> None:
        answers, used, seen = await self.run(tmp_path, upstream, 30, budget_tokens=3000)
        assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [
            (429, "insufficient_quota"),
            (429, "insufficient_quota"),
        ]
        assert "stopped in the middle" in answers[0].json()["error"]["message"]
        # The third one aside went over it, and was the last.
        assert used["total_tokens"] == 15 + 3 * 1100
        assert len(upstream.messages) == 4
        assert [line.split()[0] for line in seen].count("200") <= 3


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

    @pytest.mark.parametrize(
        "says_no",
        [
            "echo 'no secrets here' >&2; exit 2",
            """echo '{"decision": "block", "reason": "no secrets here"}'""",
            """echo '{"continue": false, "stopReason": "no secrets here"}'""",
        ],
    )
    async def test_a_hook_that_refuses_a_prompt_is_told_in_its_own_words(
        self, tmp_path: Path, upstream: StandIn, says_no: str
    ) -> None:
        hook = {"type": "command", "command": f'case "$(cat)" in *marker*) {says_no};; esac'}
        async with gateway_at(tmp_path, upstream) as gateway:
            made = await project(gateway, "edit")
            await gateway.http.patch(f"/v1/projects/{made['id']}", json={"trusted": True})
            make(Path(made["path"], ".claude"))
            write(made, ".claude/settings.json", json.dumps({"hooks": {"UserPromptSubmit": [{"hooks": [hook]}]}}))
            upstream.always(says("ok"))
            session = (await ask(gateway, "hi", made["id"])).headers["x-session-id"]
            for stream in (False, True):
                answer = await ask(gateway, "the marker", session=session, stream=stream)
                error = answer.json()["error"]
                assert (answer.status_code, error["code"]) == (403, "forbidden")
                assert error["message"] == "A hook of the project refused this prompt: no secrets here"
                assert answer.headers["x-should-retry"] == "false"
            assert len(upstream.messages) == 1
            # What was said before it is all there; the prompt itself is kept as every question without an answer is.
            said = (await kept(gateway, session))[1]["id"]
            fork = await gateway.http.post(f"/v1/sessions/{session}/fork", json={"message_id": said})
            assert (await ask(gateway, "nice weather", session=fork.json()["id"])).status_code == 200
            assert "the marker" not in json.dumps(upstream.messages[-1].body)

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
