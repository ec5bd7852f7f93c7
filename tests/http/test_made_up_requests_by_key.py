"""Made-up requests, each sent with a key of every scope, with keys that open nothing any more, and with none.

What a key does not open it never opens, whatever is asked for; and whoever has no key hears one sentence.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import requests
from typing_extensions import override

from claude_code_api.flow.key_records import Scope
from claude_code_api.flow.options import AccessOptions
from tests.http.loopback import Running, running
from tests.http.test_api_keys import KEYS, guarded_routes, make
from tests.http.test_made_up_requests import (
    PATIENCE_S,
    URL_BYTES,
    MakesUp,
    Tally,
    bad_lines,
    complaint_about,
    with_vendors_bodies,
)

# Nobody is kept waiting: it is about what keys open, not about how often.
NO_LIMITS = {"requests_per_minute": None, "burst": None, "concurrent_turns": None, "queue": None}
MESSAGE = "A valid API key is needed: send it as `Authorization: Bearer <key>` or as `x-api-key: <key>`."
SAID = {"message": MESSAGE, "type": "authentication_error"}
CONSTANT = (SAID, {**SAID, "param": None, "code": "invalid_api_key"})
HANDS = 8


@dataclass(frozen=True)
class Holder:
    """Somebody who asks. Without scopes: nobody, whatever he holds."""

    name: str
    headers: dict[str, str]
    scopes: frozenset[Scope] = frozenset()
    # What is there, and his; by the names of path parameters.
    live: dict[str, str] = field(default_factory=dict)

    def opens(self, asked: Sequence[Scope | None]) -> bool:
        """Whether a route with these guards is his to ask."""
        if not asked:
            return True
        return bool(self.scopes) and (
            Scope.ADMIN in self.scopes or all(scope is None or scope in self.scopes for scope in asked)
        )


async def holders(gateway: Running) -> list[Holder]:
    """Make a key of each scope, and of each kind that opens nothing."""
    found = []
    for scope in Scope:
        key = (await make(gateway, scope.value, scopes=[scope.value], **NO_LIMITS))["key"]
        found.append(Holder(scope.value, {"authorization": f"Bearer {key}"}, frozenset({scope})))
    revoked = await make(gateway, "revoked", scopes=["admin"])
    assert (await gateway.http.delete(f"{KEYS}/{revoked['id']}")).status_code == 200
    expired = await make(gateway, "expired", scopes=["admin"])
    # One that is over already cannot be made.
    await gateway.store.change_key(expired["id"], {"expires_s": 1_000_000_000})
    found += [Holder("revoked", {"x-api-key": revoked["key"]}), Holder("expired", {"x-api-key": expired["key"]})]
    assert len(found) + 1 == HANDS
    return [*found, Holder("nobody", {})]


class WithEachKey(MakesUp):
    """Sends each made-up request as everybody."""

    def __init__(self, gateway: Running, everybody: Sequence[Holder]) -> None:
        super().__init__(gateway.url)
        self._everybody = everybody
        self._scopes = {(method, plain(path)): scopes for method, path, scopes in guarded_routes(gateway)}
        self.by_holder = {holder.name: Counter[int]() for holder in everybody}

    @override
    def make_something(self) -> dict[str, str]:
        """Make for each what he can make, before each operation: it may have been the end of the last ones."""
        for holder in self._everybody:
            holder.live.clear()
            if holder.opens([Scope.MANAGE]):
                holder.live["project_id"] = self._made(holder, "/v1/projects", {"name": "p"}).json()["id"]
                holder.live["session_id"] = self._made(holder, "/v1/sessions", {}).json()["id"]
            if holder.opens([Scope.TURNS]):
                answer = self._made(holder, "/v1/responses", {"model": "sonnet", "input": "hi"})
                holder.live.update({"response_id": answer.json()["id"], "session_id": answer.headers["x-session-id"]})
            if holder.opens([Scope.ADMIN]):
                holder.live["key_id"] = self._made(holder, KEYS, {"name": "k"}).json()["id"]
        # Whose, is said when it is sent.
        return {}

    def _made(self, holder: Holder, path: str, body: dict[str, Any]) -> requests.Response:
        return self.session.post(self.url + path, json=body, headers=holder.headers, timeout=PATIENCE_S)

    @override
    def judge(self, case: Any) -> None:
        """Send one as everybody."""
        made_up = dict(case.path_parameters or {})
        live = self.chance.random() < 0.5
        for holder in self._everybody:
            if made_up:
                known = {name: id_ for name, id_ in holder.live.items() if live and name in made_up}
                case.path_parameters.update(made_up | known)
            self._judge_as(holder, case)

    def _judge_as(self, holder: Holder, case: Any) -> None:
        answer = case.call(base_url=self.url, headers=holder.headers, session=self.session)
        if len(answer.request.url or "") > URL_BYTES:
            return
        self.tally.cases += 1
        self.tally.statuses[answer.status_code] += 1
        self.by_holder[holder.name][answer.status_code] += 1
        asked = self._scopes[case.method, plain(case.operation.path)]
        complaint = complaint_about(
            case.method, case.operation.path, answer.status_code, answer.content
        ) or complaint_about_key(holder, asked, answer.status_code, answer.content)
        if complaint:
            self.tally.wrong.append(
                f"{holder.name}: {complaint}\n  {case.as_curl_command()[:1500]}\n  {answer.content[:500]!r}"
            )


def plain(path: str) -> str:
    """Leave out what the router says of a parameter, and the description does not."""
    return re.sub(r":\w+\}", "}", path)


def complaint_about_key(holder: Holder, asked: Sequence[Scope | None], status: int, body: bytes) -> str | None:
    """Say what is wrong with an answer to somebody for whom a route is not."""
    if holder.opens(asked):
        return None
    if not holder.scopes:
        constant = status == 401 and orjson.loads(body)["error"] in CONSTANT
        return None if constant else f"{status} instead of the constant 401"
    return None if status == 403 else f"{status} instead of 403"


async def judged(cases: int, *, quickly: bool = False) -> Tally:
    access = AccessOptions(failed_keys_per_minute=0)
    async with running(keys=access, patience_s=PATIENCE_S) as gateway:
        document = (await gateway.http.get("/openapi.json")).json()
        if not quickly:
            # To learn what the vendors take costs more than a few hundred requests.
            document = with_vendors_bodies(document)
        tries = WithEachKey(gateway, await holders(gateway))
        tally = await asyncio.to_thread(tries.try_each, document, cases)
        complaints = list(bad_lines(gateway))
    print(f"{tally.cases} requests:", dict(sorted(tally.statuses.items())), *tally.left, sep="\n  ")  # noqa: T201 - the figures of a long run
    for name, statuses in tries.by_holder.items():
        print(f"  {name}:", dict(sorted(statuses.items())))  # noqa: T201 - the same
    assert not tally.wrong, f"{len(tally.wrong)} wrong:\n" + "\n".join(tally.wrong[:20])
    assert complaints == []
    # Each opened something, and most found something closed.
    for name in ("turns", "manage", "usage", "monitor", "admin"):
        assert tries.by_holder[name][200], name
        assert tries.by_holder[name][403] or name == "admin", name
    return tally


async def test_item_14_some_made_up_requests_with_each_key() -> None:
    assert (await judged(20, quickly=True)).cases > 20 * HANDS / 2


@pytest.mark.fuzz
@pytest.mark.timeout(PATIENCE_S)
async def test_item_14_ten_thousand_made_up_requests_with_each_key() -> None:
    assert (await judged(2000)).cases >= 10_000


@pytest.mark.parametrize(
    ("scopes", "asked", "status"),
    [
        ([], [None], 200),
        ([], [Scope.ADMIN], 403),
        ([], [Scope.USAGE], 400),
        ([Scope.TURNS], [Scope.MANAGE], 200),
        ([Scope.TURNS], [Scope.MANAGE], 401),
        ([Scope.USAGE], [Scope.ADMIN], 422),
    ],
)
def test_item_14_what_opens_too_much_is_seen(scopes: list[Scope], asked: list[Scope | None], status: int) -> None:
    body = b'{"error":{"message":"no","type":"a","param":null,"code":"b"}}'
    assert complaint_about_key(Holder("a", {}, frozenset(scopes)), asked, status, body)
    if not scopes:
        assert complaint_about_key(Holder("a", {}), asked, 401, body), "not the constant one"
