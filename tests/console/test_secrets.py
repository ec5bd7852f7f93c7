"""Item 11: no secret is anywhere but where it has to be. Each is a text that can be looked for, and is, everywhere."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from claude_code_api.standin import Answer, Gate, StandIn, Text, ToolUse, calls
from tests.console.gateway_process import GatewayProcess, streaming
from tests.harness.programs import below as descendants
from tests.real_cli.living import files_below

pytestmark = pytest.mark.real_cli

QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}
UPSTREAM, STATIC, PARENT = "sk-ant-marker-upstream-3f1", "cca-marker-static-9b2", "marker-of-the-parent-7c4"
NO_CORE = "Max core file size        0                    0"


@pytest.fixture(scope="module")
def upstream() -> Iterator[StandIn]:
    with StandIn(pace_ms=0) as standin:
        yield standin


@pytest.fixture(autouse=True)
def _clean(upstream: StandIn) -> None:
    upstream.clear()


@dataclass
class Search:
    """Every secret by its name, and every place in which one was found."""

    secrets: dict[str, bytes]
    found: list[str] = field(default_factory=list)
    places: int = 0

    def look(self, place: str, content: bytes, *, but: str = "") -> None:
        self.places += 1
        self.found += [f"{name} in {place}" for name, text in self.secrets.items() if text in content and name != but]

    def look_below(self, directory: Path) -> None:
        for path, text in files_below(directory):
            # The one file that is there to hold a key, and that one alone.
            self.look(str(path), text, but="first" if path.name == "api-key" else "")

    def look_at_processes(self, pids: set[int]) -> None:
        for pid in pids:
            for what in ("environ", "cmdline"):
                # One that has just ended has neither.
                with suppress(FileNotFoundError, ProcessLookupError):
                    self.look(f"/proc/{pid}/{what}", Path(f"/proc/{pid}/{what}").read_bytes())


@contextmanager
def serving(home: Path, upstream: StandIn) -> Iterator[tuple[GatewayProcess, Search]]:
    env = {
        "ANTHROPIC_API_KEY": UPSTREAM,
        "ANTHROPIC_BASE_URL": upstream.base_url,
        "CLAUDE_CODE_API_KEYS": STATIC,
        "AWS_SECRET_ACCESS_KEY": PARENT,
    }
    more = ("--port", "0", "--data-dir", str(home / "data"), "--log-level", "debug")
    with GatewayProcess("serve", *more, home=home, env=env) as gateway:
        secrets = {"upstream": UPSTREAM, "static": STATIC, "parent": PARENT, "first": gateway.key}
        yield gateway, Search({name: text.encode() for name, text in secrets.items()})


def work_in(client: httpx2.Client, profile: str) -> str:
    """Make a session in a project, or one of plain chat."""
    if profile == "chat":
        return str(client.post("/v1/sessions", json={}).json()["id"])
    project = client.post("/v1/projects", json={"name": "p", "profile": profile}).json()
    session = client.post("/v1/sessions", json={"project_id": project["id"]}).json()
    (Path(project["path"]) / "notes.txt").write_text("notes")
    return str(session["id"])


def refused(client: httpx2.Client, stored: str) -> Iterator[httpx2.Response]:
    """Answers to requests that cannot be honoured, each with secrets in it."""
    for secret in (STATIC, UPSTREAM, stored):
        wrong = {"authorization": f"Bearer {secret}x", "x-api-key": f"{secret}y"}
        yield client.post("/v1/messages", json=QUESTION, headers=wrong)
        yield client.post("/v1/chat/completions", json={"model": "sonnet", "messages": [{"role": secret}]})
        yield client.post("/v1/chat/completions", content=b"{" + secret.encode())
        yield client.get(f"/v1/sessions/{secret}")
        yield client.post("/v1/keys", json={"name": "x", "profile": secret})


def agent_steps(profile: str) -> list[Answer]:
    if profile == "chat":
        return []
    if profile == "edit":
        return [calls(ToolUse("t1", "Read", {"file_path": "notes.txt"}))]
    # What it finds would be in the answer, in the database and in what the model is told.
    look = "env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' ' '; grep -r . /run /agent /tmp | head -c 5000"
    return [calls(ToolUse("t1", "Bash", {"command": look}))]


@pytest.mark.parametrize("profile", ["chat", "edit", "shell"])
def test_item_11_secrets_stay_out(tmp_path: Path, upstream: StandIn, profile: str) -> None:
    for step in agent_steps(profile):
        upstream.play(step)
    upstream.play(Answer((Text(pieces=("begun ", Gate("more"), "done")),)))
    with serving(tmp_path, upstream) as (gateway, search), gateway.client() as client:
        stored = client.post("/v1/keys", json={"name": "ci", "profile": profile}).json()["key"]
        search.secrets["stored"] = stored.encode()
        client.headers["x-session-id"] = work_in(client, profile)
        with streaming(client, QUESTION) as lines:
            told = [next(line for line in lines if "begun" in line)]
            below = descendants(gateway.pid)
            assert len(below) >= 2  # a warden and its CLI
            search.look_at_processes(below)
            for pid in {*below, gateway.pid}:
                assert NO_CORE in Path(f"/proc/{pid}/limits").read_text(), f"{pid} may leave its memory in a file"
            # Homes, transcripts, run directories, the database and its log, while all of it is in use.
            search.look_below(tmp_path)
            upstream.release("more")
            told += lines
        with gateway.client() as plain:
            for answer in refused(plain, stored):
                assert answer.status_code >= 400, answer.text
                # What was sent in a path comes back in none, and so does what was sent in a body.
                search.look(f"the answer to {answer.request.method} {answer.status_code}", answer.content)
            for path in ("/v1/keys", "/v1/audit", "/v1/sessions", "/v1/projects", "/health", "/metrics", "/v1/usage"):
                search.look(path, plain.get(path).content)
            search.look("messages", plain.get(f"/v1/sessions/{client.headers['x-session-id']}/messages").content)
        search.look("the stream", "\n".join(told).encode())
    search.look_below(tmp_path)
    search.look("the log", "".join(gateway.log).encode())
    # At the first start it is printed, once, for the person who starts it.
    search.look("the terminal", gateway.welcome.encode(), but="first")
    for received in upstream.messages:
        search.look("what the model was asked", json.dumps(received.body).encode())
    asked = json.dumps([received.body for received in upstream.messages])
    assert ("PWD=/project" in asked) is (profile == "shell"), "what the agent found was told to the model"
    assert search.found == []
    assert search.places > 40


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this")
def test_item_11_a_gateways_memory_is_its_own() -> None:
    # What there is to see of it differs for root, who may look at everything.
    program = (
        "import ctypes, resource; from claude_code_api.console.serving import keep_memory_private as keep; keep();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["0", "0", "0"]


def test_the_search_itself_finds(tmp_path: Path) -> None:
    """Nothing found means something only if what is there is found: also in a log of the database's."""
    search = Search({"upstream": UPSTREAM.encode()})
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (?)", [UPSTREAM])
        connection.commit()
        search.look_below(tmp_path)
    assert any(place.endswith("-wal") for place in search.found)
