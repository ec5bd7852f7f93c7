"""Every route, asked by one tenant for what is another's, answers as if it were nobody's: byte for byte.

Three answers are held against each other: for an id of ann's, for one of the same form that is nobody's, and what bob
is told in a world without ann. The routes are the router's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from claude_code_api.dialects.native import event_id
from claude_code_api.flow.key_records import Scope
from tests.http.loopback import CHAT, Running, every_route
from tests.http.tenants import COMMON, MARK, PATIENCE_S, Ids, World, a_world, all_of_anns, let_ann_come_to_an_end, like
from tests.http.test_api_keys import guarded_routes
from tests.http.test_live import socket, told_until

SOCKET = "WEBSOCKET"
# What stands for itself in a path.
PLACE = re.compile(r"\{\w+\}")
NOBODYS = {"model_id:path": "sonnet"}
IDS_IN_PATHS = {"project_id", "session_id", "response_id", "key_id", "approval_id"}
# Query parameters that name something of somebody's, and those that name nothing.
NAMING = {"after", "project_id", "session_id", "since", "search", "key"}
PLAIN = {"limit", "order", "stream", "starting_after", "files", "expired", "format", "query", "group_by"}
PLAIN |= {"until", "model", "revoked", "kind", "profile"}
# Of the answer's moment, or of how often was asked: of nobody's things.
UNLIKE_HEADERS = re.compile(
    r"date|request-id|x-request-id|.*-reset.*|.*-remaining-(?:requests|tokens)|.*-(?:requests|tokens)-remaining|.*-ms"
)
TIMES = re.compile(r"\b1[789]\d{8}(\.\d+)?\b|\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")
# Packed, texts of one length have many; and the page of documentation tells the name that it was asked under.
JSON = {"content-type": "application/json", "accept-encoding": "identity", "host": "localhost"}
# Ids of turns, messages and sessions that bob makes himself.
MADE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![0-9a-z])[0-9a-f]{24,32}(?![0-9a-z])"
)


@dataclass(frozen=True)
class Sent:
    """What goes to a route. `{kind}` anywhere in it stands for an id; the kinds in `own` are bob's."""

    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    own: tuple[str, ...] = ()


def in_every_place(body: dict[str, Any]) -> list[Sent]:
    """All the ways in which a turn can name something."""
    idempotency = {"idempotency-key": "{idempotency}"}
    return [
        Sent(body=body),
        *(Sent(body={**body, kind: f"{{{kind}}}"}) for kind in ("session_id", "project_id")),
        *(Sent(body=body, headers={f"x-{kind}-id": f"{{{kind}_id}}"}) for kind in ("session", "project")),
        Sent(body=body, headers=idempotency),
        Sent(body={**body, "stream": True}, headers={"x-session-id": "{session_id}"}),
    ]


CHATTING: dict[str, Any] = {"model": "sonnet", "messages": [{"role": "user", "content": "bob asks"}], "max_tokens": 99}
ANNS = {"model": "sonnet", "messages": [{"role": "user", "content": "{word} text"}]}
HISTORY = {
    "model": "sonnet",
    "messages": [
        {"role": "user", "content": COMMON},
        {"role": "assistant", "content": f"told of False: {COMMON}"},
        {"role": "user", "content": "and three"},
    ],
}
RESPONDING: dict[str, Any] = {"model": "sonnet", "input": "bob asks"}
SESSION = "/v1/sessions/{session_id}"
RESPONSE = "/v1/responses/{response_id}"
OWN_SESSION = ("session_id",)

