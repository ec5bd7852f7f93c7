"""What every store does about keys, numbered on from `test_stores.py`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.flow.access import digest_of
from claude_code_api.flow.amounts import Budget, Charge, Rates, Reservation, Spending
from claude_code_api.flow.key_records import ApiKey, KeyTerms, Scope
from claude_code_api.flow.ports import BudgetError, IdempotencyConflictError, StaleError, Store
from claude_code_api.flow.records import IdempotencyKey, Page, TurnState
from claude_code_api.storage.opening import open_store
from claude_code_api.turn.events import Usage
from claude_code_api.turn.profile import Profile
from tests.conformance.stores import ANN, BOB, DAY, NOW, Options, Talk, a_project, a_session, postgresql, sqlite

TERMS = KeyTerms(
    name="ci\x00",
    scopes=frozenset({Scope.TURNS, Scope.ADMIN}),
    projects=("p1", "p2"),
    models=("haiku", "ö"),
    profile=Profile.EDIT,
    expires_s=NOW + DAY,
    rates=Rates(60, 5, 2, 0),
    budget=Budget(1.5, 0.25, 2**40, 7),
)
NOTHING = Charge(0.0, 0)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(params=[sqlite, postgresql])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    options: Options = request.param
    async with open_store(options(tmp_path)) as opened:
        yield opened


def a_key(id_: str = "k1", **more: Any) -> ApiKey:
    key = ApiKey(id=id_, digest=digest_of(id_), terms=KeyTerms(id_), created_s=NOW, created_by="first")
    return dataclasses.replace(key, **more)


# Keys


async def test_101_a_key_is_as_it_was_added(store: Store) -> None:
    key = a_key(terms=TERMS)
    await store.add_key(key)
    assert await store.key("k1") == await store.key_with_digest(digest_of("k1")) == key
    assert await store.key("k2") is None
    assert await store.key_with_digest(digest_of("k2")) is None


async def test_102_keys_are_listed_the_newest_first_in_pages(store: Store) -> None:
    for number, name in enumerate(("a", "b", "c")):
        await store.add_key(a_key(name, created_s=NOW + number))
    await store.revoke_key("b", now_s=NOW)
    first = await store.keys(Page(limit=1))
    assert ([key.id for key in first.data], first.has_more, first.total) == (["c"], True, 2)
    rest = await store.keys(Page(limit=5, after="c"))
    assert ([key.id for key in rest.data], rest.has_more) == (["a"], False)
    every = await store.keys(Page(), with_revoked=True)
    assert [key.id for key in every.data] == ["c", "b", "a"]


async def test_103_a_change_leaves_the_rest_as_it_was(store: Store) -> None:
    await store.add_key(a_key(terms=TERMS))
    changed = await store.change_key("k1", {"name": "new", "burst": None, "usd_per_day": 9.0, "projects": None})
    wanted = dataclasses.replace(
        TERMS,
        name="new",
        projects=None,
        rates=dataclasses.replace(TERMS.rates, burst=None),
        budget=dataclasses.replace(TERMS.budget, usd_per_day=9.0),
    )
    assert changed == await store.key("k1") == a_key(terms=wanted)
    assert await store.change_key("k2", {"name": "new"}) is None


async def test_104_changes_at_once_are_all_kept(store: Store) -> None:
    await store.add_key(a_key())
    patches: list[dict[str, Any]] = [
        {"name": "new"},
        {"burst": 1},
        {"queue": 2},
        {"usd_per_day": 3.0},
        {"tokens_per_day": 4},
    ]
    await asyncio.gather(*(store.change_key("k1", patch) for patch in patches))
    wanted = KeyTerms("new", rates=Rates(burst=1, queue=2), budget=Budget(usd_per_day=3.0, tokens_per_day=4))
    assert await store.key("k1") == a_key(terms=wanted)


async def test_105_a_replaced_key_is_found_by_its_new_hash_alone(store: Store) -> None:
    await store.add_key(a_key())
    replaced = await store.replace_key("k1", digest_of("new"))
    assert replaced == await store.key_with_digest(digest_of("new")) == a_key(digest=digest_of("new"))
    assert await store.key_with_digest(digest_of("k1")) is None


async def test_106_revoked_is_for_ever(store: Store) -> None:
    await store.add_key(a_key())
    revoked = await store.revoke_key("k1", now_s=NOW + 1)
    assert revoked == await store.revoke_key("k1", now_s=NOW + 2) == a_key(revoked_s=NOW + 1)
    assert await store.replace_key("k1", digest_of("new")) is None
    assert await store.revoke_key("k2", now_s=NOW) is None
    assert await store.key_with_digest(digest_of("k1")) == revoked


async def test_107_the_latest_use_is_noted(store: Store) -> None:
    await store.add_key(a_key("a"))
    await store.add_key(a_key("b"))
    await store.note_use({"a": NOW + 5, "b": NOW + 1, "gone": NOW})
    await store.note_use({"a": NOW + 3, "b": NOW + 4})
    await store.note_use({})
    used = {key.id: key.last_used_s for key in (await store.keys(Page())).data}
    assert used == {"a": NOW + 5, "b": NOW + 4}


# Projects that were given to a key


async def test_108_a_project_without_asking_whose_it_is(store: Store) -> None:
    for id_, owner in (("p1", ANN), ("p2", BOB), ("p3", BOB)):
        await store.add_project(a_project(id_, owner=owner))
    assert await store.project("p1", BOB) is None
    assert (await store.project("p1", None)) == a_project("p1", owner=ANN)
    listed = await store.projects(None, Page(), among=("p1", "p3", "p9"))
    assert ({one.id for one in listed.data}, listed.total) == ({"p1", "p3"}, 2)
    assert (await store.projects(BOB, Page(), among=("p1", "p3"))).total == 1
    assert (await store.projects(None, Page(), among=())).total == 0


async def test_109_a_deleted_project_is_taken_from_everybodys_sessions(store: Store) -> None:
    await store.add_project(a_project())
    await store.add_session(a_session("s1", project_id="p1"), (), None)
    await store.add_session(a_session("s2", owner=BOB, project_id="p1"), (), None)
    assert not await store.delete_project("p1", BOB)
    assert await store.delete_project("p1", ANN)
    found = [await store.session(id_, owner) for id_, owner in (("s1", ANN), ("s2", BOB))]
    assert [session.project_id for session in found if session is not None] == [None, None]


# What a limit lets through


async def test_110_requests_at_once_are_counted_one_by_one(store: Store) -> None:
    takes = (store.take_hits("a", 1, limit=7, window_s=60, now_s=NOW) for _ in range(50))
    windows = await asyncio.gather(*takes)
    assert sorted(window.count for window in windows if window.taken) == [1, 2, 3, 4, 5, 6, 7]
    assert {window.count for window in windows if not window.taken} == {7}
    assert (await store.take_hits("b", 1, limit=7, window_s=60, now_s=NOW)).taken


async def test_111_a_window_moves(store: Store) -> None:
    for second in (0, 10, 20):
        assert (await store.take_hits("a", 1, limit=3, window_s=60, now_s=NOW + second)).taken
    full = await store.take_hits("a", 1, limit=3, window_s=60, now_s=NOW + 59.9)
    assert (full.taken, full.count, full.oldest_s) == (False, 3, NOW)
    moved = await store.take_hits("a", 1, limit=3, window_s=60, now_s=NOW + 60)
    assert (moved.taken, moved.count, moved.oldest_s) == (True, 3, NOW + 10)


# Budgets

MONTH = Budget(usd_per_month=1.0)


def with_budget(talk: Talk, usd: float, tokens: int = 0, budget: Budget = MONTH, **more: Any) -> Any:
    return talk.acceptance("hi", reservation=Reservation(usd, tokens), budget=budget, **more)


async def take(talk: Talk, usd: float, tokens: int = 0, budget: Budget = MONTH, **more: Any) -> None:
    await talk.store.accept(with_budget(talk, usd, tokens, budget, **more))
    talk.fence += 1


async def refused(talk: Talk, usd: float, tokens: int = 0, budget: Budget = MONTH) -> tuple[bool, str, str]:
    with pytest.raises(BudgetError) as error:
        await talk.store.accept(with_budget(talk, usd, tokens, budget))
    return error.value.spent, error.value.period, error.value.unit


def talks(store: Store, count: int, owner: str = ANN) -> list[Talk]:
    return [Talk(store, a_session(f"{owner}-{number}", owner=owner)) for number in range(count)]


async def test_112_what_turns_cost_is_added_up_by_month_and_day(store: Store) -> None:
    (talk,) = talks(store, 1)
    for ended_s, usage in (
        (NOW, Usage(1, 2, 3, 4, 5, cost_usd=0.25)),
        (NOW + DAY, Usage(1, 1)),
        (NOW + 31 * DAY, None),
    ):
        await talk.ask("hi")
        await talk.hear("you", ended_s=ended_s, usage=usage)
    assert await store.spending(ANN, now_s=NOW) == Spending(Charge(0.25, 10), Charge(0.25, 10))
    assert await store.spending(ANN, now_s=NOW + DAY) == Spending(Charge(0.25, 12), Charge(0.0, 2))
    assert await store.spending(ANN, now_s=NOW + 31 * DAY) == Spending(NOTHING, NOTHING)
    assert await store.spending(BOB, now_s=NOW) == Spending(NOTHING, NOTHING)


async def test_113_a_charge_counts_more_than_the_usage(store: Store) -> None:
    (talk,) = talks(store, 1)
    await talk.ask("hi")
    await talk.hear(None, state=TurnState.CANCELLED, usage=None, charge=Charge(0.5, 70), head_digest=None)
    assert (await store.spending(ANN, now_s=NOW)).day == Charge(0.5, 70)


async def test_114_a_turn_alone_is_taken_as_long_as_something_is_left(store: Store) -> None:
    (talk,) = talks(store, 1)
    for cost in (0.6, 0.3, 0.2):
        await take(talk, 99.0)
        await talk.hear("you", usage=Usage(cost_usd=cost))
    assert await refused(talk, 0.001) == (True, "month", "usd")
    assert await talk.store.turn(f"{talk.session.id}-turn-4", ANN) is None, "nothing of it is written"
    assert (await talk.stored()).fence == 3
    await take(talk, 99.0, of_turn={"created_s": NOW + 31 * DAY})


async def test_115_beside_others_it_is_taken_if_the_worst_case_fits(store: Store) -> None:
    one, two, three = talks(store, 3)
    await take(one, 0.5)
    assert await refused(two, 0.51) == (False, "month", "usd")
    await take(two, 0.5)
    assert await refused(three, 0.01) == (False, "month", "usd")
    await one.hear("you", usage=Usage(cost_usd=0.1))
    await take(three, 0.4)
    (other,) = talks(store, 1, BOB)
    await take(other, 1.0)


async def test_116_each_of_the_budgets_holds(store: Store) -> None:
    for number, (budget, period, unit) in enumerate(
        (
            (Budget(usd_per_day=1.0), "day", "usd"),
            (Budget(tokens_per_month=100), "month", "tokens"),
            (Budget(tokens_per_day=100), "day", "tokens"),
        )
    ):
        one, two = talks(store, 2, f"owner-{number}")
        await take(one, 0.6, 60, budget)
        assert await refused(two, 0.6, 60, budget) == (False, period, unit)
        await one.hear("you", usage=Usage(50, 50, cost_usd=1.0))
        assert await refused(two, 0.0, 0, budget) == (True, period, unit)


async def test_117_fifty_at_once_take_no_more_than_there_is(store: Store) -> None:
    every = talks(store, 50)
    results = await asyncio.gather(*(take(talk, 0.3) for talk in every), return_exceptions=True)
    assert results.count(None) == 3
    assert all(result is None or isinstance(result, BudgetError) for result in results)


async def test_118_a_request_that_comes_again_is_told_what_it_came_to(store: Store) -> None:
    key = IdempotencyKey("again", b"body")
    one, two = talks(store, 2)
    await take(one, 0.5, key=key)
    await one.hear("you", usage=Usage(cost_usd=2.0))
    with pytest.raises(IdempotencyConflictError):
        await take(two, 0.5, key=key)


async def test_119_a_turn_that_was_overtaken_holds_nothing_any_more(store: Store) -> None:
    (talk,) = talks(store, 1)
    await take(talk, 0.9)
    await take(talk, 0.9)
    assert await store.turn(f"{talk.session.id}-turn-2", ANN) is not None


async def test_120_a_turn_that_was_overtaken_is_paid_for(store: Store) -> None:
    (talk,) = talks(store, 1)
    await take(talk, 0.9)
    late = talk.ending("you", charge=Charge(0.4, 7), owner=ANN)
    await take(talk, 0.1)
    with pytest.raises(StaleError):
        await store.finish(late)
    assert (await store.spending(ANN, now_s=NOW)).day == Charge(0.4, 7)
