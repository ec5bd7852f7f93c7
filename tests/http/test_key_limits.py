"""What limits let through: many requests at once over real connections, whatever they say of where they come from."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_code_api.engine.scripted import PassBeside, ScriptedEngine
from claude_code_api.flow.amounts import Budget, Reservation
from claude_code_api.flow.options import AccessOptions, RatesIn
from claude_code_api.flow.ports import Plan
from claude_code_api.storage.opening import open_store
from claude_code_api.storage.options import StorageOptions
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed, Usage
from tests.conformance.postgres_server import postgres_server
from tests.conformance.stores import Talk, a_session
from tests.flow.talk import you
from tests.harness.waiting import BOUND_S
from tests.http.loopback import CHAT, Door, Running, answer_events, asking, plays, running, stops_at
from tests.http.test_api_keys import KEYS, holder, make
from tests.http.test_sessions import say

AT_ONCE = 50
MODEL = "claude-3-5-haiku-20241022"  # $0.80 and $4 for a million tokens, answers of 8,192 at most
NO_RATE: dict[str, Any] = {"requests_per_minute": None, "burst": None, "concurrent_turns": None, "queue": None}

Ask = Callable[[int], Awaitable[httpx2.Response]]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else postgres_server().new_database()


@asynccontextmanager
async def spoofing(gateway: Running, key: str) -> AsyncIterator[Ask]:
    """Asks, each time over a connection of its own and as somebody who says that he comes from elsewhere."""
    limits = httpx2.Limits(max_connections=None)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(
        base_url=gateway.url, headers=headers, trust_env=False, limits=limits, timeout=BOUND_S
    ) as client:

        async def ask(number: int) -> httpx2.Response:
            spoofed = {"x-forwarded-for": f"198.51.100.{number}", "forwarded": f"for=198.51.100.{number}"}
            body = {**asking(f"question {number}"), "model": MODEL}
            return await client.post(CHAT, json=body, headers=spoofed)

        yield ask


def statuses(answers: Sequence[httpx2.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def code(answer: httpx2.Response) -> str:
    said: str = answer.json()["error"]["code"]
    return said


async def until(held: Callable[[], bool]) -> None:
    """Let everybody go on until it is so; the gateway's patience bounds it."""
    while not held():
        await asyncio.create_task(asyncio.to_thread(int))