# To routes that take a body, or ids elsewhere than in the path.
SENT: dict[tuple[str, str], list[Sent]] = {
    ("POST", CHAT): [
        *in_every_place(CHATTING),
        # What ann asked, word for word, and as the same request of hers.
        Sent(body=ANNS, headers={"idempotency-key": "{once_more}"}),
        Sent(body=HISTORY),
        Sent(body={**CHATTING, "user": "{key_id}"}),
    ],
    ("POST", "/v1/completions"): in_every_place({"model": "sonnet", "prompt": "bob asks"}),
    ("POST", "/v1/messages"): [
        *in_every_place(CHATTING),
        Sent(body={**CHATTING, "metadata": {"user_id": "{session_id}"}}),
    ],
    ("POST", "/v1/messages/count_tokens"): [
        Sent(body=CHATTING | {"max_tokens": None}),
        Sent(body={**HISTORY}, headers={"x-session-id": "{session_id}"}),
    ],
    ("POST", "/v1/responses"): [
        *in_every_place(RESPONDING),
        Sent(body={**RESPONDING, "previous_response_id": "{response_id}"}),
        Sent(body={**RESPONDING, "conversation": "{session_id}"}),
        Sent(body={**RESPONDING, "conversation": {"id": "conv_{session_id}"}}),
        Sent(body={**RESPONDING, "input": [{"type": "item_reference", "id": "msg_{turn_id}_0"}]}),
        Sent(body={**RESPONDING, "background": True, "session_id": "{session_id}"}),
    ],
    ("POST", "/v1/responses/compact"): [Sent(body=RESPONDING)],
    ("GET", RESPONSE): [Sent(), Sent(params={"stream": "true"})],
    ("POST", f"{RESPONSE}/cancel"): [Sent()],
    ("GET", f"{RESPONSE}/input_items"): [
        Sent(),
        Sent(params={"after": "msg_{message_id}_0"}, own=("response_id",)),
    ],
    ("GET", "/v1/projects"): [Sent(), Sent(params={"after": "{project_id}"}), Sent(params={"search": "{said}"})],
    ("POST", "/v1/projects"): [Sent(body={"name": "bobs own"})],
    ("PATCH", "/v1/projects/{project_id}"): [Sent(body={"name": "bobs now"})],
    ("DELETE", "/v1/projects/{project_id}"): [Sent(), Sent(params={"files": "delete"})],
    ("GET", "/v1/sessions"): [
        Sent(params={"limit": "100"}),
        Sent(params={"project_id": "{project_id}"}),
        Sent(params={"project_id": "{project_id}"}, own=("project_id",)),
        Sent(params={"after": "{session_id}"}),
        Sent(params={"search": "{said}", "expired": "true"}),
        Sent(params={"search": COMMON}),
    ],
    ("POST", "/v1/sessions"): [Sent(body={}), Sent(body={"project_id": "{project_id}"})],
    ("POST", "/v1/sessions/import"): [
        Sent(body={"transcript": "nothing"}),
        Sent(body={"transcript": "nothing", "project_id": "{project_id}"}),
    ],
    ("PATCH", SESSION): [
        Sent(body={"title": "bobs now"}),
        Sent(body={"project_id": "{project_id}"}, own=OWN_SESSION),
    ],
    ("GET", f"{SESSION}/messages"): [Sent(), Sent(params={"after": "{message_id}"}, own=OWN_SESSION)],
    ("POST", f"{SESSION}/fork"): [
        Sent(),
        Sent(body={"message_id": "{message_id}"}),
        Sent(body={"message_id": "{message_id}"}, own=OWN_SESSION),
    ],
    ("POST", f"{SESSION}/interrupt"): [Sent()],
    ("GET", f"{SESSION}/export"): [Sent(), Sent(params={"format": "markdown"})],
    ("POST", f"{SESSION}/approvals/{{approval_id}}"): [
        Sent(body={"decision": "allow"}),
        Sent(body={"decision": "deny", "message": "no"}),
        Sent(body={"decision": "allow_always"}, own=OWN_SESSION),
    ],
    ("POST", f"{SESSION}/mode"): [Sent(body={"mode": "plan"})],
    ("GET", f"{SESSION}/files"): [Sent(), Sent(params={"since": "{turn_id}"}, own=OWN_SESSION)],
    ("POST", f"{SESSION}/rewind"): [
        Sent(body={"turn_id": "{turn_id}"}),
        Sent(body={"message_id": "{message_id}"}, own=OWN_SESSION),
        Sent(body={"turn_id": "{turn_id}", "dry_run": True}, own=OWN_SESSION),
    ],
    ("GET", "/claude/stream/{session_id}"): [
        Sent(params={"query": "bob asks"}),
        *(Sent(headers={"last-event-id": str(event_id(*at))}) for at in ((1, 0), (2, 0), (3, 1))),
    ],
    ("GET", "/v1/audit"): [Sent(), Sent(params={"after": "{key_id}"}), Sent(params={"key": "{key_id}"})],
    ("GET", "/v1/usage"): [
        Sent(params={"group_by": "key,project,session,model"}),
        *(Sent(params={name: f"{{{name}}}", "group_by": "session,model"}) for name in ("project_id", "session_id")),
        Sent(params={"project_id": "{project_id}", "group_by": "session"}, own=("project_id",)),
    ],
    ("POST", "/v1/keys"): [Sent(body={"name": "bobs own"})],
    ("PATCH", "/v1/keys/{key_id}"): [Sent(body={"name": "bobs now"})],
    ("POST", "/v1/keys/{key_id}/rotate"): [Sent()],
}


