"""What every engine does, numbered. A new engine is one more parameter here, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.flow.ports import Lease, Plan, StoreError
from claude_code_api.flow.records import Mode
from claude_code_api.turn.approvals import Decision, Settler, Verdict
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Ended,
    EndReason,
    Failed,
    PartKind,
    Started,
    TurnEvent,
)
from claude_code_api.turn.order import Order
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import JsonObject, Message, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult, fold
from tests.conformance.engines import MODEL, NO, Opening, Role, Stage, ahead, real, scripted, warm


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


REAL = [pytest.param(opening, marks=pytest.mark.real_cli) for opening in (real, warm, ahead)]


@pytest.fixture(params=[scripted, *REAL], ids=["scripted", "claude", "claude warm", "claude ahead"])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    opening: Opening = request.param
    async with opening(tmp_path) as opened:
        yield opened


def plan(words: str, turn_id: str = "turn-1") -> Plan:
    return Plan(turn_id, 1_700_000_000, MODEL, TurnRequest(MODEL, (Message("user", (TextBlock(words),)),)))


async def collected(lease: Lease) -> TurnResult:
    """Read a lease to its end: legal events, of which the last one and no other is terminal."""
    order, events = Order(), []
    async for batch in lease.batches():
        assert batch
        for event in batch:
            order.check(event)
            events.append(event)
    assert order.over, events
    return fold(events)


async def answered(stage: Stage, words: str, turn_id: str = "turn-1") -> TurnResult:
    async with stage.engine.lease(plan(words, turn_id)) as lease:
        return await collected(lease)


def text(result: TurnResult) -> str:
    return result.text_of(PartKind.TEXT)


async def test_01_a_turn_is_told_in_order_and_ends_once(stage: Stage) -> None:
    result = await answered(stage, Role.SAYS)
    assert (text(result), result.ended, result.error) == ("hello", Ended(EndReason.STOP), None)
    assert result.usage is not None


async def test_02_the_plans_ids_and_time_are_in_the_first_event(stage: Stage) -> None:
    result = await answered(stage, Role.SAYS, "turn-42")
    assert result.started == Started("turn-42", MODEL, 1_700_000_000)


async def test_03_a_failure_before_the_first_word_is_the_only_event(stage: Stage) -> None:
    result = await answered(stage, Role.FAILS)
    assert result.started is None
    assert result.error is not None
    assert result.error.kind is ErrorKind.UPSTREAM_OVERLOADED


async def test_04_a_failure_in_the_middle_comes_after_what_was_said(stage: Stage) -> None:
    result = await answered(stage, Role.BREAKS)
    assert text(result) == "hel"
    assert result.error is not None
    assert result.error.kind is ErrorKind.UPSTREAM_OVERLOADED


async def test_05_an_answer_without_words_is_an_answer(stage: Stage) -> None:
    result = await answered(stage, Role.NOTHING)
    assert (result.parts, result.ended) == ((), Ended(EndReason.STOP))


async def test_06_a_stop_for_length_says_so(stage: Stage) -> None:
    result = await answered(stage, Role.TOO_LONG)
    assert (text(result), result.ended) == ("a", Ended(EndReason.LENGTH))


async def test_07_events_come_as_they_happen(stage: Stage) -> None:
    async with stage.engine.lease(plan(Role.HOLDS)) as lease:
        await stage.wait_until_held()
        events: list[TurnEvent] = []
        batches = lease.batches()
        while text(fold([*events, Failed(None)])) != "hel":  # type: ignore[arg-type]
            events += await anext(batches)
        stage.let_go()
        events += [event async for batch in batches for event in batch]
    assert (text(fold(events)), events[-1]) == ("hello", Ended(EndReason.STOP))


async def test_08_an_interrupt_ends_the_turn_with_one_failure(stage: Stage) -> None:
    async with stage.engine.lease(plan(Role.HOLDS)) as lease:
        await stage.wait_until_held()
        lease.interrupt()
        lease.interrupt()
        result = await collected(lease)
        assert result.error is not None
        assert result.error.kind is ErrorKind.INTERRUPTED
        assert text(result) in ("", "hel")
        lease.interrupt()
    await stage.model_stopped()


async def test_09_an_interrupt_after_the_end_changes_nothing(stage: Stage) -> None:
    async with stage.engine.lease(plan(Role.SAYS)) as lease:
        result = await collected(lease)
        lease.interrupt()
    assert result.ended == Ended(EndReason.STOP)


async def test_10_leaving_early_stops_the_model(stage: Stage) -> None:
    async with stage.engine.lease(plan(Role.HOLDS)) as lease:
        await stage.wait_until_held()
        await anext(lease.batches())
    await stage.model_stopped()


async def test_11_leaving_without_reading_stops_the_model(stage: Stage) -> None:
    async with stage.engine.lease(plan(Role.HOLDS)):
        await stage.wait_until_held()
    await stage.model_stopped()


async def test_12_being_cancelled_is_leaving(stage: Stage) -> None:
    turn = asyncio.create_task(answered(stage, Role.HOLDS))
    await stage.wait_until_held()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await stage.model_stopped()


async def test_13_an_error_of_the_readers_comes_through(stage: Stage) -> None:
    async def fails() -> None:
        async with stage.engine.lease(plan(Role.HOLDS)):
            await stage.wait_until_held()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    await stage.model_stopped()


@pytest.mark.parametrize("before", [Role.FAILS, Role.BREAKS, Role.TOO_LONG])
async def test_14_whatever_came_before_the_next_turn_is_clean(stage: Stage, before: str) -> None:
    await answered(stage, before, "turn-1")
    result = await answered(stage, Role.SAYS, "turn-2")
    assert (text(result), result.ended) == ("hello", Ended(EndReason.STOP))
    assert result.started is not None
    assert result.started.turn_id == "turn-2"


async def test_15_after_a_turn_that_was_left_the_next_one_is_clean(stage: Stage) -> None:
    async with stage.engine.lease(plan(Role.HOLDS, "turn-1")):
        await stage.wait_until_held()
    assert text(await answered(stage, Role.SAYS, "turn-2")) == "hello"


async def test_16_turns_at_the_same_time_do_not_mix(stage: Stage) -> None:
    results = await asyncio.gather(
        answered(stage, Role.SAYS, "a"), answered(stage, Role.FAILS, "b"), answered(stage, Role.TOO_LONG, "c")
    )
    assert [(text(result), result.ended is None) for result in results] == [("hello", False), ("", True), ("a", False)]
    assert [result.started and result.started.turn_id for result in results] == ["a", None, "c"]


async def test_17_a_long_answer_arrives_whole_although_it_had_to_wait(stage: Stage) -> None:
    async with stage.engine.lease(plan(Role.LONG)) as lease:
        batches = lease.batches()
        first = await anext(batches)
        # Longer than it takes to fill everything between the model and here.
        await asyncio.wait({asyncio.ensure_future(asyncio.Event().wait())}, timeout=0.3)
        events = [*first, *[event async for batch in batches for event in batch]]
    assert text(fold(events)) == "x" * 600_000


async def test_18_the_offer_names_a_version(stage: Stage) -> None:
    assert (await stage.engine.offer()).version
    assert await stage.engine.offer() == await stage.engine.offer()


async def test_19_the_credentials_have_a_name_and_no_value(stage: Stage) -> None:
    assert stage.engine.credentials
    assert "made-up" not in stage.engine.credentials


async def test_20_counting_is_no_turn(stage: Stage) -> None:
    short, long = await stage.engine.count_tokens(plan("one")), await stage.engine.count_tokens(plan("one two three"))
    assert 0 < short < long
    await stage.model_stopped()
    assert text(await answered(stage, Role.SAYS)) == "hello"


def asking(stage: Stage) -> Plan:
    """An agent's turn in which a person is asked."""
    words = plan(Role.WRITES)
    return replace(words, workplace=str(stage.workplace), profile=Profile.EDIT, mode=Mode.ASK)


