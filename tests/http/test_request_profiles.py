"""A request that lowers what its agent may do: in every dialect, for one turn, and never the other way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest

from claude_code_api.engine.scripted import ScriptedEngine
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.profile import Profile
from tests.flow.talk import you
from tests.http.loopback import CHAT, SOME_ID, Running, asking, running
from tests.http.test_api_keys import holder
from tests.http.test_live import frames, socket, told_until
from tests.http.test_projects import make
from tests.http.test_sessions import echoes, get, last_plan, say

MESSAGES = {"model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
RESPONSE = {"model": "sonnet", "input": "hi"}
COUNT = "/v1/messages/count_tokens"
BODIES: Mapping[str, dict[str, Any]] = {
    CHAT: asking(),
    "/v1/completions": {"model": "sonnet", "prompt": "hi"},
    "/v1/responses": RESPONSE,
    "/v1/messages": MESSAGES,
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture
async def echoing() -> AsyncIterator[Running]:
    async with running(echoes()) as gateway:
        yield gateway


def worked(plan: Plan) -> tuple[Profile, bool]:
    """As what a turn ran, and whether it had a place to work at."""
    return plan.profile, plan.workplace is not None


async def at_work(gateway: Running, profile: str = "full") -> str:
    """Make a session that is at work in a project of that profile."""
    project = (await make(gateway, profile=profile))["id"]
    made = await gateway.http.post("/v1/sessions", json={"project_id": project})
    session: str = made.json()["id"]
    return session


async def lower(
    gateway: Running, session: str, *words: str, path: str = CHAT, client: httpx2.AsyncClient | None = None, **more: Any
) -> httpx2.Response:
    """Send a turn with these words in headers."""
    headers = [("x-session-id", session), *(("x-profile", word) for word in words)]
    return await (client or gateway.http).post(path, json={**BODIES[path], **more}, headers=headers)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("said", ["in a header", "in the body"])
async def test_it_holds_in_every_dialect_and_for_one_turn(echoing: Running, path: str, said: str) -> None:
    session = await at_work(echoing)
    if said == "in a header":
        answer = await lower(echoing, session, "read", path=path)
    else:
        answer = await lower(echoing, session, path=path, profile="read")
    assert answer.status_code == 200, answer.text
    assert worked(last_plan(echoing)) == (Profile.READ, True)
    assert "x-ignored-params" not in answer.headers
    assert (await get(echoing, f"/v1/sessions/{session}"))["profile"] == "full"
    await lower(echoing, session, path=path)
    assert worked(last_plan(echoing)) == (Profile.FULL, True)


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("wanted", Profile)
async def test_the_least_counts(echoing: Running, profile: Profile, wanted: Profile) -> None:
    session = await at_work(echoing, profile.value)
    await lower(echoing, session, wanted.value)
    order = list(Profile)
    least = order[min(order.index(profile), order.index(wanted))]
    assert worked(last_plan(echoing)) == (least, least is not Profile.CHAT)


async def test_the_key_still_counts(echoing: Running) -> None:
    project = (await make(echoing, profile="full"))["id"]
    async with holder(echoing, projects=[project], profile="edit") as theirs:
        for wanted, profile in (("full", Profile.EDIT), ("read", Profile.READ)):
            await say(echoing, you("a"), client=theirs, project_id=project, profile=wanted)
            assert worked(last_plan(echoing)) == (profile, True)


async def test_of_several_words_the_least_counts(echoing: Running) -> None:
    session = await at_work(echoing)
    await lower(echoing, session, "full", "read")
    assert last_plan(echoing).profile is Profile.READ, "a proxy has added its own behind the client's"
    await lower(echoing, session, "shell, edit")
    assert last_plan(echoing).profile is Profile.EDIT
    await lower(echoing, session, "edit", profile="full")
    assert last_plan(echoing).profile is Profile.EDIT
    await lower(echoing, session, "edit", profile="read")
    assert last_plan(echoing).profile is Profile.READ


async def test_outside_of_a_project_there_is_nothing_to_raise(echoing: Running) -> None:
    answer = await say(echoing, you("a"), profile="full")
    assert answer.status_code == 200
    assert worked(last_plan(echoing)) == (Profile.CHAT, False)


async def test_a_session_that_begins_lowered_is_not_a_lower_one(echoing: Running) -> None:
    project = (await make(echoing, profile="edit"))["id"]
    answer = await say(echoing, you("a"), project_id=project, profile="chat")
    assert answer.headers["x-project-id"] == project
    assert worked(last_plan(echoing)) == (Profile.CHAT, False)
    await say(echoing, you("b"), session=answer.headers["x-session-id"])
    assert worked(last_plan(echoing)) == (Profile.EDIT, True)


async def test_as_chat_functions_of_the_clients_go_with_it(echoing: Running) -> None:
    session = await at_work(echoing, "edit")
    refused = await lower(echoing, session, tools=[TOOL])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools")
    assert (await lower(echoing, session, "chat", tools=[TOOL])).status_code == 200
    assert [tool.name for tool in last_plan(echoing).request.tools] == ["f"]


async def test_what_cannot_be_had_is_not_asked_for() -> None:
    engine = ScriptedEngine(echoes().script, reasons={Profile.SHELL: "there is no jail"})
    async with running(engine) as gateway:
        session = await at_work(gateway, "shell")
        assert (await lower(gateway, session)).status_code == 503
        assert (await lower(gateway, session, "edit")).status_code == 200
        assert worked(last_plan(gateway)) == (Profile.EDIT, True)


@pytest.mark.parametrize("word", ["root", "", "READ", "read,", "read;edit", "x" * 70, "caf\xe9"])
@pytest.mark.parametrize("path", [*BODIES, COUNT])
async def test_a_word_that_says_nothing_is_refused_by_name(echoing: Running, path: str, word: str) -> None:
    headers = [(b"x-profile", word.encode("latin-1"))]
    body = BODIES.get(path, MESSAGES)
    answers = [
        await echoing.http.post(path, json=body, headers=headers),
        await echoing.http.post(path, json={**body, "profile": word}),
    ]
    for answer, param in zip(answers, ("x-profile", "profile"), strict=True):
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
        assert "chat, read, edit, shell, full" in error["message"]
        assert "There is no profile `" in error["message"]
        if "messages" not in path:
            assert error["param"] == param
    assert "profile `root`" in answers[0].text or word != "root"
    assert echoing.engine.plans == []


async def test_a_response_in_the_background(echoing: Running) -> None:
    session = await at_work(echoing)
    answer = await lower(echoing, session, "edit", path="/v1/responses", background=True)
    assert answer.status_code == 200, answer.text
    async with echoing.http.stream("GET", f"/v1/responses/{answer.json()['id']}", params={"stream": True}) as events:
        assert "response.completed" in (await events.aread()).decode()
    assert worked(last_plan(echoing)) == (Profile.EDIT, True)


async def test_one_that_goes_on_from_a_response(echoing: Running) -> None:
    session = await at_work(echoing)
    first = (await lower(echoing, session, "read", path="/v1/responses")).json()["id"]
    for words, profile in (((), Profile.FULL), (("edit",), Profile.EDIT)):
        # The second time the session has gone on, and it is forked.
        headers = [("x-profile", word) for word in words]
        body = {**RESPONSE, "previous_response_id": first}
        assert (await echoing.http.post("/v1/responses", json=body, headers=headers)).status_code == 200
        assert worked(last_plan(echoing)) == (profile, True)


class TestLive:
    @pytest.mark.parametrize(
        ("params", "headers"), [({"profile": "read"}, {}), ({}, {"x-profile": "read"}), ({"profile": "full"}, {})]
    )
    async def test_a_stream(self, echoing: Running, params: dict[str, str], headers: dict[str, str]) -> None:
        session = await at_work(echoing, "edit")
        url = f"/claude/stream/{session}"
        answer = await echoing.http.get(url, params={"query": "hi", **params}, headers=headers)
        assert frames(answer.text)[-1]["type"] == "complete"
        wanted = Profile.EDIT if "full" in params.values() else Profile.READ
        assert worked(last_plan(echoing)) == (wanted, True)

    @pytest.mark.parametrize("word", ["root", ""])
    async def test_a_stream_that_says_nothing(self, echoing: Running, word: str) -> None:
        for params, headers in (({"profile": word}, {}), ({}, {"x-profile": word})):
            url = f"/claude/stream/{SOME_ID}"
            answer = await echoing.http.get(url, params={"query": "hi", **params}, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] in {"profile", "x-profile"}
        assert echoing.engine.plans == []

    async def test_a_prompt_of_a_socket(self, echoing: Running) -> None:
        async with socket(echoing, await at_work(echoing)) as talk:
            for more, profile in (({"profile": "read"}, Profile.READ), ({}, Profile.FULL)):
                await talk.send(json.dumps({"type": "prompt", "text": "hi", **more}))
                await told_until(talk, "complete")
                assert worked(last_plan(echoing)) == (profile, True)
            await talk.send('{"type": "prompt", "text": "hi", "profile": "root"}')
            (told,) = await told_until(talk, "error")
            assert (told["code"], told["param"]) == ("invalid_request", "profile")

    async def test_a_socket_that_was_opened_with_less(self, echoing: Running) -> None:
        session = await at_work(echoing)
        headers = {"x-profile": "edit"}
        async with socket(echoing, session, more_headers=headers) as talk:
            for prompt, profile in (
                ("hi", Profile.EDIT),
                ('{"type": "prompt", "text": "hi"}', Profile.EDIT),
                ('{"type": "prompt", "text": "hi", "profile": "full"}', Profile.EDIT),
                ('{"type": "prompt", "text": "hi", "profile": "read"}', Profile.READ),
            ):
                await talk.send(prompt)
                await told_until(talk, "complete")
                assert worked(last_plan(echoing)) == (profile, True)
        async with socket(echoing, session, more_headers={"x-profile": "root"}) as talk:
            await talk.send("hi")
            assert (await told_until(talk, "error"))[-1]["param"] == "x-profile"
