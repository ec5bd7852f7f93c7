"""An agent at work in a project, the whole way: what it may do, what is kept of it, how it goes on after a crash."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import Answer, StandIn, Text, ToolUse, Usage, calls, fails, says
from tests.clients.whole_way import whole_way
from tests.http.loopback import SOME_ID, Running

pytestmark = pytest.mark.real_cli

MODEL = "claude-haiku-4-5"
Asked = list[dict[str, Any]]


@asynccontextmanager
async def at_work(
    directory: Path, upstream: StandIn, data_dir: Path, profile: str = "edit"
) -> AsyncIterator[tuple[Running, dict[str, Any]]]:
    make(directory)
    async with whole_way(directory, upstream, warm=True, data_dir=data_dir) as (gateway, _):
        found = (await gateway.http.get("/v1/projects")).json()["data"]
        if found:
            yield gateway, found[0]
            return
        made = await gateway.http.post("/v1/projects", json={"name": "p", "profile": profile})
        assert made.status_code == 201, made.text
        yield gateway, made.json()


async def ask(gateway: Running, text: str, project: str | None = None, session: str | None = None, **more: Any) -> Any:
    headers = {name: value for name, value in (("x-project-id", project), ("x-session-id", session)) if value}
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}
    return await gateway.http.post("/v1/chat/completions", json=body, headers=headers)


async def kept(gateway: Running, session: str) -> list[Any]:
    return (await gateway.http.get(f"/v1/sessions/{session}/messages")).json()["data"]  # type: ignore[no-any-return]


def make(place: Path) -> None:
    place.mkdir(exist_ok=True)


def remove(place: Path) -> None:
    place.rmdir()


def link(place: Path, to: Path) -> None:
    place.symlink_to(to)


def blocks_of(message: Any) -> list[Any]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def results_upstream(upstream: StandIn) -> list[Any]:
    """The results of the agent's own tools, as the model was told them last."""
    body: Any = upstream.messages[-1].body
    return [b for message in body["messages"] for b in blocks_of(message) if b["type"] == "tool_result"]


def offered_upstream(upstream: StandIn) -> set[str]:
    body: Any = upstream.messages[-1].body
    return {tool["name"] for tool in body.get("tools", [])}


