"""A prompt that a hook of its project refused: each dialect says so in its own shape, streamed or not."""

from __future__ import annotations

import pytest

from claude_code_api.engine.failures import stopped_by_hook
from tests.http.loopback import plays, running
from tests.http.test_live import frames
from tests.http.test_projects import make
from tests.http.test_request_profiles import BODIES

SAID = "A hook of the project refused this prompt: no secrets here"


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_it_is_a_403_with_the_hooks_words(path: str, stream: bool) -> None:
    async with running(plays([stopped_by_hook("no secrets here")])) as gateway:
        headers = {"x-project-id": (await make(gateway, profile="edit"))["id"]}
        answer = await gateway.http.post(path, json={**BODIES[path], "stream": stream}, headers=headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["message"]) == (403, "permission_error", SAID)
        assert answer.headers["x-should-retry"] == "false"


async def test_a_live_stream_says_it_too() -> None:
    async with running(plays([stopped_by_hook("no secrets here")])) as gateway:
        project = (await make(gateway, profile="edit"))["id"]
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project})).json()["id"]
        live = await gateway.http.get(f"/claude/stream/{session}", params={"query": "hi"})
        told = live.json()["error"] if live.status_code != 200 else frames(live.text)[-1]
        assert SAID in (told.get("message"), told.get("error"))
