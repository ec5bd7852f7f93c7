"""Two tenants of one gateway: ann, who has one of everything, and bob, who asks for it.

Everything of ann's that can be read holds a mark, so that a single byte of it in an answer of bob's is seen.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from claude_code_api.engine.scripted import AskFor, ScriptedEngine, Step, WaitFor
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.events import ApprovalWanted
from claude_code_api.turn.request import TextBlock
from tests.harness.waiting import BOUND_S
from tests.http.loopback import CHAT, Door, Running, answer_events, running
from tests.http.test_api_keys import make

# Of ann's, and of nobody else's.
MARK = "annsmark7f3a"
# What others do not even ask with.
SAID = "annssaying9c2e"
WAITS, ASKS = "and wait", "and ask me"
# What another tenant could say as well; ann has said it.
COMMON = "what is two and two"
# Real limits, so that the answers tell of them, and none that these tests come to.
TERMS = {"requests_per_minute": 100_000, "burst": None, "profile": "edit"}
BOBS_TERMS = {**TERMS, "scopes": ["turns", "manage", "usage", "monitor"], "budget_tokens": 10_000_000_000}
PATIENCE_S = 2 * BOUND_S

Ids = dict[str, str]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(r"[0-9a-f]{32}")


def like(id_: str) -> str:
    """Make another id of the same form, that is nobody's."""
    for form, anew in ((_UUID, str(uuid.uuid4())), (_HEX, uuid.uuid4().hex)):
        if form.search(id_):
            return form.sub(anew, id_)
    # A word.
    return uuid.uuid4().hex[: len(id_)].ljust(len(id_), "x")


def tells_all(door: Door) -> ScriptedEngine:
    """Answers with everything that it was told, so that nothing can be told to it unseen; may wait at a door."""

    def script(plan: Plan) -> Sequence[Step]:
        told = [block.text for block in plan.request.system]
        told += [block.text for said in plan.request.messages for block in said.blocks if isinstance(block, TextBlock)]
        events = answer_events(plan, f"told of {plan.workplace is not None}: ", " | ".join(told))
        if told[-1].endswith(WAITS):
            return [*events[:4], WaitFor(door), *events[4:]]
        if told[-1].endswith(ASKS):
            wanted = ApprovalWanted(
                f"approval-of-{plan.turn_id}", "toolu_1", "Write", {"file_path": MARK}, {"kind": "diff", "diff": MARK}
            )
            return [*events[:4], AskFor(wanted), *events[4:]]
        return events

    return ScriptedEngine(script, count=lambda plan: len(plan.request.messages))


@dataclass
class World:
    """A gateway with bob in it, and ann or not."""

    gateway: Running
    directory: Path
    door: Door
    ann: httpx2.AsyncClient | None
    bob: httpx2.AsyncClient
    bobs_key: str
    # Sets of ids that belong together: ann's, or of the same forms and nobody's.
    foreign: list[Ids] = field(default_factory=list)
    # Of things of bob's own.
    own: Ids = field(default_factory=dict)
    workplaces: list[Path] = field(default_factory=list)
    # Turns of ann's that run.
    asking: list[asyncio.Task[httpx2.Response]] = field(default_factory=list)


@asynccontextmanager
async def a_world(
    directory: Path, forms: Sequence[Ids] | None = None, *, allow_list: bool = False
) -> AsyncIterator[World]:
    """Begin a world in a directory. With `forms`, the ids of another world, it has no ann, and bob asks for nobody's.

    With `allow_list`, keys may use projects that an admin has made; one of them is both tenants'.
    """
    door = Door()
    async with running(tells_all(door), data_dir=directory, patience_s=PATIENCE_S) as gateway:
        shared: list[str] | None = None
        anns: list[str] | None = None
        if allow_list:
            shared = [await a_project(gateway.http, "shared")]
            anns = [*shared, await a_project(gateway.http, f"{MARK} {SAID} project")]
        bob = await make(gateway, "bob", projects=shared, **BOBS_TERMS)
        async with client_of(gateway, bob["key"]) as bobs:
            world = World(gateway, directory, door, None, bobs, bob["key"])
            world.own = await bobs_things(bobs, shared)
            if forms is not None:
                world.foreign = [{kind: like(id_) for kind, id_ in ids.items()} for ids in forms]
                yield world
                return
            ann = await make(gateway, f"{MARK} {SAID} key", projects=anns, **TERMS)
            async with client_of(gateway, ann["key"]) as world.ann:
                await give_ann_everything(world, ann["id"], anns)
                yield world


def client_of(gateway: Running, key: str) -> httpx2.AsyncClient:
    return gateway.client(authorization=f"Bearer {key}")


async def a_project(client: httpx2.AsyncClient, name: str) -> str:
    body = {"name": name, "description": name, "profile": "edit", "mode": "ask"}
    return str((await right(client.post("/v1/projects", json=body)))["id"])


async def right(asked: Any) -> Any:
    answer = await asked
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def bobs_things(bob: httpx2.AsyncClient, shared: Sequence[str] | None) -> Ids:
    project = shared[0] if shared else await a_project(bob, "bobs project")
    session = await right(bob.post("/v1/sessions", json={"title": "bobs", "project_id": project}))
    said = {"model": "sonnet", "input": "bob says", "session_id": session["id"]}
    response = await right(bob.post("/v1/responses", json=said))
    return {"project_id": project, "session_id": session["id"], "response_id": response["id"]}


# One of everything