def all_routes(gateway: Running) -> list[tuple[str, str]]:
    """Every method and path of the router; a WebSocket's too."""
    found = []
    for route in every_route(gateway.routes.routes):
        path = str(route.path or route.starlette_route.path)
        found += [(method, path) for method in sorted(route.methods or [SOCKET])]
    return found


def what_to_ask(gateway: Running) -> Iterator[tuple[str, str, Sent]]:
    """Make up what is asked; fails for what these tests have not heard of."""
    routes = all_routes(gateway)
    assert SENT.keys() <= set(routes), "a route is gone"
    for method, path in routes:
        unknown = set(re.findall(r"\{([^}]+)\}", path)) - IDS_IN_PATHS - NOBODYS.keys()
        assert not unknown, f"{method} {path}: say whose {unknown} are, and give ann one"
        if method in ("GET", "DELETE", SOCKET):
            sent = SENT.get((method, path), [Sent()])
        else:
            assert (method, path) in SENT, f"{method} {path}: say what is sent to it"
            sent = SENT[method, path]
        yield from ((method, path, one) for one in sent)


def put_in(value: Any, ids: Ids) -> Any:
    """Put ids in the places that are left for them."""
    if isinstance(value, str):
        for kind, id_ in ids.items():
            value = value.replace(f"{{{kind}}}", id_)
        return value
    if isinstance(value, dict):
        return {name: put_in(inner, ids) for name, inner in value.items()}
    return [put_in(inner, ids) for inner in value] if isinstance(value, list) else value


@dataclass
class Asking:
    """Bob, who asks, and notes what he was told without the ids that he named and the times."""

    world: World

    async def ask(self, method: str, path: str, sent: Sent, ids: Ids) -> tuple[int, dict[str, str], str]:
        named = {**NOBODYS, **ids, **{kind: self.world.own[kind] for kind in sent.own}}
        at = put_in(path, named)
        if method == SOCKET:
            return 101, {}, self._plain(json.dumps(await self._talk(at, ids)), ids)
        answer = await self.world.bob.request(
            method,
            at,
            params=put_in(sent.params, named),
            headers=put_in(sent.headers, named) | JSON,
            content=orjson.dumps(put_in(sent.body, named)) if sent.body is not None else None,
            timeout=PATIENCE_S,
        )
        assert answer.status_code < 500, answer.text
        if isinstance(sent.body, dict) and sent.body.get("background"):
            await self._until_over(answer.json()["id"])
            # It may be over, or not, when it is told what is left.
            headers = without_what_is_left(dict(answer.headers))
        else:
            headers = dict(answer.headers)
        told = {name: self._plain(value, ids) for name, value in headers.items() if not UNLIKE_HEADERS.match(name)}
        return answer.status_code, told, self._plain(answer.text, ids)

    async def _talk(self, path: str, ids: Ids) -> list[dict[str, Any]]:
        """Say everything that can be said over a WebSocket."""
        told = []
        session = path.rpartition("/")[2]
        async with socket(self.world.gateway, session, key=self.world.bobs_key) as connection:
            for message in (
                {"type": "auth"},
                {"type": "interrupt"},
                {"type": "approval", "id": ids["approval_id"], "decision": "allow"},
                {"type": "mode", "mode": "auto"},
                {"type": "resume", "after": event_id(1, 0)},
                {"type": "resume", "after": 0},
                {"type": "ping"},
            ):
                await connection.send(json.dumps(message))
            told += await told_until(connection, "pong")
            await connection.send("bob asks")
            told += await told_until(connection, "complete")
        return told

    async def _until_over(self, response_id: str) -> None:
        """Wait for it: what it may still cost is told of with the next answer."""
        while (await self.world.bob.get(f"/v1/responses/{response_id}")).json()["status"] != "completed":
            pass

    def _plain(self, text: str, ids: Ids) -> str:
        for kind, id_ in ids.items():
            text = text.replace(id_, f"<{kind}>").replace(id_.replace("-", ""), f"<{kind}>")
        self._see_nothing_of_anns(text)
        text = text.replace(str(self.world.directory), "<directory>")
        known: dict[str, str] = {}
        text = MADE.sub(lambda found: known.setdefault(found[0], f"<made {len(known)}>"), text)
        return TIMES.sub("<time>", text)

    def _see_nothing_of_anns(self, text: str) -> None:
        assert MARK not in text
        if self.world.ann is not None:
            hers = {id_ for ids in self.world.foreign for id_ in ids.values()}
            assert not {id_ for id_ in hers if id_ in text}