class TestRates:
    async def test_item_15_the_rate_is_not_overrun(self, database_url: str) -> None:
        async with running(database_url=database_url) as gateway:
            made = await make(gateway, **{**NO_RATE, "requests_per_minute": 20})
            async with spoofing(gateway, made["key"]) as ask:
                answers = await asyncio.gather(*map(ask, range(AT_ONCE)))
        assert statuses(answers) == {200: 20, 429: 30}
        assert len(gateway.engine.plans) == 20
        for answer in answers:
            assert answer.headers["x-ratelimit-limit-requests"] == "20"
            if answer.status_code == 429:
                assert code(answer) == "rate_limit_exceeded"
                assert 1 <= int(answer.headers["retry-after"]) <= 60
                assert answer.headers["x-ratelimit-remaining-requests"] == "0"

    @pytest.mark.parametrize("rates_in", [RatesIn.AUTO, RatesIn.DATABASE])
    async def test_item_15_nor_by_asking_two_gateways(self, tmp_path: Path, rates_in: RatesIn) -> None:
        url = postgres_server().new_database() if rates_in is RatesIn.AUTO else ""
        shared: dict[str, Any] = {"keys": AccessOptions(rates_in=rates_in), "database_url": url}
        data_dir = tmp_path / "data"
        async with running(data_dir=data_dir, **shared) as one, running(data_dir=data_dir, **shared) as two:
            made = await make(one, **{**NO_RATE, "requests_per_minute": 20})
            async with spoofing(one, made["key"]) as first, spoofing(two, made["key"]) as second:
                answers = await asyncio.gather(*map(first, range(25)), *map(second, range(25, 50)))
        assert statuses(answers) == {200: 20, 429: 30}

    async def test_the_headers_in_each_vendors_words(self, gateway: Running) -> None:
        async with holder(gateway, **{**NO_RATE, "requests_per_minute": 2}) as client:
            openais = await client.post(CHAT, json=asking())
            assert openais.headers["x-ratelimit-remaining-requests"] == "1"
            assert re.fullmatch(r"1m0s|59s", openais.headers["x-ratelimit-reset-requests"])
            assert "anthropic-ratelimit-requests-limit" not in openais.headers
            body = {"model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
            anthropics = [await client.post("/v1/messages", json=body) for _ in range(2)]
            assert [answer.status_code for answer in anthropics] == [200, 429]
            for answer in anthropics:
                assert answer.headers["anthropic-ratelimit-requests-limit"] == "2"
                assert answer.headers["anthropic-ratelimit-requests-remaining"] == "0"
                reset = answer.headers["anthropic-ratelimit-requests-reset"]
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", reset)
            assert anthropics[1].json()["error"]["type"] == "rate_limit_error"
            assert "retry-after" in anthropics[1].headers

    async def test_which_requests_count(self, gateway: Running) -> None:
        """Those that ask for work, however they ask for it; and not those that look at what there is."""
        async with holder(gateway, **{**NO_RATE, "requests_per_minute": 5}) as client:
            body = {"model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
            asked = [
                await client.post("/v1/completions", json={"model": "sonnet", "prompt": "a"}),
                await client.post("/v1/responses", json={"model": "sonnet", "input": "a"}),
                await client.post("/v1/messages/count_tokens", json=body),
                await client.get("/claude/stream/new", params={"query": "a"}),
                await client.post(CHAT, json={}),
            ]
            left = [dict(answer.headers) for answer in asked]
            openais, anthropics = "x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining"
            assert [named.get(openais) or named.get(anthropics) for named in left] == ["4", "3", "2", "1", "0"]
            for path in ("/v1/models", "/v1/sessions", "/v1/usage", "/", "/v1/responses/resp_1"):
                answer = await client.get(path)
                assert answer.status_code != 429
                assert "x-ratelimit-limit-requests" not in answer.headers
            again = {"last-event-id": "1"}
            assert (await client.get("/claude/stream/new", headers=again)).status_code == 404
            assert (await client.get("/claude/stream/new", params={"query": "a"})).status_code == 429

    async def test_the_first_key_has_no_limit(self, gateway: Running) -> None:
        answers = await asyncio.gather(*(gateway.post() for _ in range(AT_ONCE)))
        assert statuses(answers) == {200: AT_ONCE}
        assert "x-ratelimit-limit-requests" not in answers[0].headers


class TestStrangers:
    async def test_item_15_wrong_keys_are_counted_by_the_connections_address(self) -> None:
        async with running(keys=AccessOptions(failed_keys_per_minute=7)) as gateway:
            made = await make(gateway)
            async with spoofing(gateway, made["key"]) as ask, spoofing(gateway, "cca-wrong") as guess:
                assert (await ask(0)).status_code == 200
                answers = await asyncio.gather(*map(guess, range(AT_ONCE)))
                assert statuses(answers) == {401: 7, 429: AT_ONCE - 7}
                refused = [answer for answer in answers if answer.status_code == 429]
                assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
                assert {code(answer) for answer in refused} == {"rate_limit_exceeded"}
                assert (await ask(1)).status_code == 200, "who has a key is not kept out by others at his address"
                assert (await gateway.post()).status_code == 200


class TestConcurrency:
    async def test_item_15_no_more_turns_at_once_than_the_key_may(self, database_url: str) -> None:
        door = Door()
        async with running(stops_at(2, door, "a"), database_url=database_url) as gateway:
            made = await make(gateway, **{**NO_RATE, "concurrent_turns": 4, "queue": 16})
            async with spoofing(gateway, made["key"]) as ask:
                asked = [asyncio.ensure_future(ask(number)) for number in range(AT_ONCE)]
                await until(lambda: sum(task.done() for task in asked) == AT_ONCE - 20)
                admission = gateway.runner.admission
                await until(lambda: len(gateway.engine.plans) == 4)
                assert (admission.running, admission.waiting) == (4, 16)
                refused = [task.result() for task in asked if task.done()]
                assert {(answer.status_code, code(answer)) for answer in refused} == {(429, "rate_limit_exceeded")}
                assert all("retry-after" in answer.headers for answer in refused)
                # Others have places of their own.
                others = asyncio.ensure_future(gateway.post())
                await until(lambda: len(gateway.engine.plans) == 5)
                door.set()
                answers = await asyncio.gather(*asked)
                assert (await others).status_code == 200
        assert statuses(answers) == {200: 20, 429: 30}


def costs(usd: float) -> ScriptedEngine:
    """Turns that cost so much."""

    def script(plan: Plan) -> list[Any]:
        *events, _, ended = answer_events(plan, "a")
        return [*events, Usage(12, 5, cost_usd=usd), ended]

    return ScriptedEngine(script)


class TestBudgets:
    async def test_item_15_turns_at_once_fit_into_the_budget_together(self, database_url: str) -> None:
        """At worst each costs some four cents, for its answer: two of them fit into eight and a half, not three."""
        door = Door()
        async with running(stops_at(2, door, "a"), database_url=database_url) as gateway:
            made = await make(gateway, **NO_RATE, budget_usd=0.085)
            async with spoofing(gateway, made["key"]) as ask:
                asked = [asyncio.ensure_future(ask(number)) for number in range(AT_ONCE)]
                await until(lambda: sum(task.done() for task in asked) == AT_ONCE - 2)
                await until(lambda: len(gateway.engine.plans) == 2)
                refused = [task.result() for task in asked if task.done()]
                # Only reserved: that is over in seconds.
                assert {(answer.status_code, code(answer)) for answer in refused} == {(429, "rate_limit_exceeded")}
                assert all(int(answer.headers["retry-after"]) <= 10 for answer in refused)
                door.set()
                assert statuses(await asyncio.gather(*asked)) == {200: 2, 429: AT_ONCE - 2}

    async def test_item_15_the_budget_is_overrun_by_one_request_at_most(self, database_url: str) -> None:
        async with running(costs(0.03), database_url=database_url) as gateway:
            made = await make(gateway, **NO_RATE, budget_usd=0.2)
            async with spoofing(gateway, made["key"]) as ask:
                every = list[httpx2.Response]()
                while not any(code(answer) == "insufficient_quota" for answer in every if answer.status_code == 429):
                    every += await asyncio.gather(*map(ask, range(AT_ONCE)))
                every += await asyncio.gather(*map(ask, range(AT_ONCE)))
            answered = statuses(every)[200]
            assert 0.2 <= answered * 0.03 <= 0.2 + 0.03
            rows = (await gateway.http.get("/v1/usage", params={"group_by": "key"})).json()["data"]
            assert rows[0]["total_cost"] == pytest.approx(answered * 0.03)
        last = every[-1]
        error = last.json()["error"]
        assert (last.status_code, error["type"], error["code"]) == (429, "insufficient_quota", "insufficient_quota")
        assert re.fullmatch(
            r"This key's budget of \$0.2 a month is spent; it begins anew on \d{4}-\d\d-01 \(UTC\)\.", error["message"]
        )
        assert int(last.headers["retry-after"]) <= 31 * 86_400
        assert last.headers["x-should-retry"] == "false"

    async def test_the_refusal_to_anthropics_clients(self) -> None:
        async with running(costs(1.0)) as gateway, holder(gateway, **NO_RATE, budget_usd_per_day=0.5) as client:
            body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
            answers = [await client.post("/v1/messages", json=body) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [200, 429]
            assert answers[1].json()["error"]["type"] == "billing_error"
            assert int(answers[1].headers["retry-after"]) <= 86_400

    async def test_tokens_and_how_many_are_left(self) -> None:
        async with running(costs(0)) as gateway, holder(gateway, **NO_RATE, budget_tokens=40) as client:
            answers = [await client.post(CHAT, json=asking()) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert [answer.headers["x-ratelimit-remaining-tokens"] for answer in answers] == ["40", "23", "6", "0"]
            assert {answer.headers["x-ratelimit-limit-tokens"] for answer in answers} == {"40"}

    async def test_a_turn_that_is_cut_is_paid_for_all_the_same(self) -> None:
        """The model says what an answer cost when it is over. Who never lets it come to that does not have it free."""
        door = Door()
        engine = stops_at(3, door, "a long answer " * 1000)
        async with running(engine) as gateway, holder(gateway, **NO_RATE, budget_usd=1) as client:
            async with client.stream("POST", CHAT, json={**asking("x" * 9000, stream=True), "model": MODEL}) as answer:
                await anext(answer.aiter_lines())
                await door.reached.wait()
            await until(lambda: gateway.runner.admission.running == 0)
            key_id = (await gateway.http.get(KEYS)).json()["data"][0]["id"]
            spent = (await gateway.store.spending(key_id, now_s=time.time())).month
            assert spent.tokens > (9000 + 14_000) // 3
            assert spent.usd > 14_000 / 3 * 4 / 1e6

    async def test_a_turn_that_never_came_to_the_model_costs_nothing(self) -> None:
        failing = plays([Failed(TurnError(ErrorKind.UPSTREAM_OVERLOADED, "too much", source="upstream"))])
        async with running(failing) as gateway, holder(gateway, **NO_RATE, budget_usd=0.01) as client:
            assert [(await client.post(CHAT, json=asking())).status_code for _ in range(3)] == [503] * 3

    async def test_what_a_dead_gateway_reserved_is_free_again(self, tmp_path: Path) -> None:
        """Its turns end when another one takes over, and with them what they held."""
        data_dir = tmp_path / "data"
        async with running(data_dir=data_dir) as gateway:
            made = await make(gateway, **NO_RATE, budget_usd=0.05)
        async with open_store(StorageOptions(data_dir=data_dir)) as dying:
            talk = Talk(dying, a_session(owner=made["id"]))
            here = {"boot_id": dying.boot_id, "created_s": time.time()}
            await talk.ask("hi", of_turn=here, reservation=Reservation(0.04, 1), budget=Budget(usd_per_month=0.05))
        async with running(costs(0.01), data_dir=data_dir) as gateway, spoofing(gateway, made["key"]) as ask:
            assert code(await ask(1)) == "rate_limit_exceeded"
            assert await gateway.gateway.ledger.recover() == 1
            assert (await ask(2)).status_code == 200

    async def test_what_passes_beside_an_agent_is_on_the_bill_and_counts(self) -> None:
        """What runs in its jail can ask the model by itself, of which the agent says nothing."""

        def script(plan: Plan) -> list[Any]:
            *events, _, ended = answer_events(plan, "a")
            return [*events, PassBeside(Usage(500, 100)), Usage(12, 5, cost_usd=0.01), ended]

        async with running(ScriptedEngine(script)) as gateway:
            made = await make(gateway, **NO_RATE, profile="read", budget_tokens=1000)
            async with gateway.client(authorization=f"Bearer {made['key']}") as client:
                project = (await client.post("/v1/projects", json={"name": "p", "profile": "read"})).json()["id"]
                first = await say(gateway, you("a"), client=client, project_id=project)
                assert first.json()["usage"]["total_tokens"] == 600
                second = await say(gateway, you("b"), client=client, project_id=project)
                assert (second.status_code, code(second)) == (429, "insufficient_quota")
                assert "stopped in the middle" in second.json()["error"]["message"]
            spent = (await gateway.store.spending(made["id"], now_s=time.time())).month
            assert spent.tokens == 1200
            assert spent.usd > 0.01, "what the agent tells that it has cost is not all"
            rows = (await gateway.http.get("/v1/usage", params={"group_by": "key"})).json()["data"]
            assert rows[0]["total_tokens"] == 1200

    async def test_an_agent_runs_alone_in_a_budget(self) -> None:
        door = Door()
        async with running(stops_at(2, door, "a")) as gateway:
            made = await make(gateway, **NO_RATE, profile="read", budget_usd=1000)
            async with gateway.client(authorization=f"Bearer {made['key']}") as client:
                project = (await client.post("/v1/projects", json={"name": "p", "profile": "read"})).json()["id"]
                at_work = asyncio.ensure_future(say(gateway, you("a"), client=client, project_id=project))
                await door.reached.wait()
                assert (await client.post(CHAT, json=asking())).status_code == 429
                door.set()
                assert (await at_work).status_code == 200
                assert (await client.post(CHAT, json=asking())).status_code == 200