async def test_it_reads_writes_answers_and_all_of_it_is_kept(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        place = Path(project["path"])
        (place / "notes.txt").write_text("the answer is 42\n")
        look = ToolUse("toolu_1", "Read", {"file_path": str(place / "notes.txt")})
        upstream.play(Answer((Text("Let me look. "), look), stop_reason="tool_use", usage=Usage(10, 1)))
        write = ToolUse("toolu_2", "Write", {"file_path": str(place / "out.txt"), "content": "forty-two\n"})
        upstream.play(Answer((write,), stop_reason="tool_use", usage=Usage(100, 2)))
        upstream.play(Answer((Text("Done."),), usage=Usage(1000, 4)))
        answer = await ask(gateway, "look and write", project["id"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "Let me look. Done."
        assert answer.json()["choices"][0]["finish_reason"] == "stop"
        assert answer.headers["x-project-id"] == project["id"]
        assert (place / "out.txt").read_text() == "forty-two\n"
        assert offered_upstream(upstream) == {"Read", "Edit", "Write"}
        session = answer.headers["x-session-id"]
        messages = await kept(gateway, session)
        assert [(one["role"], [block["type"] for block in one["content"]]) for one in messages] == [
            ("user", ["text"]),
            ("assistant", ["text", "tool_use"]),
            ("user", ["tool_result"]),
            ("assistant", ["tool_use"]),
            ("user", ["tool_result"]),
            ("assistant", ["text"]),
        ]
        assert "the answer is 42" in json.dumps(messages[2]["content"])
        usage = answer.json()["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (1110, 7), "those of every step"
        upstream.play(says("Still here."))
        again = await ask(gateway, "sure?", session=session)
        assert again.json()["choices"][0]["message"]["content"] == "Still here."


@pytest.mark.parametrize("gone", ["its process", "the gateway"])
async def test_it_goes_on_with_everything_it_did(tmp_path: Path, upstream: StandIn, gone: str) -> None:
    async with at_work(tmp_path / "one", upstream, tmp_path / "data") as (gateway, project):
        place = Path(project["path"])
        (place / "notes.txt").write_text("42\n")
        upstream.play(calls(ToolUse("toolu_1", "Read", {"file_path": str(place / "notes.txt")})))
        upstream.play(says("I have read it."))
        session = (await ask(gateway, "read", project["id"])).headers["x-session-id"]
        upstream.play(says("It was 42."))
        if gone == "its process":
            assert (await ask(gateway, "what was it?", session=session)).status_code == 200
    if gone == "the gateway":
        async with at_work(tmp_path / "two", upstream, tmp_path / "data") as (gateway, project):
            # The client sends what it has seen: one answer.
            body = {
                "model": MODEL,
                "messages": [
                    {"role": "user", "content": "read"},
                    {"role": "assistant", "content": "I have read it."},
                    {"role": "user", "content": "what was it?"},
                ],
            }
            answer = await gateway.http.post("/v1/chat/completions", json=body)
            assert answer.headers["x-session-id"] == session
    (result,) = results_upstream(upstream)
    assert result["tool_use_id"] == "toolu_1"
    assert "42" in json.dumps(result["content"])
    assert len(upstream.messages) == 3


async def test_after_a_call_that_nobody_offered_the_session_goes_on(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        upstream.play(calls(ToolUse("toolu_1", "Glob", {"pattern": "*"}), ToolUse("toolu_2", "Bash", {"command": "x"})))
        upstream.play(says("I cannot."), says("Still here."))
        session = (await ask(gateway, "look", project["id"])).headers["x-session-id"]
        again = await ask(gateway, "sure?", session=session)
        assert again.status_code == 200, again.text
        assert [result["is_error"] for result in results_upstream(upstream)] == [True, True]


CUT = {
    "in its words": (Text("Half an ans"),),
    "before its words": (Text(""),),
    "in a call": (Text("So: "), ToolUse("toolu_1", "Write", '{"file_path": "/nowhere", "content": "half of')),
    "between calls": (ToolUse("toolu_1", "Glob", {"pattern": "*"}), ToolUse("toolu_2", "Write", '{"file_')),
}


@pytest.mark.parametrize("steps", CUT.values(), ids=CUT)
async def test_at_its_limit_of_tokens_it_ends_and_the_model_is_not_asked_again(
    tmp_path: Path, upstream: StandIn, steps: tuple[Text | ToolUse, ...]
) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        upstream.always(says("Recovered."))
        upstream.play(Answer(steps, stop_reason="max_tokens", usage=Usage(10, 16)))
        answer = await ask(gateway, "tell", project["id"], max_tokens=16)
        assert answer.status_code == 200, answer.text
        (choice,) = answer.json()["choices"]
        said = "".join(step.text for step in steps if isinstance(step, Text))
        assert (choice["finish_reason"], choice["message"]["content"] or "") == ("length", said)
        assert answer.json()["usage"]["completion_tokens"] == 16
        assert len(upstream.messages) == 1
        again = await ask(gateway, "go on", session=answer.headers["x-session-id"])
        assert again.json()["choices"][0]["message"]["content"] == "Recovered."
        assert len(upstream.messages) == 2
        assert "Output token limit hit" not in json.dumps(upstream.messages[-1].body)


async def test_after_a_step_it_ends_at_its_limit_too_and_every_dialect_says_so(
    tmp_path: Path, upstream: StandIn
) -> None:
    said = [{"role": "user", "content": "hi"}]
    asked: dict[str, dict[str, Any]] = {
        "/v1/completions": {"prompt": "hi"},
        "/v1/responses": {"input": "hi", "max_output_tokens": 16},
        "/v1/messages": {"messages": said, "max_tokens": 16},
    }
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        note = Path(project["path"]) / "notes.txt"
        note.write_text("42\n")
        answers = []
        for number, (path, body) in enumerate(asked.items(), 1):
            upstream.play(calls(ToolUse(f"toolu_{number}", "Read", {"file_path": str(note)})))
            upstream.play(Answer((Text("It says"),), stop_reason="max_tokens"))
            sent = {"model": MODEL, **body}
            answer = await gateway.http.post(path, json=sent, headers={"x-project-id": project["id"]})
            assert answer.status_code == 200, answer.text
            assert len(upstream.messages) == 2 * number
            sent_on: Any = upstream.messages[-1].body
            assert sent_on["max_tokens"] == 16
            answers.append(answer.json())
        completion, response, message = answers
        assert (completion["choices"][0]["text"], completion["choices"][0]["finish_reason"]) == ("It says", "length")
        assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert (message["content"][0]["text"], message["stop_reason"]) == ("It says", "max_tokens")


@pytest.mark.parametrize("profile", ["read", "edit"])
async def test_what_it_may_not_do_is_denied(tmp_path: Path, upstream: StandIn, profile: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("marker-of-a-secret\n")
    async with at_work(tmp_path / "run", upstream, tmp_path / "data", profile) as (gateway, project):
        place = Path(project["path"])
        link(place / "link", secret)
        upstream.play(
            calls(
                ToolUse("toolu_1", "Read", {"file_path": str(secret)}),
                ToolUse("toolu_2", "Read", {"file_path": str(place / "link")}),
                ToolUse("toolu_3", "Write", {"file_path": str(tmp_path / "planted"), "content": "x"}),
                ToolUse("toolu_4", "Bash", {"command": f"cat {secret}"}),
                ToolUse("toolu_5", "Write", {"file_path": str(place / ".claude/settings.json"), "content": "{}"}),
            )
        )
        upstream.play(says("I could not."))
        answer = await ask(gateway, "try", project["id"])
        assert answer.status_code == 200, answer.text
        results = results_upstream(upstream)
        assert [result.get("is_error") for result in results] == [True] * 5
        assert "marker-of-a-secret" not in json.dumps(upstream.messages[-1].body)
        assert not (tmp_path / "planted").exists()
        assert not (place / ".claude").exists()


async def test_a_hostile_directory_is_inert(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        place, marker = Path(project["path"]), tmp_path / "ran"
        (place / ".claude").mkdir()
        hook = [{"hooks": [{"type": "command", "command": f"touch {marker}"}]}]
        events = ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop", "SessionEnd")
        settings = {"hooks": dict.fromkeys(events, hook), "apiKeyHelper": f"touch {marker}"}
        (place / ".claude/settings.json").write_text(json.dumps(settings))
        server = {"mcpServers": {"evil": {"command": "touch", "args": [str(marker)]}}}
        (place / ".mcp.json").write_text(json.dumps(server))
        (place / "CLAUDE.md").write_text("marker-of-claude-md")
        (place.parent / "CLAUDE.md").write_text("marker-of-claude-md")
        upstream.play(calls(ToolUse("toolu_1", "Read", {"file_path": str(place / "CLAUDE.md")})))
        upstream.play(says("done"))
        assert (await ask(gateway, "read", project["id"])).status_code == 200
        assert not marker.exists()
        first: Any = upstream.messages[0].body
        assert "marker-of-claude-md" not in json.dumps(first)


@pytest.mark.parametrize("text", ["@notes.txt", "@{place}/notes.txt", "/clear", "/compact", "!ls", "# remember"])
async def test_text_is_literal_here_too(tmp_path: Path, upstream: StandIn, text: str) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        place = Path(project["path"])
        (place / "notes.txt").write_text("marker-of-a-file")
        text = text.format(place=place)
        upstream.play(says("ok"))
        answer = await ask(gateway, text, project["id"])
        assert answer.status_code == 200, answer.text
        body: Any = upstream.messages[-1].body
        said = [block.get("text") for message in body["messages"] for block in blocks_of(message)]
        assert text in said
        assert "marker-of-a-file" not in json.dumps(body)


async def test_a_stream_and_an_interrupt(tmp_path: Path, upstream: StandIn) -> None:
    async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
        place = Path(project["path"])
        (place / "notes.txt").write_text("42\n")
        upstream.play(calls(ToolUse("toolu_1", "Read", {"file_path": str(place / "notes.txt")})))
        upstream.play(says("done"))
        made = (await gateway.http.post("/v1/sessions", json={"project_id": project["id"]})).json()
        assert made["profile"] == "edit"
        live = await gateway.http.get(f"/claude/stream/{made['id']}", params={"query": "go"})
        assert '"type":"complete"' in live.text


class TestProfiles:
    async def test_the_least_of_project_and_session_counts(self, tmp_path: Path, upstream: StandIn) -> None:
        async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
            for profile, offered in (("read", {"Read"}), ("edit", {"Read", "Edit", "Write"}), ("chat", set[str]())):
                wanted = {"project_id": project["id"], "profile": profile}
                session = (await gateway.http.post("/v1/sessions", json=wanted)).json()["id"]
                upstream.play(says("ok"))
                assert (await ask(gateway, "hi", session=session)).status_code == 200
                assert offered_upstream(upstream) == offered

    async def test_a_request_lowers_it_for_its_own_turn(self, tmp_path: Path, upstream: StandIn) -> None:
        every = {"Read", "Edit", "Write"}
        wanted = (("chat", set[str]()), ("read", {"Read"}), (None, every), ("edit", every), ("full", every))
        async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
            secret = Path(project["path"]) / "notes.txt"
            secret.write_text("marker-of-a-file")
            session = ""
            for profile, offered in wanted:
                upstream.play(says("ok"))
                answer = await ask(gateway, "hi", project["id"], session, profile=profile)
                assert answer.status_code == 200, answer.text
                assert offered_upstream(upstream) == offered, profile
                assert session in {"", answer.headers["x-session-id"]}
                session = answer.headers["x-session-id"]
            upstream.play(calls(ToolUse("toolu_1", "Write", {"file_path": str(secret), "content": "x"})), says("no"))
            await ask(gateway, "write", session=session, profile="read")
            (result,) = results_upstream(upstream)
            assert result["is_error"]
            assert secret.read_text() == "marker-of-a-file"

    async def test_a_header_lowers_it_in_every_dialect(self, tmp_path: Path, upstream: StandIn) -> None:
        said = [{"role": "user", "content": "hi"}]
        asked: dict[str, dict[str, Any]] = {
            "/v1/completions": {"prompt": "hi", "max_tokens": 100},
            "/v1/responses": {"input": "hi"},
            "/v1/messages": {"messages": said, "max_tokens": 100},
        }
        async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
            session = ""
            for path, body in asked.items():
                for more, offered in (({"x-profile": "read"}, {"Read"}), ({}, {"Read", "Edit", "Write"})):
                    upstream.play(says("ok"))
                    headers = {"x-project-id": project["id"], **more}
                    answer = await gateway.http.post(path, json={"model": MODEL, **body}, headers=headers)
                    assert answer.status_code == 200, answer.text
                    assert offered_upstream(upstream) == offered, path
                    session = answer.headers["x-session-id"]
            upstream.play(says("ok"))
            params = {"query": "hi", "profile": "chat"}
            assert '"type":"complete"' in (await gateway.http.get(f"/claude/stream/{session}", params=params)).text
            assert offered_upstream(upstream) == set()

    async def test_what_needs_a_sandbox_is_refused_with_the_reason(self, tmp_path: Path, upstream: StandIn) -> None:
        async with at_work(tmp_path / "run", upstream, tmp_path / "data", "shell") as (gateway, project):
            answer = await ask(gateway, "hi", project["id"])
            assert answer.status_code == 503
            assert "needs a jail" in answer.json()["error"]["message"]
            assert len(upstream.messages) == 0
            assert (await gateway.http.get("/v1/sessions")).json()["total"] == 0

    async def test_functions_of_the_clients_and_several_answers_do_not_go_with_it(
        self, tmp_path: Path, upstream: StandIn
    ) -> None:
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
            for more, param in (({"tools": [tool]}, "tools"), ({"n": 2}, "n")):
                answer = await ask(gateway, "hi", project["id"], **more)
                assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)

    async def test_a_directory_that_is_gone_or_a_link(self, tmp_path: Path, upstream: StandIn) -> None:
        async with at_work(tmp_path / "run", upstream, tmp_path / "data") as (gateway, project):
            place = Path(project["path"])
            remove(place)
            assert (await ask(gateway, "hi", project["id"])).status_code == 409
            link(place, tmp_path)
            assert (await ask(gateway, "hi", project["id"])).status_code == 409
            assert len(upstream.messages) == 0
            assert (await ask(gateway, "hi", SOME_ID)).status_code == 404


TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"


def said_upstream(upstream: StandIn) -> list[str]:
    """What of the conversation the model was told last, message by message."""
    body: Any = upstream.messages[-1].body
    spoken = [message for message in body["messages"] if message["role"] != "system"]
    return [json.dumps(message["content"]) for message in spoken]


@pytest.mark.parametrize("when", ["at once", "after a step"])
@pytest.mark.parametrize("gone", ["its process", "the gateway"])
async def test_what_outgrew_the_model_stays_summed_up(tmp_path: Path, upstream: StandIn, when: str, gone: str) -> None:
    told: list[dict[str, str]] = []
    async with at_work(tmp_path / "one", upstream, tmp_path / "data") as (gateway, project):
        note = Path(project["path"]) / "notes.txt"
        note.write_text("42\n")
        session = ""
        for number in range(4):
            upstream.play(calls(ToolUse(f"toolu_{number}", "Read", {"file_path": str(note)})))
            upstream.play(says(f"answer {number}"))
            answer = await ask(gateway, f"question {number}", project["id"], session)
            session = answer.headers["x-session-id"]
            told += [{"role": "user", "content": f"question {number}"}]
            told += [{"role": "assistant", "content": f"answer {number}"}]
        if when == "after a step":
            upstream.play(calls(ToolUse("toolu_last", "Read", {"file_path": str(note)})))
        upstream.play(fails(400, TOO_LONG))
        upstream.play(Answer((Text("<summary>All about 42.</summary>"),), usage=Usage(500, 50)))
        upstream.play(Answer((Text("Gone on."),), usage=Usage(30, 3)))
        answer = await ask(gateway, "the last straw", session=session)
        assert answer.json()["choices"][0]["message"]["content"] == "Gone on."
        assert answer.json()["usage"]["prompt_tokens"] >= 530, "the summary is paid for, too"
        last = said_upstream(upstream)
        assert "All about 42." in last[0]
        assert "question 0" not in json.dumps(last)
        kept_verbatim = [text for text in ("answer 1", "answer 2", "answer 3") if text in json.dumps(last)]
        assert kept_verbatim
        assert "answer 3" in kept_verbatim
        messages = await kept(gateway, session)
        assert "question 0" in json.dumps(messages), "nothing that was said is lost"
        (cut,) = [message for message in messages if message["summary"]]
        assert "All about 42." in cut["summary"]
        if gone == "its process":
            upstream.play(says("Still known."))
            await ask(gateway, "and now?", session=session)
    if gone == "the gateway":
        async with at_work(tmp_path / "two", upstream, tmp_path / "data") as (gateway, project):
            # The client knows nothing of a summary: it sends all that it has seen.
            seen = [*told, {"role": "user", "content": "the last straw"}, {"role": "assistant", "content": "Gone on."}]
            upstream.play(says("Still known."))
            body = {"model": MODEL, "messages": [*seen, {"role": "user", "content": "and now?"}]}
            answer = await gateway.http.post("/v1/chat/completions", json=body)
            assert answer.headers["x-session-id"] == session
            exported = (await gateway.http.get(f"/v1/sessions/{session}/export")).text
            assert '"compact_boundary"' in exported
            assert '"isCompactSummary":true' in exported
    again = said_upstream(upstream)
    assert "All about 42." in again[0]
    assert "question 0" not in json.dumps(again)
    assert [text for text in ("answer 1", "answer 2", "answer 3") if text in json.dumps(again)] == kept_verbatim
    assert "the last straw" in json.dumps(again)
    assert "and now?" in again[-1]