Heard = dict[str, list[Any]]


async def ask_everything(world: World, strangers: list[Ids]) -> Heard:
    """Ask every route for what is foreign and for what is nobody's, and hold the answers against each other."""
    asking, heard = Asking(world), Heard()
    for number, (method, path, sent) in enumerate(what_to_ask(world.gateway)):
        name = f"{number} {method} {path} {sent}"
        heard[name] = []
        for foreign, nobodys in zip(world.foreign, strangers, strict=True):
            answers = [await asking.ask(method, path, sent, ids) for ids in (nobodys, foreign)]
            if PLACE.search(f"{path}{sent}"):
                # What is told of the tokens that are left differs by what the first of the two took.
                first, second = [(status, without_what_is_left(headers), text) for status, headers, text in answers]
                assert first == second, name
            heard[name].append(answers)
    return heard


def without_what_is_left(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if "remaining" not in name}


def of_everybody(gateway: Running) -> set[str]:
    """Paths that count everybody's turns, for those who may monitor the gateway."""
    return {path for _, path, scopes in guarded_routes(gateway) if Scope.MONITOR in scopes}


@pytest.mark.parametrize("allow_list", [False, True], ids=["own projects", "given projects"])
async def test_item_12_every_route_answers_for_what_is_anothers_as_for_what_is_nobodys(
    tmp_path: Path, allow_list: bool
) -> None:
    async with a_world(tmp_path / "1", allow_list=allow_list) as both:
        forms = both.foreign
        before = await all_of_anns(both)
        strangers = await nobodys_ids(both)
        heard = await ask_everything(both, strangers)
        assert await all_of_anns(both) == before, "something of ann's has changed"
        counted = of_everybody(both.gateway)
        assert counted == {"/health", "/metrics"}
        async with socket(both.gateway, forms[1]["session_id"], key=both.bobs_key) as beside:
            answers = await let_ann_come_to_an_end(both)
            await beside.send('{"type": "ping"}')
            assert await told_until(beside, "pong") == [{"type": "pong"}], "bob heard ann's turn"
        assert [answer.text.count('"complete"') for answer in answers] == [1, 1]
    async with a_world(tmp_path / "2", forms, allow_list=allow_list) as alone:
        without_ann = await ask_everything(alone, await nobodys_ids(alone))
    assert heard.keys() == without_ann.keys()
    for name, answers in heard.items():
        if name.split()[2] not in counted:
            assert answers == without_ann[name], name
    statuses = [answer[0] for answers in heard.values() for pair in answers for answer in pair]
    # He is no stranger: what is his own, he gets.
    assert statuses.count(200) > len(statuses) / 5
    assert statuses.count(404) > len(statuses) / 5


async def nobodys_ids(world: World) -> list[Ids]:
    return [{kind: like(id_) for kind, id_ in ids.items()} for ids in world.foreign]


async def test_item_12_the_query_parameters_are_known(gateway: Running) -> None:
    """A new one may name something of somebody's."""
    document = (await gateway.http.get("/openapi.json")).json()
    named = {
        parameter["name"]
        for operations in document["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }
    assert named == NAMING | PLAIN
    asked = {name for sent in SENT.values() for one in sent for name in one.params}
    assert asked >= NAMING


def test_item_12_a_leak_is_seen() -> None:
    asking = Asking(World(None, None, None, httpx2.AsyncClient(), None, "", [{"session_id": "of-ann"}]))  # type: ignore[arg-type]
    for text in (f'{{"title": "{MARK} title"}}', '{"id": "of-ann"}'):
        with pytest.raises(AssertionError):
            asking._plain(text, {"session_id": "nobodys"})  # noqa: SLF001 - the eye itself is tried