async def question(batches: AsyncIterator[Sequence[TurnEvent]]) -> tuple[ApprovalWanted, list[TurnEvent]]:
    """Read a lease up to what it asks of a person; also returns what was before."""
    events: list[TurnEvent] = []
    async for batch in batches:
        events += batch
        if isinstance(events[-1], ApprovalWanted):
            return events[-1], events
    raise AssertionError(events)


DECISIONS = [
    (Verdict(Decision.ALLOW), "written"),
    (Verdict(Decision.ALLOW_ALWAYS), "written"),
    (Verdict(Decision.DENY, message=NO), "not written"),
]


@pytest.mark.parametrize(("verdict", "said"), DECISIONS, ids=["allow", "always", "deny"])
async def test_21_a_call_waits_for_a_person_and_goes_on_as_decided(stage: Stage, verdict: Verdict, said: str) -> None:
    async with stage.engine.lease(asking(stage)) as lease:
        batches = lease.batches()
        wanted, events = await question(batches)
        assert (wanted.tool_name, wanted.arguments["content"]) == ("Write", "new\n")
        assert (wanted.shown["kind"], wanted.always) == ("diff", "Write")
        assert lease.answer(wanted.approval_id, verdict)
        events += [event for batch in [batch async for batch in batches] for event in batch]
    order = Order()
    for event in events:
        order.check(event)
    settled = [event for event in events if isinstance(event, ApprovalSettled)]
    expected = ApprovalSettled(wanted.approval_id, wanted.tool_id, verdict.decision, Settler.PERSON, verdict.message)
    assert settled == [expected]
    assert (text(fold(events)), events[-1]) == (said, Ended(EndReason.STOP))


