"""What the gateway says of itself."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser

from typing_extensions import override

from claude_code_api import __version__
from claude_code_api.flow.options import FlowOptions
from claude_code_api.turn.errors import ErrorKind, TurnError
from tests.http.loopback import CHAT, SOME_ID, Door, Running, filled, routes_of, running, stops_at


async def test_healthz_says_one_word(gateway: Running) -> None:
    async with gateway.client() as stranger:
        answer = await stranger.get("/healthz")
        assert (answer.status_code, answer.text) == (200, "ok")
        gateway.runner.draining = True
        answer = await stranger.get("/healthz")
        assert (answer.status_code, answer.text) == (503, "draining")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_health_describes_everything() -> None:
    door = Door()
    async with running(stops_at(1, door), flow=FlowOptions(max_turns=1)) as gateway:
        idle = (await gateway.http.get("/health")).json()
        assert idle == {
            "status": "ok",
            "version": __version__,
            "claude_version": "scripted",
            "credentials": "script",
            "database": "sqlite",
            "active_sessions": 0,
            "waiting_requests": 0,
            "problem": None,
        }
        asked = asyncio.create_task(gateway.post())
        await door.reached.wait()
        busy = (await gateway.http.get("/health")).json()
        assert (busy["active_sessions"], busy["status"]) == (1, "ok")
        gateway.runner.draining = True
        assert (await gateway.http.get("/health")).json()["status"] == "draining"
        assert (await gateway.http.get("/readyz")).status_code == 503
        door.set()
        await asked


async def test_no_credentials_is_not_ready(gateway: Running) -> None:
    assert (await gateway.http.get("/readyz")).json() == {"ready": True, "problem": None}
    gateway.engine.credentials = None
    answer = await gateway.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert "ANTHROPIC_API_KEY" in answer.json()["problem"]
    health = await gateway.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")


async def test_a_cli_that_does_not_work_is_not_ready_and_says_why(gateway: Running) -> None:
    gateway.engine.refusal = TurnError(ErrorKind.ENGINE_UNAVAILABLE, "Run doctor.", "private detail", source="engine")
    answer = await gateway.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "problem": "Run doctor."})
    assert (await gateway.http.get("/health")).json()["claude_version"] is None


async def test_the_index_lists_every_route(gateway: Running) -> None:
    answer = (await gateway.http.get("/")).json()
    listed = {filled(entry) for entry in answer["endpoints"]}
    assert listed == {f"{method} {path}" for method, path in routes_of(gateway)}
    assert answer["version"] == __version__


async def test_openapi_describes_every_route(gateway: Running) -> None:
    document = (await gateway.http.get("/openapi.json")).json()
    assert document["info"]["title"] == "claude-code-api"
    assert document["paths"][CHAT]["post"]["requestBody"]["required"] is True
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len(operations) == len(routes_of(gateway))
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)


class Page(HTMLParser):
    """Reads a page as a browser would."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    @override
    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_docs_are_a_page_that_runs_and_fetches_nothing(gateway: Running) -> None:
    answer = await gateway.http.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "http" not in policy
    page = Page(answer.text)
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "form", "object", "embed", "base"})
    assert page.links == ["/openapi.json"]
    assert page.handlers == []
    assert "@import" not in answer.text
    assert "url(" not in answer.text
    # The only absolute addresses are text to copy, with the name under which the page was asked for.
    assert set(re.findall(r"https?://([^/\s\"'<]+)", answer.text)) == {f"127.0.0.1:{gateway.port}"}
    for _, path in routes_of(gateway):
        assert path.replace("sonnet", "").partition(SOME_ID)[0] in page.text


async def test_the_page_shows_a_name_and_never_markup(gateway: Running) -> None:
    """A host of the kind that is let in cannot hold markup; the page escapes it all the same."""
    answer = await gateway.http.get("/docs", headers={"host": "LOCALHOST:8000"})
    assert "http://LOCALHOST:8000/v1/chat/completions" in answer.text
    assert "{host}" not in answer.text