async def give_ann_everything(world: World, key_id: str, projects: Sequence[str] | None) -> None:
    """Make one of everything that has an id: at rest, at work, and waiting for a person."""
    ann = world.ann
    assert ann is not None
    given = list(projects) if projects else [await a_project(ann, f"{MARK} {SAID} project")]
    for project in given:
        place = Path((await right(ann.get(f"/v1/projects/{project}")))["path"])
        (place / f"{MARK}.txt").write_text(MARK)
        world.workplaces.append(place)
    rest = {"key_id": key_id, "project_id": given[-1], "word": MARK, "said": SAID}
    for project, ending in ((given[0], ""), (given[-1], WAITS), (given[-1], ASKS)):
        world.foreign.append(await one_session(world, project, ending) | rest)
    background = {"model": "sonnet", "input": f"{MARK} {WAITS}", "background": True}
    once = {"idempotency": f"{MARK}-{uuid.uuid4()}", "once_more": f"{MARK}-{uuid.uuid4()}"}
    answer = await ann.post("/v1/responses", json=background, headers={"idempotency-key": once["idempotency"]})
    found = await ids_in(ann, answer.headers["x-session-id"])
    world.foreign.append({**world.foreign[0], **found, **once, "response_id": answer.json()["id"]})
    await world.door.reached.wait()


async def one_session(world: World, project: str, ending: str) -> Ids:
    """Begin a session in which there was a turn, and another one runs if the ending has it wait."""
    ann = world.ann
    assert ann is not None
    wanted = {"title": f"{MARK} {SAID} title", "system_prompt": f"{MARK} {SAID} system", "project_id": project}
    session = (await right(ann.post("/v1/sessions", json=wanted)))["id"]
    once = {"idempotency": f"{MARK}-{uuid.uuid4()}", "once_more": f"{MARK}-{uuid.uuid4()}"}
    body = {"model": "sonnet", "messages": [{"role": "user", "content": f"{MARK} text"}]}
    for key in once.values():
        await right(ann.post(CHAT, json=body, headers={"x-session-id": session, "idempotency-key": key}))
    # A conversation that names no session is known by what was said in it.
    await right(ann.post(CHAT, json={"model": "sonnet", "messages": [{"role": "user", "content": COMMON}]}))
    response = await right(
        ann.post("/v1/responses", json={"model": "sonnet", "input": f"{MARK} {SAID}", "session_id": session})
    )
    found = {"response_id": response["id"], "approval_id": f"approval-of-{uuid.uuid4()}"}
    if ending:
        path = f"/claude/stream/{session}"
        turn = asyncio.create_task(ann.get(path, params={"query": f"{MARK} {ending}"}, timeout=PATIENCE_S))
        world.asking.append(turn)
        await until_it_runs(world.gateway, len(world.asking))
    if ending == ASKS:
        found["approval_id"] = await approval_in(ann, session)
    return {**await ids_in(ann, session), **once, **found}


async def until_it_runs(gateway: Running, number: int) -> None:
    while gateway.engine.running < number:
        await right(gateway.http.get("/v1/models"))


async def approval_in(client: httpx2.AsyncClient, session: str) -> str:
    while True:
        found = await right(client.get(f"/v1/sessions/{session}/approvals"))
        if found["data"]:
            return str(found["data"][0]["id"])


async def ids_in(ann: httpx2.AsyncClient, session: str) -> Ids:
    said = (await right(ann.get(f"/v1/sessions/{session}/messages")))["data"]
    return {"session_id": session, "message_id": said[0]["id"], "turn_id": said[0]["turn_id"]}


# What ann sees


async def all_of_anns(world: World) -> Mapping[str, Any]:
    """Read everything of hers, and everything that is kept for her."""
    ann = world.ann
    assert ann is not None
    sessions = (await right(ann.get("/v1/sessions", params={"limit": 100})))["data"]
    projects = (await right(ann.get("/v1/projects", params={"limit": 100})))["data"]
    paths = ["/v1/sessions/stats", "/v1/usage?group_by=session,project,model", "/v1/models"]
    for session in sessions:
        path = f"/v1/sessions/{session['id']}"
        paths += [path, *(f"{path}/{part}" for part in ("messages", "approvals", "files", "export"))]
    paths += [f"/v1/projects/{project['id']}" for project in projects]
    for response in {ids["response_id"] for ids in world.foreign}:
        paths += [f"/v1/responses/{response}", f"/v1/responses/{response}/input_items"]
    found: dict[str, Any] = {path: (await ann.get(path)).content for path in paths}
    key = await right(world.gateway.http.get(f"/v1/keys/{world.foreign[0]['key_id']}"))
    files = {str(file): file.read_bytes() for place in world.workplaces for file in place.rglob("*") if file.is_file()}
    at_work = (world.gateway.engine.verdicts, world.gateway.engine.modes, world.gateway.engine.left_early)
    # It is ann herself who uses her key to look.
    return (
        found | files | {"key": key | {"last_used_at": None}, "at_work": repr(at_work), "lists": (sessions, projects)}
    )


async def let_ann_come_to_an_end(world: World) -> list[httpx2.Response]:
    """Open the door, and have ann allow what she was asked."""
    ann = world.ann
    assert ann is not None
    world.door.set()
    path = "/v1/sessions/{session_id}/approvals/{approval_id}".format(**world.foreign[2])
    await right(ann.post(path, json={"decision": "allow"}))
    answers = await asyncio.gather(*world.asking)
    while world.gateway.engine.running:
        await right(world.gateway.http.get("/v1/models"))
    return answers