async def test_22_a_call_is_decided_once_and_only_by_its_id(stage: Stage) -> None:
    async with stage.engine.lease(asking(stage)) as lease:
        batches = lease.batches()
        assert not lease.answer("of nobody", Verdict(Decision.ALLOW))
        wanted, events = await question(batches)
        assert not lease.answer("of nobody", Verdict(Decision.ALLOW))
        assert lease.answer(wanted.approval_id, Verdict(Decision.DENY, message=NO))
        assert not lease.answer(wanted.approval_id, Verdict(Decision.ALLOW))
        events += [event for batch in [batch async for batch in batches] for event in batch]
        assert not lease.answer(wanted.approval_id, Verdict(Decision.ALLOW))
    assert text(fold(events)) == "not written"
    assert not (stage.workplace / "out.txt").exists()


async def test_23_an_interrupt_ends_a_turn_that_waits(stage: Stage) -> None:
    async with stage.engine.lease(asking(stage)) as lease:
        batches = lease.batches()
        wanted, events = await question(batches)
        lease.interrupt()
        events += [event for batch in [batch async for batch in batches] for event in batch]
        assert not lease.answer(wanted.approval_id, Verdict(Decision.ALLOW))
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.error.kind is ErrorKind.INTERRUPTED
    assert not (stage.workplace / "out.txt").exists()


async def test_24_leaving_a_turn_that_waits_is_no_permission(stage: Stage) -> None:
    async with stage.engine.lease(asking(stage)) as lease:
        await question(lease.batches())
    await stage.model_stopped()
    assert not (stage.workplace / "out.txt").exists()


async def test_25_the_mode_can_change_while_a_call_waits(stage: Stage) -> None:
    async with stage.engine.lease(asking(stage)) as lease:
        batches = lease.batches()
        wanted, events = await question(batches)
        for mode in Mode:
            await lease.set_mode(mode)
        assert lease.answer(wanted.approval_id, Verdict(Decision.ALLOW))
        events += [event for batch in [batch async for batch in batches] for event in batch]
    assert events[-1] == Ended(EndReason.STOP)


async def test_26_what_was_begun_ahead_and_never_wanted_has_asked_nobody(stage: Stage) -> None:
    await answered(stage, Role.SAYS, "turn-1")
    for _ in range(2):
        async with stage.engine.ahead("", MODEL):
            pass
    result = await answered(stage, Role.SAYS, "turn-2")
    assert (text(result), result.ended) == ("hello", Ended(EndReason.STOP))
    assert stage.asked == 2


async def test_27_being_cancelled_while_something_is_begun_ahead_leaves_nothing(stage: Stage) -> None:
    await answered(stage, Role.SAYS, "turn-1")

    async def begin(entered: asyncio.Event) -> None:
        async with stage.engine.ahead("", MODEL):
            entered.set()
            await asyncio.Event().wait()

    entered = asyncio.Event()
    beginning = asyncio.create_task(begin(entered))
    await entered.wait()
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    assert text(await answered(stage, Role.SAYS, "turn-2")) == "hello"
    assert stage.asked == 2


@dataclass
class Bystander:
    """A witness that can be full."""

    full: bool = False
    heard: list[tuple[str, str, JsonObject]] = field(default_factory=list)
    denials: dict[str, str] = field(default_factory=dict)

    async def called(self, tool_id: str, tool: str, arguments: JsonObject) -> None:
        if self.full:
            raise StoreError("no space")
        self.heard.append((tool_id, tool, arguments))

    def denied(self, tool_id: str, by: str = "profile") -> None:
        # It may be told again, by somebody who does not know why.
        self.denials.setdefault(tool_id, by)


async def test_28_the_witness_hears_of_a_call_before_anybody_is_asked(stage: Stage) -> None:
    witness = Bystander()
    async with stage.engine.lease(replace(asking(stage), witness=witness)) as lease:
        batches = lease.batches()
        wanted, _ = await question(batches)
        assert witness.heard == [(wanted.tool_id, "Write", wanted.arguments)]
        assert not (stage.workplace / "out.txt").exists()
        assert lease.answer(wanted.approval_id, Verdict(Decision.ALLOW))
        rest = [event async for batch in batches for event in batch]
    assert rest[-1] == Ended(EndReason.STOP)
    assert (len(witness.heard), witness.denials) == (1, {})


@pytest.mark.parametrize("mode", [Mode.ASK, Mode.ACCEPT_EDITS])
async def test_29_a_call_that_the_witness_cannot_keep_is_not_made(stage: Stage, mode: Mode) -> None:
    witness = Bystander(full=True)
    async with stage.engine.lease(replace(asking(stage), mode=mode, witness=witness)) as lease:
        events = [event async for batch in lease.batches() for event in batch]
    assert not [event for event in events if isinstance(event, ApprovalWanted)], "there is nothing to decide"
    assert (text(fold(events)), events[-1]) == ("not written", Ended(EndReason.STOP))
    assert witness.denials == {"toolu_1": "gateway"}
    assert not (stage.workplace / "out.txt").exists()
