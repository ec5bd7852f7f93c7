"""What every store does, numbered. A new database is one more parameter here, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_code_api.flow.ports import IdempotencyConflictError, StaleError, Store, StoreError
from claude_code_api.flow.records import (
    Compaction,
    IdempotencyKey,
    JournalEntry,
    Mode,
    Page,
    ProjectPatch,
    SessionPatch,
    SessionQuery,
    TurnState,
    UsageGroup,
    UsageQuery,
)
from claude_code_api.storage.opening import open_store
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Ended, EndReason, Usage
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import (
    Block,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from tests.conformance.stores import (
    ANN,
    BOB,
    BOOT,
    DAY,
    NOW,
    Options,
    Talk,
    a_project,
    a_session,
    a_turn,
    postgresql,
    said,
    sqlite,
)

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "reasoning_tokens")
FULL_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NEW_NAMES = map("new-{}".format, itertools.count())
NASTY = "a\x00b\x1a0\x1a\x1ac\u2028\ud7ff\ufffe\U0010ffff\n\t'\"\\%_"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(params=[sqlite, postgresql])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    options: Options = request.param
    async with open_store(options(tmp_path)) as opened:
        yield opened


async def all_of(store: Store, session_id: str = "s1") -> list[str]:
    """Everything that was said, in order."""
    listed = await store.messages(session_id, Page(limit=1000, ascending=True))
    return [block.text for entry in listed.data for block in entry.message.blocks if isinstance(block, TextBlock)]


async def names(store: Store, query: SessionQuery | None = None, *, now_s: float = NOW) -> list[str]:
    return [found.id for found in (await store.sessions(ANN, query or SessionQuery(), now_s=now_s)).data]


async def add_sessions(store: Store, *ids: str) -> None:
    """Add sessions, of which the last one was used last."""
    for number, name in enumerate(ids):
        await store.add_session(a_session(name, last_used_s=NOW + number), (), None)


# Accepting


async def test_01_an_accepted_turn_is_there(store: Store) -> None:
    talk = Talk(store)
    assert await store.turn("s1-turn-1", ANN) is None
    await talk.ask("hello")
    assert await store.turn("s1-turn-1", ANN) == a_turn("s1-turn-1", "s1", 1)


async def test_02_its_messages_are_there_exactly_and_in_order(store: Store) -> None:
    talk = Talk(store)
    acceptance = talk.acceptance("one", (TextBlock("two", {"cache_control": {"type": "ephemeral"}}),), "three")
    await store.accept(acceptance)
    wanted = [dataclasses.replace(entry, number=n) for n, entry in enumerate(acceptance.messages, 1)]
    assert list(await store.history("s1")) == wanted


async def test_03_a_new_session_is_as_it_was_given_and_counts_begin(store: Store) -> None:
    await Talk(store).ask("one", "two")
    wanted = dataclasses.replace(a_session(), message_count=2, turn_count=1, fence=1)
    assert await store.session("s1", ANN) == wanted


async def test_04_the_turn_says_what_the_session_is_from_now_on(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    await talk.ask("again", model="opus", system=(TextBlock("Be long."),), project_id="p9")
    stored = await talk.stored()
    assert (stored.model, stored.system, stored.project_id) == ("opus", (TextBlock("Be long."),), "p9")
    await talk.hear("yes")
    await talk.ask("and back")
    assert (await talk.stored()).project_id is None


async def test_05_a_turn_renews_the_use_and_the_expiry(store: Store) -> None:
    talk = Talk(store)
    await talk.ask("hello")
    await talk.hear("hi")
    await talk.ask("again", of_turn={"created_s": NOW + 500})
    stored = await talk.stored()
    assert (stored.last_used_s, stored.updated_s, stored.expires_s) == (NOW + 500, NOW + 500, NOW + 500 + DAY)
    assert await store.expired_sessions(expired_before_s=NOW + 500 + DAY, limit=9) == ()
    assert await store.expired_sessions(expired_before_s=NOW + 501 + DAY, limit=9) == (("s1", ANN),)


async def test_06_numbers_are_dense_over_many_rounds(store: Store) -> None:
    talk = Talk(store)
    for n in range(5):
        await talk.round(f"ask {n}", f"answer {n}")
    assert [entry.number for entry in await store.history("s1")] == list(range(1, 11))
    assert (await talk.stored()).message_count == 10


async def test_07_a_turn_without_messages_can_be_accepted(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    await talk.ask()
    await talk.hear("hi again")
    assert await all_of(store) == ["hello", "hi", "hi again"]


@pytest.mark.parametrize("fence", [0, 1, 3, 40])
async def test_08_another_fence_is_stale_and_leaves_nothing(store: Store, fence: int) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    before = await talk.stored()
    with pytest.raises(StaleError):
        await talk.ask("late", of_turn={"fence": fence})
    assert await talk.stored() == before
    assert await all_of(store) == ["hello", "hi"]
    assert await store.turn("s1-turn-2", ANN) is None


async def test_09_a_session_that_is_gone_is_stale(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    await store.delete_session("s1", ANN)
    with pytest.raises(StaleError):
        await talk.ask("are you there")


async def test_10_a_session_is_not_begun_twice(store: Store) -> None:
    await Talk(store).ask("hello")
    with pytest.raises(StaleError):
        await Talk(store).ask("hello", of_turn={"id": "other"})
    assert (await Talk(store).stored()).message_count == 1


async def test_11_nobody_goes_on_with_a_session_of_somebody_else(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    with pytest.raises(StaleError):
        await talk.ask("mine now", of_turn={"owner": BOB})
    assert await all_of(store) == ["hello", "hi"]


async def test_12_of_two_acceptances_at_once_one_wins(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    for fence in range(2, 12):
        rivals = [talk.acceptance(f"{fence} from {n}", of_turn={"id": f"turn-{fence}-{n}"}) for n in range(2)]
        rivals = [
            dataclasses.replace(
                rival, messages=tuple(dataclasses.replace(m, id=f"{rival.turn.id}-{m.id}") for m in rival.messages)
            )
            for rival in rivals
        ]
        ended = await asyncio.gather(*map(store.accept, rivals), return_exceptions=True)
        assert sorted(type(result).__name__ for result in ended) == ["NoneType", "StaleError"]
        talk.fence += 1
    assert [entry.number for entry in await store.history("s1")] == list(range(1, 13))


async def test_13_an_answer_that_is_asked_for_again_is_kept_and_not_sent(store: Store) -> None:
    talk = Talk(store)
    await talk.ask("hello")
    await talk.hear("he", truncated=True)
    (_, cut) = await store.history("s1")
    assert cut.truncated
    await talk.ask("hello, again", superseded=(cut.id,))
    assert [entry.number for entry in await store.history("s1")] == [1, 3]
    assert await all_of(store) == ["hello", "he", "hello, again"]
    assert (await talk.stored()).message_count == 3


async def test_14_nothing_of_another_session_is_superseded(store: Store) -> None:
    first, second = Talk(store), Talk(store, a_session("s2"))
    await first.round("hello", "hi")
    await second.round("hello", "hi")
    (asked, _) = await store.history("s1")
    await second.ask("hm", superseded=(asked.id,))
    assert len(await store.history("s1")) == 2


async def test_15_what_fails_in_the_middle_leaves_nothing(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    before = await talk.stored()
    acceptance = talk.acceptance("new", "twice")
    doubled = dataclasses.replace(acceptance, messages=(acceptance.messages[0], acceptance.messages[0]))
    with pytest.raises(StoreError):
        await store.accept(doubled)
    assert await talk.stored() == before
    assert await store.turn(acceptance.turn.id, ANN) is None
    assert await all_of(store) == ["hello", "hi"]
    await store.accept(acceptance)
    assert await all_of(store) == ["hello", "hi", "new", "twice"]


async def test_16_older_turns_that_are_not_over_are_interrupted(store: Store) -> None:
    talk = Talk(store)
    old = await talk.ask("hello")
    late = talk.ending("hi")
    await talk.ask("hurry up", of_turn={"created_s": NOW + 60})
    found = await store.turn(old, ANN)
    assert found is not None
    assert (found.state, found.ended_s) == (TurnState.INTERRUPTED, NOW + 60)
    with pytest.raises(StaleError):
        await store.finish(late)
    (row,) = await store.usage(UsageQuery(ANN, groups=()))
    assert (row.turns, row.failed_turns) == (1, 1)


# Idempotency


def key(name: str = "k", body: bytes = b"body") -> IdempotencyKey:
    return IdempotencyKey(name, hashlib.sha256(body).digest())


async def test_17_a_key_that_is_taken_says_by_which_turn(store: Store) -> None:
    talk = Talk(store)
    first = await talk.ask("hello", key=key(body=b"one"))
    with pytest.raises(IdempotencyConflictError) as refused:
        await talk.ask("hello", key=key(body=b"two"))
    assert (refused.value.turn_id, refused.value.body_digest) == (first, hashlib.sha256(b"one").digest())
    assert await all_of(store) == ["hello"]


async def test_18_a_key_comes_before_the_fence(store: Store) -> None:
    talk = Talk(store)
    await talk.ask("hello", key=key())
    with pytest.raises(IdempotencyConflictError):
        await talk.ask("hello", key=key(), of_turn={"fence": 77})


async def test_19_a_key_is_its_owners_own(store: Store) -> None:
    await Talk(store).ask("hello", key=key())
    await Talk(store, a_session("s2", owner=BOB)).ask("hello", key=key())


@pytest.mark.parametrize("name", [NASTY, "x" * 20_000, "", " ", "ä"], ids=["nasty", "long", "empty", "blank", "umlaut"])
async def test_20_a_key_is_any_text(store: Store, name: str) -> None:
    talk = Talk(store)
    await talk.ask("hello", key=key(name))
    with pytest.raises(IdempotencyConflictError):
        await talk.ask("hello", key=key(name))
    await talk.hear("hi")
    await talk.ask("more", key=key(name + "x"))


async def test_21_the_same_key_fifty_times_at_once_is_one_turn(store: Store) -> None:
    talks = [Talk(store, a_session(f"s{n}")) for n in range(50)]
    ended = await asyncio.gather(*(talk.ask("hello", key=key()) for talk in talks), return_exceptions=True)
    (winner,) = [result for result in ended if isinstance(result, str)]
    refusals = [result for result in ended if not isinstance(result, str)]
    assert {type(refusal) for refusal in refusals} == {IdempotencyConflictError}
    assert {refusal.turn_id for refusal in refusals if isinstance(refusal, IdempotencyConflictError)} == {winner}
    assert (await store.sessions(ANN, SessionQuery(), now_s=NOW)).total == 1


async def test_22_the_same_key_fifty_times_at_once_in_one_session(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    many = [talk.acceptance("again", key=key(), of_turn={"id": f"t{n}"}) for n in range(50)]
    ended = await asyncio.gather(*map(store.accept, many), return_exceptions=True)
    assert [type(result) for result in ended if result is not None] == [IdempotencyConflictError] * 49
    assert await all_of(store) == ["hello", "hi", "again"]


async def test_23_a_refused_turn_does_not_take_its_key(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    with pytest.raises(StaleError):
        await talk.ask("late", key=key(), of_turn={"fence": 9})
    await talk.ask("in time", key=key())


async def test_24_a_key_goes_with_its_session(store: Store) -> None:
    await Talk(store).ask("hello", key=key())
    await store.delete_session("s1", ANN)
    await Talk(store).ask("hello", key=key())


# Finishing


async def test_25_a_finished_turn_says_what_it_came_to(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    ended = Ended(EndReason.STOP_SEQUENCE, NASTY)
    await talk.hear("hi", model="sonnet-5", ended=ended, first_token_ms=12.5)
    wanted = a_turn(
        turn_id,
        "s1",
        1,
        state=TurnState.COMPLETED,
        model="sonnet-5",
        ended_s=NOW + 1.5,
        usage=Usage(1, 2, 3, 4, 5, cost_usd=0.25),
        ended=ended,
        first_token_ms=12.5,
        answer_number=2,
    )
    assert await store.turn(turn_id, ANN) == wanted


async def test_26_the_answer_is_the_turns_and_the_sessions(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    assert await store.answer(turn_id, ANN) is None
    end = talk.ending("hi")
    await store.finish(end)
    assert end.answer is not None
    answer = dataclasses.replace(end.answer, number=2)
    assert await store.answer(turn_id, ANN) == answer
    assert (await store.history("s1"))[-1] == answer


async def test_27_an_error_is_kept_whole(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    error = TurnError(ErrorKind.UPSTREAM_OVERLOADED, NASTY, "in detail", "upstream", 1.5, "messages.0")
    await talk.hear(None, state=TurnState.FAILED, ended=None, usage=None, error=error, head_digest=None)
    found = await store.turn(turn_id, ANN)
    assert found is not None
    assert (found.state, found.error, found.usage, found.ended) == (TurnState.FAILED, error, None, None)
    assert found.answer_number is None
    assert await store.answer(turn_id, ANN) is None


async def test_28_every_kind_of_error_comes_back(store: Store) -> None:
    talk = Talk(store)
    for kind in ErrorKind:
        turn_id = await talk.ask("hello")
        await talk.hear(None, state=TurnState.FAILED, error=TurnError(kind, "no"), head_digest=None)
        found = await store.turn(turn_id, ANN)
        assert found is not None
        assert found.error == TurnError(kind, "no")


async def test_29_a_turn_ends_once(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    await talk.hear("hi")
    with pytest.raises(StaleError):
        await talk.hear("hi", state=TurnState.CANCELLED)
    found = await store.turn(turn_id, ANN)
    assert found is not None
    assert found.state is TurnState.COMPLETED
    assert await all_of(store) == ["hello", "hi"]
    assert (await talk.stored()).usage == Usage(1, 2, 3, 4, 5, cost_usd=0.25)


async def test_30_of_many_ends_at_once_one_is_written(store: Store) -> None:
    talk = Talk(store)
    await talk.ask("hello")
    ended = await asyncio.gather(*(talk.hear(f"hi {n}") for n in range(10)), return_exceptions=True)
    assert [type(result) for result in ended if result is not None] == [StaleError] * 9
    assert len(await all_of(store)) == 2


@pytest.mark.parametrize("wrong", [{"fence": 0}, {"fence": 2}, {"turn_id": "nobody"}, {"session_id": "s2"}], ids=str)
async def test_31_an_end_that_does_not_fit_is_stale_and_leaves_nothing(store: Store, wrong: dict[str, Any]) -> None:
    talk = Talk(store)
    await Talk(store, a_session("s2")).ask("elsewhere")
    turn_id = await talk.ask("hello")
    before = await talk.stored()
    with pytest.raises(StaleError):
        await talk.hear("hi", **wrong)
    assert await talk.stored() == before
    assert await all_of(store, "s2") == ["elsewhere"]
    found = await store.turn(turn_id, ANN)
    assert found is not None
    assert found.state is TurnState.ACCEPTED


async def test_32_the_session_adds_up_what_was_used(store: Store) -> None:
    talk = Talk(store)
    for _ in range(3):
        await talk.round("hello", "hi")
    await talk.ask("free")
    await talk.hear("hi", usage=Usage(1, 1))
    await talk.ask("unknown")
    await talk.hear("hi", usage=None)
    stored = await talk.stored()
    assert stored.usage == Usage(4, 7, 9, 12, 15, cost_usd=0.75)
    assert stored.turn_count == 5


async def test_33_the_end_of_a_turn_renews_the_use(store: Store) -> None:
    talk = Talk(store)
    await talk.ask("hello")
    await talk.hear("hi", ended_s=NOW + 900)
    stored = await talk.stored()
    assert (stored.last_used_s, stored.expires_s) == (NOW + 900, NOW + 900 + DAY)


@pytest.mark.parametrize("state", [state for state in TurnState if state.over])
async def test_34_a_turn_ends_in_every_state_there_is(store: Store, state: TurnState) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    await talk.hear("he", state=state, truncated=True)
    found = await store.turn(turn_id, ANN)
    assert found is not None
    assert found.state is state


async def test_35_an_answer_may_stay_out_of_the_history(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    end = talk.ending("second choice")
    assert end.answer is not None
    await store.finish(dataclasses.replace(end, answer=dataclasses.replace(end.answer, in_history=False)))
    assert [entry.number for entry in await store.history("s1")] == [1]
    assert await all_of(store) == ["hello", "second choice"]
    answer = await store.answer(turn_id, ANN)
    assert answer is not None
    assert not answer.in_history


# Finding a session by what was said


async def test_36_an_answered_session_is_found_by_its_head(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    found = await store.session_with_history(ANN, [b"nothing", b"head-1"], now_s=NOW)
    assert found == await talk.stored()


async def test_37_a_session_that_waits_for_its_answer_is_found_by_the_question(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    await talk.ask("again")
    assert await store.session_with_history(ANN, [b"head-1"], now_s=NOW) is None
    assert await store.session_with_history(ANN, [b"open-2"], now_s=NOW) == await talk.stored()


async def test_38_a_failed_turn_is_found_when_it_is_asked_again(store: Store) -> None:
    talk = Talk(store)
    await talk.ask("hello")
    await talk.hear(None, state=TurnState.FAILED, head_digest=None)
    assert await store.session_with_history(ANN, [b"open-1"], now_s=NOW) is not None
    await talk.ask()
    await talk.hear("hi")
    assert await store.session_with_history(ANN, [b"open-1", b"open-2"], now_s=NOW) is None
    assert await store.session_with_history(ANN, [b"head-2"], now_s=NOW) is not None


async def test_39_of_several_sessions_the_last_used_one_goes_on(store: Store) -> None:
    for number, name in enumerate(("s1", "s3", "s2")):
        await store.add_session(a_session(name, last_used_s=NOW + number), (said(name, "hi"),), b"same")
    found = await store.session_with_history(ANN, [b"same"], now_s=NOW)
    assert found is not None
    assert found.id == "s2"


async def test_40_neither_expired_nor_foreign_sessions_are_found(store: Store) -> None:
    await store.add_session(a_session("s1"), (), b"same")
    await store.add_session(a_session("s2", owner=BOB), (), b"same")
    assert await store.session_with_history(ANN, [b"same"], now_s=NOW + DAY - 1) is not None
    assert await store.session_with_history(ANN, [b"same"], now_s=NOW + DAY) is None
    assert await store.session_with_history("key-eve", [b"same"], now_s=NOW) is None
    assert await store.session_with_history(ANN, [], now_s=NOW) is None


# Exactness

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | FULL_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FULL_TEXT, inner, max_size=3),
    max_leaves=8,
)
EXTRA = st.dictionaries(FULL_TEXT.map("x-{}".format), JSON, max_size=2)
SIMPLE = st.one_of(
    st.builds(TextBlock, FULL_TEXT, EXTRA),
    st.builds(ThinkingBlock, FULL_TEXT, FULL_TEXT),
    st.builds(ToolUseBlock, FULL_TEXT, FULL_TEXT, st.dictionaries(FULL_TEXT, JSON, max_size=3), EXTRA),
    st.builds(lambda body: OpaqueBlock({"type": "image", **body}), EXTRA),
)
BLOCKS = st.lists(
    SIMPLE
    | st.builds(ToolResultBlock, FULL_TEXT, FULL_TEXT | st.lists(SIMPLE, max_size=2).map(tuple), st.booleans(), EXTRA),
    max_size=4,
).map(tuple)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=BLOCKS)
async def test_41_every_block_comes_back_exactly(store: Store, blocks: tuple[Block, ...]) -> None:
    name = next(NEW_NAMES)
    await store.add_session(a_session(name), (said(f"m-{name}", blocks, session_id=name),), None)
    (found,) = await store.history(name)
    assert found.message.blocks == blocks


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=FULL_TEXT | st.text("\x00\x1a01", max_size=8))
async def test_42_every_text_of_a_record_comes_back_exactly(store: Store, text: str) -> None:
    name = next(NEW_NAMES)
    project = a_project(f"{name}{text}", name=text, description=text, path=text, owner=text)
    await store.add_project(project)
    assert await store.project(project.id, text) == project
    session = a_session(f"{name}{text}", title=text, model=text, owner=text, project_id=text, system=(TextBlock(text),))
    await store.add_session(session, (), None)
    assert await store.session(session.id, text) == session


async def test_43_a_message_of_20_mb(store: Store) -> None:
    talk = Talk(store)
    large = "äöü\x00" * 5_000_000
    await talk.ask(large)
    await talk.hear("long")
    (asked, _) = await store.history("s1")
    assert asked.message.blocks == (TextBlock(large),)
    assert await names(store, SessionQuery(text="ÄÖÜ")) == ["s1"]


async def test_44_numbers_keep_their_kind(store: Store) -> None:
    exact = (ToolUseBlock("t", "f", {"int": 1, "float": 1.0, "small": 1e-300, "long": 2**63 - 1, "minus": -0.0}),)
    await Talk(store).ask(exact)
    (found,) = await store.history("s1")
    assert repr(found.message.blocks) == repr(exact)


async def test_45_times_and_money_keep_every_digit(store: Store) -> None:
    talk = Talk(store, a_session(ttl_s=0.1, created_s=NOW + 0.123456789))
    await talk.ask("hello", of_turn={"created_s": NOW + 1 / 3})
    await talk.hear("hi", usage=Usage(2**53 + 1, cost_usd=0.1 + 0.2), ended_s=NOW + 2 / 3, first_token_ms=1e-9)
    found = await store.turn(talk.turn_id, ANN)
    assert found is not None
    assert found.usage == Usage(2**53 + 1, cost_usd=0.1 + 0.2)
    assert (found.created_s, found.ended_s, found.first_token_ms) == (NOW + 1 / 3, NOW + 2 / 3, 1e-9)
    assert (await talk.stored()).created_s == NOW + 0.123456789


# Events


async def test_46_events_come_back_in_order_and_from_anywhere(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    for first in (1, 4, 7):
        await store.journal(
            [JournalEntry(turn_id, first, tuple(f'{{"n":{n},"t":"\\u0000"}}' for n in range(first, first + 3)))]
        )
    everything = await store.events(turn_id, ANN)
    assert everything == tuple(f'{{"n":{n},"t":"\\u0000"}}' for n in range(1, 10))
    for after in range(12):
        assert await store.events(turn_id, ANN, after=after) == everything[after:]


async def test_47_a_turn_with_events_is_dispatched(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    await store.journal([JournalEntry(turn_id, 1, ("{}",))])
    found = await store.turn(turn_id, ANN)
    assert found is not None
    assert found.state is TurnState.DISPATCHED


async def test_48_events_of_several_turns_are_written_at_once(store: Store) -> None:
    talks = [Talk(store, a_session(f"s{n}")) for n in range(5)]
    ids = [await talk.ask("hello") for talk in talks]
    await store.journal([JournalEntry(turn_id, 1, (f'"{turn_id}"',)) for turn_id in ids])
    assert [await store.events(turn_id, ANN) for turn_id in ids] == [(f'"{turn_id}"',) for turn_id in ids]


async def test_49_events_of_a_turn_that_is_gone_or_over_are_of_no_use(store: Store) -> None:
    gone, over, running = (Talk(store, a_session(f"s{n}")) for n in range(3))
    ids = [await talk.ask("hello") for talk in (gone, over, running)]
    await store.delete_session("s0", ANN)
    await over.hear("hi")
    await store.journal([JournalEntry(turn_id, 1, ("{}",)) for turn_id in [*ids, "nobody"]])
    assert [await store.events(turn_id, ANN) for turn_id in ids] == [(), (), ("{}",)]
    ended = await store.turn(ids[1], ANN)
    assert ended is not None
    assert ended.state is TurnState.COMPLETED
    await store.journal([])


@pytest.mark.parametrize("keep", [True, False])
async def test_50_the_end_drops_the_events_unless_they_are_wanted(store: Store, keep: bool) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    await store.journal([JournalEntry(turn_id, 1, ("{}",))])
    await talk.hear("hi", keep_events=keep)
    assert await store.events(turn_id, ANN) == (("{}",) if keep else ())


async def test_51_events_and_keys_are_forgotten_in_time(store: Store) -> None:
    old, new, running = (Talk(store, a_session(f"s{n}")) for n in range(3))
    for n, talk in enumerate((old, new, running)):
        await store.journal([JournalEntry(await talk.ask("hello", key=key(f"k{n}")), 1, ("{}",))])
    await old.hear("hi", keep_events=True, ended_s=NOW + 10)
    await new.hear("hi", keep_events=True, ended_s=NOW + 20)
    assert await store.forget_events(ended_before_s=NOW + 20) == 1
    assert [await store.events(t.turn_id, ANN) for t in (old, new, running)] == [(), ("{}",), ("{}",)]
    await Talk(store, a_session("s9")).ask("hello", key=key("k0"))
    with pytest.raises(IdempotencyConflictError):
        await Talk(store, a_session("s8")).ask("hello", key=key("k1"))
    assert await store.forget_events(ended_before_s=NOW + 20) == 0


async def test_52_unfinished_turns_are_those_that_nobody_runs(store: Store) -> None:
    for n, boot in enumerate((BOOT, "boot-2", store.boot_id)):
        await Talk(store, a_session(f"s{n}")).ask("hello", of_turn={"boot_id": boot, "created_s": NOW + n})
    over = Talk(store, a_session("s3"))
    await over.round("hello", "hi")
    await store.journal([JournalEntry("s1-turn-1", 1, ("{}",))])
    assert [(turn.id, turn.state) for turn in await store.unfinished()] == [
        ("s0-turn-1", TurnState.ACCEPTED),
        ("s1-turn-1", TurnState.DISPATCHED),
    ]


@pytest.mark.parametrize("kind", [sqlite, postgresql])
async def test_90_the_turns_of_a_gateway_that_lives_are_its_own(kind: Options, tmp_path: Path) -> None:
    options = kind(tmp_path)
    async with open_store(options) as watching:
        async with open_store(options) as first, open_store(options) as second:
            assert len({watching.boot_id, first.boot_id, second.boot_id}) == 3
            for name, opened in (("s1", first), ("s2", second)):
                await Talk(opened, a_session(name)).ask("hello", of_turn={"boot_id": opened.boot_id})
            for opened in (watching, first, second):
                assert await opened.unfinished() == ()
        assert {turn.session_id for turn in await watching.unfinished()} == {"s1", "s2"}
    async with open_store(options) as afterwards:
        assert {turn.session_id for turn in await afterwards.unfinished()} == {"s1", "s2"}


# Whose it is


async def test_53_what_is_foreign_is_not_there(store: Store) -> None:
    talk = Talk(store)
    await store.add_project(a_project())
    turn_id = await talk.ask("hello")
    await store.journal([JournalEntry(turn_id, 1, ("{}",))])
    await talk.hear("hi", keep_events=True)
    patch, project_patch = SessionPatch(title="mine"), ProjectPatch(name="mine")
    for owner, session, project, turn in ((BOB, "s1", "p1", turn_id), (ANN, "s2", "p2", "none")):
        assert await store.session(session, owner) is None
        assert await store.turn(turn, owner) is None
        assert await store.answer(turn, owner) is None
        assert await store.events(turn, owner) == ()
        assert await store.project(project, owner) is None
        assert await store.change_session(session, owner, patch, now_s=NOW) is None
        assert await store.change_project(project, owner, project_patch, now_s=NOW) is None
        assert await store.delete_session(session, owner) is False
        assert await store.delete_project(project, owner) is False
    assert (await talk.stored()).title == "Title s1"
    assert await store.project("p1", ANN) == a_project()


async def test_54_lists_and_sums_are_the_owners(store: Store) -> None:
    await Talk(store).round("hello", "hi")
    await store.add_project(a_project())
    assert (await store.sessions(BOB, SessionQuery(with_expired=True), now_s=NOW)).total == 0
    assert (await store.sessions(BOB, SessionQuery(text="hello"), now_s=NOW)).data == ()
    assert (await store.projects(BOB, Page())).total == 0
    assert await store.usage(UsageQuery(BOB)) == ()
    stats = await store.session_stats(BOB, now_s=NOW)
    assert (stats.sessions, stats.messages, stats.turns, stats.usage) == (0, 0, 0, Usage(cost_usd=0.0))


# Lists


async def test_55_sessions_are_listed_the_last_used_first(store: Store) -> None:
    await add_sessions(store, "a", "b", "c")
    assert await names(store) == ["c", "b", "a"]
    assert await names(store, SessionQuery(page=Page(ascending=True))) == ["a", "b", "c"]


async def test_56_a_list_is_read_in_parts(store: Store) -> None:
    await add_sessions(store, *"abcdefg")
    seen, after = [], None
    for wanted in (True, True, False):
        part = await store.sessions(ANN, SessionQuery(page=Page(limit=3, after=after)), now_s=NOW)
        assert (part.has_more, part.total) == (wanted, 7)
        seen += [session.id for session in part.data]
        after = part.data[-1].id
    assert seen == list("gfedcba")


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_57_the_end_of_a_list_is_known(store: Store, limit: int) -> None:
    await add_sessions(store, "a", "b", "c")
    part = await store.sessions(ANN, SessionQuery(page=Page(limit=limit)), now_s=NOW)
    assert (len(part.data), part.has_more, part.total) == (min(limit, 3), limit < 3, 3)


async def test_58_behind_an_entry_that_is_not_there_is_nothing(store: Store) -> None:
    await add_sessions(store, "a", "b")
    await store.add_session(a_session("theirs", owner=BOB), (), None)
    for after in ("nobody", "theirs", ""):
        part = await store.sessions(ANN, SessionQuery(page=Page(after=after)), now_s=NOW)
        assert (part.data, part.has_more, part.total) == ((), False, 2)


async def test_59_entries_of_the_same_moment_are_listed_once_each(store: Store) -> None:
    for name in "abcdefgh":
        await store.add_session(a_session(name), (), None)
    seen: list[str] = []
    while len(seen) < 8:
        page = Page(limit=3, after=seen[-1] if seen else None)
        seen += await names(store, SessionQuery(page=page))
    assert sorted(seen) == list("abcdefgh")


async def test_60_sessions_of_a_project(store: Store) -> None:
    await store.add_session(a_session("in", project_id="p1"), (), None)
    await store.add_session(a_session("out", project_id="p2"), (), None)
    await store.add_session(a_session("alone"), (), None)
    assert await names(store, SessionQuery(project_id="p1")) == ["in"]


async def test_61_expired_sessions_are_listed_only_if_wanted(store: Store) -> None:
    await store.add_session(a_session("short", ttl_s=10), (), None)
    await store.add_session(a_session("for ever", ttl_s=None), (), None)
    assert await names(store, now_s=NOW + 9.9) == ["short", "for ever"]
    assert await names(store, now_s=NOW + 10) == ["for ever"]
    assert await names(store, SessionQuery(with_expired=True), now_s=NOW + 10 * DAY) == ["short", "for ever"]
    assert await store.session("short", ANN) is not None


async def test_62_messages_are_listed_from_both_ends(store: Store) -> None:
    talk = Talk(store)
    for n in range(3):
        await talk.round(f"ask {n}", f"answer {n}")
    newest = await store.messages("s1", Page(limit=2))
    assert ([m.number for m in newest.data], newest.has_more, newest.total) == ([6, 5], True, 6)
    older = await store.messages("s1", Page(limit=9, after=newest.data[-1].id))
    assert ([m.number for m in older.data], older.has_more) == ([4, 3, 2, 1], False)
    oldest = await store.messages("s1", Page(limit=2, ascending=True, after=older.data[-1].id))
    assert [m.number for m in oldest.data] == [2, 3]
    assert (await store.messages("nobody", Page())).total == 0


async def test_63_a_message_of_another_session_is_no_place_in_this_one(store: Store) -> None:
    await Talk(store).round("hello", "hi")
    await Talk(store, a_session("s2")).round("hello", "hi")
    (other, *_) = await store.history("s2")
    assert (await store.messages("s1", Page(after=other.id))).data == ()


# Searching

SEARCHES: list[tuple[str, list[str]]] = [
    ("straße", ["s2"]),
    ("STRASSE", ["s2"]),
    ("100%", ["s1"]),
    ("%", ["s1"]),
    ("_", ["s3"]),
    ("it's", ["s3"]),
    ("\\", ["s3"]),
    ('"', ["s3"]),
    ("ÉTÉ", ["s1"]),
    ("日本", ["s2"]),
    ("🦊", ["s2"]),
    ("title s2", ["s2"]),
    ("a\x00b", ["s3"]),
    ("answer", ["s3", "s2", "s1"]),
    ("nowhere", []),
    ("x" * 60_000, []),
]


async def test_64_sessions_are_found_by_their_words(store: Store) -> None:
    texts = ("100% of l'été", "Die Straße nach 日本 🦊", 'it\'s a_b \\ "quoted" a\x00b')
    for n, words in enumerate(texts, 1):
        talk = Talk(store, a_session(f"s{n}"))
        await talk.ask(words)
        await talk.hear("The Answer", ended_s=NOW + n)
    found = [(text, await names(store, SessionQuery(text=text))) for text, _ in SEARCHES]
    assert found == SEARCHES


async def test_65_a_session_is_found_once_and_by_its_new_title(store: Store) -> None:
    talk = Talk(store)
    for _ in range(3):
        await talk.round("fox", "fox")
    assert (await store.sessions(ANN, SessionQuery(text="FOX"), now_s=NOW)).total == 1
    await store.change_session("s1", ANN, SessionPatch(title="Badger"), now_s=NOW)
    assert await names(store, SessionQuery(text="badger")) == ["s1"]
    assert await names(store, SessionQuery(text="title s1")) == []


async def test_66_only_what_was_said_is_searched(store: Store) -> None:
    await Talk(store).ask((ToolUseBlock("id-fox", "fox", {"fox": "fox"}), TextBlock("hen")))
    assert await names(store, SessionQuery(text="fox")) == []
    assert await names(store, SessionQuery(text="hen")) == ["s1"]


async def test_67_a_search_is_read_in_parts(store: Store) -> None:
    for n in range(5):
        await store.add_session(a_session(f"s{n}", last_used_s=NOW + n), (said(f"m{n}", "a fox"),), None)
    first = await store.sessions(ANN, SessionQuery(text="fox", page=Page(limit=3)), now_s=NOW)
    assert (first.has_more, first.total) == (True, 5)
    rest = await store.sessions(ANN, SessionQuery(text="fox", page=Page(after=first.data[-1].id)), now_s=NOW)
    assert [found.id for found in first.data + rest.data] == ["s4", "s3", "s2", "s1", "s0"]


# Changing and deleting


async def test_68_a_session_changes_only_in_what_is_named(store: Store) -> None:
    talk = Talk(store)
    await talk.round("hello", "hi")
    before = await talk.stored()
    assert await store.change_session("s1", ANN, SessionPatch(), now_s=NOW + 5) == dataclasses.replace(
        before, updated_s=NOW + 5
    )
    patch = SessionPatch("T", "opus", (), Profile.FULL, "p7", (None,))
    wanted = dataclasses.replace(
        before, title="T", model="opus", system=(), profile=Profile.FULL, project_id="p7", ttl_s=None, updated_s=NOW + 6
    )
    assert await store.change_session("s1", ANN, patch, now_s=NOW + 6) == wanted
    assert await talk.stored() == wanted


async def test_69_a_session_can_be_kept_longer_and_for_ever(store: Store) -> None:
    await store.add_session(a_session(), (), None)
    await store.change_session("s1", ANN, SessionPatch(ttl_s=(2 * DAY,)), now_s=NOW)
    assert await names(store, now_s=NOW + DAY) == ["s1"]
    assert await names(store, now_s=NOW + 2 * DAY) == []
    await store.change_session("s1", ANN, SessionPatch(ttl_s=(None,)), now_s=NOW)
    assert await names(store, now_s=NOW + 1000 * DAY) == ["s1"]
    assert await store.expired_sessions(expired_before_s=NOW + 1000 * DAY, limit=5) == ()


async def test_70_expired_sessions_are_named_the_oldest_first_and_not_too_many(store: Store) -> None:
    for n in range(4):
        await store.add_session(a_session(f"s{n}", owner=BOB, last_used_s=NOW - n), (), None)
    found = await store.expired_sessions(expired_before_s=NOW + DAY, limit=2)
    assert found == (("s3", BOB), ("s2", BOB))
    assert len(await store.expired_sessions(expired_before_s=NOW + DAY, limit=9)) == 3


async def test_71_a_deleted_session_is_gone_and_its_bill_stays(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("hello")
    await store.journal([JournalEntry(turn_id, 1, ("{}",))])
    await talk.hear("hi", keep_events=True)
    bill = await store.usage(UsageQuery(ANN))
    assert await store.delete_session("s1", ANN) is True
    assert await store.delete_session("s1", ANN) is False
    assert await store.session("s1", ANN) is None
    assert await store.history("s1") == ()
    assert await store.turn(turn_id, ANN) is None
    assert await store.events(turn_id, ANN) == ()
    assert await store.session_with_history(ANN, [b"head-1"], now_s=NOW) is None
    assert await store.usage(UsageQuery(ANN)) == bill
    assert bill[0].turns == 1


async def test_72_a_turn_of_a_deleted_session_ends_nowhere(store: Store) -> None:
    talk = Talk(store)
    await talk.ask("hello")
    await store.delete_session("s1", ANN)
    with pytest.raises(StaleError):
        await talk.hear("hi")


async def test_73_a_session_brings_what_was_said_elsewhere(store: Store) -> None:
    brought = [said("x", "hello"), said("y", "cut", "assistant", in_history=False), said("z", "hi", "assistant")]
    fork = a_session("fork", forked_from="s1", forked_at=3, fence=0)
    await store.add_session(fork, brought, b"head")
    assert await store.session("fork", ANN) == dataclasses.replace(fork, message_count=3)
    assert [(entry.id, entry.number) for entry in await store.history("fork")] == [("x", 1), ("z", 3)]
    talk = Talk(store, fork)
    await store.accept(dataclasses.replace(talk.acceptance("more"), new_session=None))
    assert await all_of(store, "fork") == ["hello", "cut", "hi", "more"]


# Projects


async def test_74_projects_are_kept_listed_and_found(store: Store) -> None:
    for n, name in enumerate(("alpha", "beta", "gamma")):
        await store.add_project(a_project(name, created_s=NOW + n, description=f"Größe {n}"))
    assert await store.project("beta", ANN) == a_project("beta", created_s=NOW + 1, description="Größe 1")
    listed = await store.projects(ANN, Page(limit=2))
    assert ([p.id for p in listed.data], listed.has_more, listed.total) == (["gamma", "beta"], True, 3)
    assert [p.id for p in (await store.projects(ANN, Page(after="beta"))).data] == ["alpha"]
    assert [p.id for p in (await store.projects(ANN, Page(), text="GRÖSSE 2")).data] == ["gamma"]
    assert [p.id for p in (await store.projects(ANN, Page(), text="project A")).data] == ["alpha"]


async def test_75_a_project_changes_only_in_what_is_named(store: Store) -> None:
    await store.add_project(a_project())
    patch = ProjectPatch(name="New", profile=Profile.READ, is_active=False, trusted=True)
    wanted = a_project(name="New", profile=Profile.READ, is_active=False, trusted=True, updated_s=NOW + 1)
    assert await store.change_project("p1", ANN, patch, now_s=NOW + 1) == wanted
    assert await store.project("p1", ANN) == wanted
    assert (await store.projects(ANN, Page(), text="new")).total == 1
    assert (await store.projects(ANN, Page(), text="what it is for")).total == 1
    assert (await store.projects(ANN, Page(), text="project p1")).total == 0


async def test_76_a_deleted_project_leaves_its_sessions(store: Store) -> None:
    await store.add_project(a_project())
    await store.add_session(a_session(project_id="p1"), (), None)
    assert await store.delete_project("p1", ANN) is True
    assert await store.project("p1", ANN) is None
    found = await store.session("s1", ANN)
    assert found is not None
    assert found.project_id is None


# The bill


async def a_bill(store: Store) -> None:
    """Two days, two callers, two models, one project."""
    for n, (owner, model, project_id) in enumerate(
        ((ANN, "opus", "p1"), (ANN, "sonnet", None), (BOB, "opus", None), (ANN, "opus", "p1"))
    ):
        talk = Talk(store, a_session(f"s{n}", owner=owner))
        await talk.ask("hello", project_id=project_id)
        failed = {"state": TurnState.FAILED, "usage": None} if n == 1 else {}
        await talk.hear("hi", model=model, ended_s=NOW + n * DAY / 2, **failed)


ONE = Usage(1, 2, 3, 4, 5, cost_usd=0.25)
TWO = Usage(2, 4, 6, 8, 10, cost_usd=0.5)


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        ((), [((), 3, TWO)]),
        ((UsageGroup.DAY,), [(("2023-11-16",), 1, ONE), (("2023-11-15",), 1, Usage()), (("2023-11-14",), 1, ONE)]),
        ((UsageGroup.MODEL,), [(("opus",), 2, TWO), (("sonnet",), 1, Usage())]),
        ((UsageGroup.PROJECT,), [(("",), 1, Usage()), (("p1",), 2, TWO)]),
        ((UsageGroup.SESSION,), [(("s0",), 1, ONE), (("s1",), 1, Usage()), (("s3",), 1, ONE)]),
        ((UsageGroup.KEY,), [((ANN,), 3, TWO)]),
        (
            (UsageGroup.MODEL, UsageGroup.DAY),
            [
                (("opus", "2023-11-16"), 1, ONE),
                (("sonnet", "2023-11-15"), 1, Usage()),
                (("opus", "2023-11-14"), 1, ONE),
            ],
        ),
    ],
    ids=str,
)
async def test_77_the_bill_by_groups(store: Store, groups: tuple[UsageGroup, ...], wanted: list[Any]) -> None:
    await a_bill(store)
    rows = await store.usage(UsageQuery(ANN, groups=groups))
    assert [(tuple(row.group[group] for group in groups), row.turns, row.usage) for row in rows] == wanted


async def test_78_everybodys_bill_for_those_who_manage(store: Store) -> None:
    await a_bill(store)
    rows = await store.usage(UsageQuery(None, groups=(UsageGroup.KEY,)))
    assert [(row.group[UsageGroup.KEY], row.turns, row.failed_turns) for row in rows] == [(ANN, 3, 1), (BOB, 1, 0)]


async def test_79_a_part_of_the_bill(store: Store) -> None:
    await a_bill(store)

    async def turns(**more: Any) -> int:
        return sum(row.turns for row in await store.usage(UsageQuery(None, groups=(), **more)))

    assert await turns() == 4
    assert await turns(since_s=NOW + DAY / 2) == 3
    assert await turns(until_s=NOW + DAY / 2) == 1
    assert await turns(since_s=NOW + DAY / 2, until_s=NOW + DAY) == 1
    assert await turns(project_id="p1") == 2
    assert await turns(session_id="s2") == 1
    assert await turns(model="opus", since_s=NOW + 1) == 2
    assert await turns(model="haiku") == 0


async def test_80_the_bill_names_the_newest_days_if_there_are_too_many(store: Store) -> None:
    await a_bill(store)
    (row,) = await store.usage(UsageQuery(None, limit=1))
    assert row.group == {UsageGroup.DAY: "2023-11-16"}


async def test_81_the_statistics_count_everything_and_what_is_active(store: Store) -> None:
    await Talk(store, a_session("s1")).round("hello", "hi")
    talk = Talk(store, a_session("s2", ttl_s=None))
    await talk.round("hello", "hi")
    await talk.round("hello", "hi")
    stats = await store.session_stats(ANN, now_s=NOW + 10 * DAY)
    assert (stats.sessions, stats.active_sessions, stats.messages, stats.turns) == (2, 1, 6, 3)
    assert stats.usage == Usage(3, 6, 9, 12, 15, cost_usd=0.75)


# Many at once, and cut short


async def test_82_many_talk_at_once(store: Store) -> None:
    async def talk_on(name: str) -> None:
        talk = Talk(store, a_session(name))
        for n in range(5):
            await talk.round(f"{name} asks {n}", f"{name} answers {n}")

    everybody = [f"s{n}" for n in range(20)]
    await asyncio.gather(*map(talk_on, everybody))
    for name in everybody:
        assert await all_of(store, name) == [f"{name} {verb} {n}" for n in range(5) for verb in ("asks", "answers")]
    (row,) = await store.usage(UsageQuery(ANN, groups=()))
    assert (row.turns, row.usage.input_tokens, row.usage.cost_usd) == (100, 100, 25.0)


async def test_83_a_cancelled_acceptance_is_whole_or_not_there(store: Store) -> None:
    for n in range(30):
        talk = Talk(store, a_session(f"s{n}"))
        task = asyncio.ensure_future(talk.ask("hello"))
        for _ in range(n % 4):
            await asyncio.wait([task], timeout=0)
        task.cancel()
        ended = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended[0], (str, asyncio.CancelledError))
        # It is over: nothing is written any more.
        said_so_far = await all_of(store, f"s{n}")
        assert said_so_far in ([], ["hello"])
        assert (await store.turn(f"s{n}-turn-1", ANN) is not None) == bool(said_so_far)


async def test_84_what_was_written_is_there_after_the_store_was_closed(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for options in (sqlite(tmp_path), postgresql(tmp_path)):
        async with open_store(options) as first:
            await Talk(first).round("hello", "hi")
        async with open_store(options) as second:
            assert await all_of(second) == ["hello", "hi"]
            talk = Talk(second)
            talk.fence = 1
            await talk.round("and", "on")
            assert await all_of(second) == ["hello", "hi", "and", "on"]


async def test_85_the_store_says_what_it_is_and_that_it_works(store: Store) -> None:
    await store.check()
    assert store.name in {"sqlite", "postgresql"}


async def test_86_a_sessions_turns_from_one_on(store: Store) -> None:
    talk = Talk(store)
    for _ in range(3):
        await talk.round("hello", "hi")
    await Talk(store, a_session("s2")).round("hello", "hi")
    everything = [await store.turn(f"s1-turn-{n}", ANN) for n in (1, 2, 3)]
    for fence in range(5):
        assert list(await store.turns_of("s1", ANN, from_fence=fence)) == everything[max(fence - 1, 0) :]
    assert await store.turns_of("s1", BOB, from_fence=0) == ()
    assert await store.turns_of("nobody", ANN, from_fence=0) == ()


async def test_87_two_clients_on_one_session_make_one_line(store: Store) -> None:
    """Two clients take turns without knowing of each other: whoever is late reads the fence and comes again."""

    async def client(name: str) -> None:
        for n in range(10):
            while True:
                found = await store.session("s1", ANN)
                assert found is not None
                mine = Talk(store)
                mine.fence = found.fence
                acceptance = mine.acceptance(f"{name} {n}", of_turn={"id": f"{name}-{n}-{found.fence}"})
                asked = tuple(dataclasses.replace(m, id=f"{name}-{n}-ask") for m in acceptance.messages)
                with contextlib.suppress(StaleError):
                    await store.accept(dataclasses.replace(acceptance, messages=asked))
                    break

    await Talk(store).round("hello", "hi")
    await asyncio.gather(client("ann"), client("bob"))
    assert [entry.number for entry in await store.history("s1")] == list(range(1, 23))
    said_by = [text for text in await all_of(store) if text not in {"hello", "hi"}]
    for name in ("ann", "bob"):
        assert [text for text in said_by if text.startswith(name)] == [f"{name} {n}" for n in range(10)]
    turns = await store.turns_of("s1", ANN, from_fence=1)
    assert [turn.fence for turn in turns] == list(range(1, 22))


async def test_88_what_an_agent_did_comes_before_its_answer(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("look it up")
    call: tuple[Block, ...] = (ToolUseBlock("t1", "Read", {"path": "a"}),)
    result: tuple[Block, ...] = (ToolResultBlock("t1", "content"),)
    steps = (said("step-1", call, "assistant", step=True), said("step-2", result, step=True))
    await talk.hear("it says so", steps=steps)
    messages = await store.history("s1")
    assert [(m.number, m.message.role, m.step) for m in messages] == [
        (1, "user", False),
        (2, "assistant", True),
        (3, "user", True),
        (4, "assistant", False),
    ]
    assert [m.message.blocks for m in messages[1:3]] == [call, result]
    assert (await store.answer(turn_id, ANN)) == messages[3]
    assert (await talk.stored()).message_count == 4
    await talk.round("go on", "yes")
    assert [m.number for m in await store.history("s1")] == [1, 2, 3, 4, 5, 6]


async def test_89_steps_without_an_answer_are_kept(store: Store) -> None:
    talk = Talk(store)
    turn_id = await talk.ask("look it up")
    steps = (said("step-1", "half way", "assistant", step=True),)
    await talk.hear(None, steps=steps, state=TurnState.CANCELLED, head_digest=None)
    assert [(m.number, m.step) for m in await store.history("s1")] == [(1, False), (2, True)]
    assert await store.answer(turn_id, ANN) is None


async def test_90_a_turns_note_is_kept_until_it_is_forgotten(store: Store) -> None:
    talk = Talk(store)
    plain = await talk.round("hello", "hi")
    note = '{"echo":"\\u0000\\u2028ü"}'
    noted = await talk.ask("again", of_turn={"note": note})
    await store.journal([JournalEntry(noted, 1, ("{}",))])
    await talk.hear("yes", keep_events=True)
    kept = await store.turn(noted, ANN)
    assert kept is not None
    assert kept.note == note
    assert await store.events(noted, ANN) == ("{}",)
    assert not await store.forget_note(noted, BOB)
    assert not await store.forget_note(plain, ANN)
    assert not await store.forget_note("nothing", ANN)
    assert await store.turn(noted, ANN) == kept
    assert await store.forget_note(noted, ANN)
    assert await store.turn(noted, ANN) == dataclasses.replace(kept, note=None)
    assert await store.events(noted, ANN) == ()
    assert await store.answer(noted, ANN) is not None
    assert not await store.forget_note(noted, ANN)


@pytest.mark.parametrize("kept_from", ["an older message", "its own first message"])
async def test_91_what_outgrew_the_model_is_summed_up_where_it_was(store: Store, kept_from: str) -> None:
    talk = Talk(store)
    await talk.round("one", "two")
    await talk.ask("three")
    before = await store.history("s1")
    wanted = before[1].id if kept_from == "an older message" else None
    await talk.hear("four", compaction=Compaction("all \x00 in short", wanted))
    after = await store.history("s1")
    at = 2 if wanted else 3
    assert [(m.number, m.summary) for m in after if m.summary is not None] == [(at, "all \x00 in short")]
    assert [m.message for m in after[:3]] == [m.message for m in before], "nothing that was said is lost"
    listed = (await store.messages("s1", Page(limit=10, ascending=True))).data
    assert listed == after
    fork = dataclasses.replace(a_session("s2"), forked_from="s1")
    copies = [dataclasses.replace(m, id=f"copy-{m.id}", session_id="s2", turn_id=None) for m in after]
    await store.add_session(fork, copies, None)
    assert [m.summary for m in await store.history("s2")] == [m.summary for m in after]


async def test_92_whom_agents_ask_is_kept(store: Store) -> None:
    await store.add_project(a_project(mode=Mode.ASK))
    await store.add_session(a_session(mode=Mode.PLAN), (), None)
    for found in (await store.project("p1", ANN), (await store.projects(ANN, Page())).data[0]):
        assert found == a_project(mode=Mode.ASK)
    for kept in (await store.session("s1", ANN), (await store.sessions(ANN, SessionQuery(), now_s=NOW)).data[0]):
        assert kept == a_session(mode=Mode.PLAN)
    for mode in Mode:
        project = await store.change_project("p1", ANN, ProjectPatch(mode=mode), now_s=NOW)
        session = await store.change_session("s1", ANN, SessionPatch(mode=mode), now_s=NOW)
        assert (project and project.mode, session and session.mode) == (mode, mode)
    assert (await store.change_project("p1", ANN, ProjectPatch(name="x"), now_s=NOW)).mode is Mode.ACCEPT_EDITS  # type: ignore[union-attr]
    assert (await store.change_session("s1", ANN, SessionPatch(title="x"), now_s=NOW)).mode is Mode.ACCEPT_EDITS  # type: ignore[union-attr]
    assert await store.change_session("s1", BOB, SessionPatch(mode=Mode.AUTO), now_s=NOW) is None
