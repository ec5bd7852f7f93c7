"""Pool: who gets which process, and what becomes of the others. The residents are real; their processes are not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from claude_code_api.engine.pool import REFILL_S, Claim, Pool, PoolLimits
from claude_code_api.engine.process import ProcessState
from claude_code_api.engine.resident import Resident
from claude_code_api.turn.errors import TurnRefusedError
from tests.engine.fake_residents import Factory, Loop, Process, process_of, rounds, take_turn

T = TypeVar("T")
MODELS = ("sonnet", "opus")
PRINCIPALS = ("ann", "bob", "eve")
LIMITS = PoolLimits(
    max_idle=3, spares=1, idle_s=60, max_turns=3, max_rss_mib=10**6, max_age_s=200, max_total_mib=10**6, starts=3
)


class PoolMachine(RuleBasedStateMachine):
    """Any order of claims, returns, deaths, starts and time."""

    changes_models = True

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.runner = asyncio.Runner(loop_factory=lambda: self.loop)
        self.factory = Factory(at_once=False)
        self.pool = Pool(self.factory.start, LIMITS)
        self.pool.changes_models = self.changes_models
        self.asked: list[tuple[Claim, asyncio.Task[Resident]]] = []
        # Those who take what is ready and nothing else.
        self.hoping: list[tuple[Claim, asyncio.Task[Resident | None]]] = []
        # What is being cleaned, and how that ends.
        self.cleaning: dict[Resident, asyncio.Future[bool]] = {}
        self.owned: dict[Resident, str] = {}
        self.backs: list[asyncio.Task[None]] = []
        self.served: dict[Resident, str] = {}
        self.gone: set[Resident] = set()
        # Starts that were begun for somebody who does not need them any more.
        self.left_over = 0

    def run(self, work: Callable[[], T]) -> T:
        """Do something on the loop, and see what came of it."""
        self.loop.ahead_s += 0.001

        async def done() -> T:
            found = work()
            await rounds()
            await self._collect()
            return found

        return self.runner.run(done())

    async def _collect(self) -> None:
        for claim, task in [entry for entry in self.asked if entry[1].done()]:
            self.asked.remove((claim, task))
            if task.cancelled() or isinstance(task.exception(), TurnRefusedError):
                continue
            await self._begin(claim, task.result())
        for claim, hope in [entry for entry in self.hoping if entry[1].done()]:
            self.hoping.remove((claim, hope))
            found = None if hope.cancelled() else hope.result()
            if found is not None:
                await self._begin(claim, found)
        self.cleaning = {resident: end for resident, end in self.cleaning.items() if not end.done()}

    async def _begin(self, claim: Claim, resident: Resident) -> None:
        assert resident not in self.owned, "two owners"
        assert resident not in self.gone, "let go, and handed out"
        assert resident not in self.cleaning, "handed out before it was clean"
        assert resident.alive, "a dead one was handed out"
        assert resident.model == claim.model
        assert self.served.setdefault(resident, claim.principal) == claim.principal, "a foreign principal's process"
        assert resident.turns < LIMITS.max_turns, "worn"
        self.owned[resident] = claim.principal
        await take_turn(resident)

    @rule(principal=st.sampled_from(PRINCIPALS), model=st.sampled_from(MODELS))
    def claim(self, principal: str, model: str) -> None:
        claim = Claim(principal, model)
        self.run(lambda: self.asked.append((claim, self.runner.get_loop().create_task(self.pool.claim(claim)))))

    @rule(principal=st.sampled_from(PRINCIPALS), model=st.sampled_from(MODELS))
    def claim_what_is_ready(self, principal: str, model: str) -> None:
        claim, begun = Claim(principal, model), self.factory.begun
        self.run(lambda: self.hoping.append((claim, self.runner.get_loop().create_task(self.pool.ready(claim)))))
        assert self.factory.begun == begun, "nothing is started for who does not wait"

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def one_is_being_cleaned(self, data: st.DataObject) -> None:
        resident = data.draw(st.sampled_from(list(self.owned)))
        principal = self.owned.pop(resident)
        end: asyncio.Future[bool] = self.runner.get_loop().create_future()
        self.cleaning[resident] = end
        self.run(lambda: self.backs.append(self._take_back(resident, principal, end)))

    def _take_back(self, resident: Resident, principal: str, end: asyncio.Future[bool]) -> asyncio.Task[None]:
        return self.runner.get_loop().create_task(self.pool.take_back(resident, principal, end))

    @precondition(lambda self: self.cleaning)
    @rule(data=st.data(), clean=st.booleans())
    def the_cleaning_ends(self, data: st.DataObject, clean: bool) -> None:
        resident = data.draw(st.sampled_from(list(self.cleaning)))
        end, waiting = self.cleaning.pop(resident), len(self.asked)
        if not clean:
            self.gone.add(resident)
        self.run(lambda: end.set_result(clean))
        self.left_over += waiting - len(self.asked)

    @rule(principal=st.sampled_from(PRINCIPALS), model=st.sampled_from(MODELS))
    def a_whole_turn(self, principal: str, model: str) -> None:
        before = set(self.owned)
        self.claim(principal, model)
        while self.factory.open:
            self.run(lambda: self.factory.open[0].answer.set_result(True))
        for resident in [one for one in self.owned if one not in before]:
            owner = self.owned.pop(resident)
            self.run(lambda: self.pool.give_back(resident, owner))  # noqa: B023 - it is called at once

    @precondition(lambda self: self.owned)
    @rule(data=st.data(), clean=st.booleans())
    def the_turn_ends(self, data: st.DataObject, clean: bool) -> None:
        resident = data.draw(st.sampled_from(list(self.owned)))
        principal = self.owned.pop(resident)
        if clean:
            waiting = len(self.asked)
            self.run(lambda: self.pool.give_back(resident, principal))
            self.left_over += waiting - len(self.asked)
        else:
            self.gone.add(resident)
            self.run(lambda: self.pool.let_go(resident))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def the_client_leaves(self, data: st.DataObject) -> None:
        _, task = data.draw(st.sampled_from(self.asked))
        self.left_over += 1
        self.run(task.cancel)

    @rule(models=st.sets(st.sampled_from(MODELS), max_size=1))
    def the_cli_changes_to_all_but(self, models: set[str]) -> None:
        self.factory.refused = frozenset(models)

    @rule(model=st.sampled_from(MODELS))
    def prepare(self, model: str) -> None:
        self.run(lambda: self.pool.prepare(model))

    @precondition(lambda self: self.factory.open)
    @rule(data=st.data(), fine=st.sampled_from([True, True, True, False]))
    def a_start_ends(self, data: st.DataObject, fine: bool) -> None:
        start = data.draw(st.sampled_from(self.factory.open))
        self.run(lambda: start.answer.set_result(fine))

    @property
    def running(self) -> list[Process]:
        return [found for found in map(process_of, self.factory.made) if found.state is ProcessState.READY]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def one_dies(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.running)).state = ProcessState.DEAD

    @rule(seconds=st.sampled_from([1, 20, 100]))
    def time_passes(self, seconds: float) -> None:
        self.loop.ahead_s += seconds
        self.run(lambda: None)

    @invariant()
    def sizes_are_kept(self) -> None:
        assert self.pool.idle <= LIMITS.max_idle
        # Whoever has met a refusal waits for one of the very model, whatever else is on its way.
        left_over = self.left_over + self.factory.refusals
        for models in [MODELS] if self.changes_models else [(model,) for model in MODELS]:
            starting = sum(start.model in models for start in self.factory.open)
            waiting = sum(claim.model in models for claim, _ in self.asked)
            assert starting <= waiting + LIMITS.spares + left_over

    @invariant()
    def models_are_changed_only_where_that_is_proved(self) -> None:
        assert self.changes_models or self.factory.refusals == 0

    @invariant()
    def starts_are_few(self) -> None:
        assert len(self.factory.open) <= LIMITS.starts

    @invariant()
    def nobody_waits_beside_what_fits(self) -> None:
        waited_for = sum(claim not in self.returning for claim, _ in self.asked)
        assert not waited_for or self.factory.open, "somebody waits, and nothing is being started"
        assert all(claim in self.returning for claim, _ in self.hoping), "nothing is ready, and nothing comes back"

    @property
    def returning(self) -> set[Claim]:
        return {Claim(self.served[resident], resident.model) for resident in self.cleaning}

    @invariant()
    def nobody_ends_what_is_in_use(self) -> None:
        assert all(process_of(resident).stops == 0 for resident in self.owned)

    @override
    def teardown(self) -> None:
        try:
            self.runner.run(self._close())
        finally:
            self.runner.close()

    async def _close(self) -> None:
        closing = asyncio.create_task(self.pool.close())
        await rounds()
        for end in self.cleaning.values():
            end.set_result(True)
        while self.factory.open or self.asked or self.hoping:
            for start in list(self.factory.open):
                start.answer.set_result(True)
            # Who waited for a spare that is of no use any more starts one; a home is removed in a thread.
            await asyncio.to_thread(os.getpid)
            await rounds()
            await self._collect()
        for resident, principal in self.owned.items():
            self.pool.give_back(resident, principal)
        await asyncio.gather(closing, self.pool.close(), *self.backs)
        await self.pool.close()
        assert self.factory.alive == set()
        assert all(process_of(resident).stops == 1 for resident in self.factory.made)
        assert (self.pool.idle, self.asked) == (0, [])
        assert asyncio.all_tasks() == {asyncio.current_task()}


class KeyedPoolMachine(PoolMachine):
    """The same with a CLI whose processes keep their model."""

    changes_models = False


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=100, stateful_step_count=40)
TestKeyedPoolMachine = KeyedPoolMachine.TestCase
TestKeyedPoolMachine.settings = TestPoolMachine.settings


# One by one

ANN = Claim("ann", "sonnet")


def limits(**changes: Any) -> PoolLimits:
    fields = {"max_idle": 3, "spares": 1, "idle_s": 60, "max_turns": 9, "max_rss_mib": 10**6}
    fields |= {"max_age_s": 10**6, "max_total_mib": 10**6, "starts": 9}
    return PoolLimits(**{**fields, **changes})


async def used(pool: Pool, claim: Claim) -> Resident:
    """One whole turn."""
    resident = await pool.claim(claim)
    await take_turn(resident)
    pool.give_back(resident, claim.principal)
    return resident


async def test_a_claim_waits_for_the_spare_that_is_starting() -> None:
    factory = Factory(at_once=False)
    pool = Pool(factory.start, LIMITS)
    pool.prepare("sonnet")
    await rounds()
    claims = [asyncio.create_task(pool.claim(ANN)) for _ in range(2)]
    await rounds()
    # One waits for the spare; only the other needs a start of its own.
    assert factory.begun == 2
    factory.open[0].answer.set_result(True)
    assert await claims[0] is factory.made[0]
    factory.open[0].answer.set_result(True)
    assert await claims[1] is factory.made[1]
    await pool.close()


async def test_a_claim_whose_spare_does_not_come_starts_one() -> None:
    factory = Factory(at_once=False)
    pool = Pool(factory.start, LIMITS)
    pool.prepare("sonnet")
    await rounds()
    claim = asyncio.create_task(pool.claim(ANN))
    await rounds()
    factory.open[0].answer.set_result(False)
    await rounds()
    factory.open[0].answer.set_result(True)
    assert (await claim).alive
    assert factory.begun == 2
    await pool.close()


async def test_few_start_at_once_and_what_comes_free_first_is_taken() -> None:
    factory = Factory(at_once=False)
    pool = Pool(factory.start, limits(starts=2))
    claims = [asyncio.create_task(pool.claim(ANN)) for _ in range(4)]
    await rounds()
    assert factory.begun == 2
    for start in tuple(factory.open):
        start.answer.set_result(True)
    first, second = await claims[0], await claims[1]
    await rounds()
    assert factory.begun == 4
    # Nobody else's start has to be waited for where a turn has ended.
    pool.give_back(first, "ann")
    assert await claims[2] is first
    factory.open[0].answer.set_result(True)
    assert await claims[3] is factory.made[2]
    factory.open[0].answer.set_result(True)
    await rounds()
    assert pool.idle == 1, "what nobody waits for any more is kept"
    await pool.close()
    await asyncio.gather(*(resident.retire() for resident in (first, second, factory.made[2])))
    assert factory.alive == set()


class TestComingBack:
    """Who comes back at once meets his process in the middle of its cleaning: it is warmer than any other."""

    async def test_their_own_is_waited_for_although_there_is_a_spare(self) -> None:
        factory = Factory()
        pool = Pool(factory.start, limits(spares=1))
        mine = await pool.claim(ANN)
        pool.prepare("sonnet")
        await rounds()
        assert pool.idle == 1
        cleaned: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        back = asyncio.create_task(pool.take_back(mine, "ann", cleaned))
        await rounds()
        again = [asyncio.create_task(pool.ready(ANN)), asyncio.create_task(pool.claim(ANN))]
        bobs = asyncio.create_task(pool.claim(Claim("bob", "sonnet")))
        await rounds()
        assert [task.done() for task in (*again, bobs)] == [False, True, True], "the second one took the spare"
        cleaned.set_result(True)
        assert await again[0] is mine
        await back
        assert await bobs not in {mine, await again[1]}
        await finish(pool, factory)

    @pytest.mark.parametrize("spares", [0, 1])
    async def test_where_it_does_not_come_back_another_is_taken(self, spares: int) -> None:
        factory = Factory()
        pool = Pool(factory.start, limits(spares=spares))
        mine = await pool.claim(ANN)
        pool.prepare("sonnet")
        await rounds()
        cleaned: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        back = asyncio.create_task(pool.take_back(mine, "ann", cleaned))
        await rounds()
        hoping = asyncio.create_task(pool.ready(ANN))
        await rounds()
        assert not hoping.done()
        cleaned.set_result(False)
        await back
        found = await hoping
        assert found is not mine
        assert (found is None) == (spares == 0)
        assert process_of(mine).stops == 1
        await finish(pool, factory)

    async def test_who_only_hopes_starts_nothing(self) -> None:
        factory = Factory()
        pool = Pool(factory.start, limits())
        assert await pool.ready(ANN) is None
        assert factory.begun == 0
        mine = await used(pool, ANN)
        assert await pool.ready(ANN) is mine
        await finish(pool, factory)

    async def test_who_leaves_while_he_hopes_leaves_it_to_others(self) -> None:
        factory = Factory()
        pool = Pool(factory.start, limits(spares=0))
        mine = await pool.claim(ANN)
        cleaned: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        back = asyncio.create_task(pool.take_back(mine, "ann", cleaned))
        await rounds()
        hoping = asyncio.create_task(pool.ready(ANN))
        await rounds()
        cleaned.set_result(True)
        hoping.cancel()
        await back
        await rounds()
        assert pool.idle == 1
        assert await pool.claim(ANN) is mine
        await finish(pool, factory)


async def finish(pool: Pool, factory: Factory) -> None:
    await pool.close()
    await asyncio.gather(*(resident.retire() for resident in factory.made))
    assert factory.alive == set()


async def test_what_has_served_another_does_not_end_the_waiting() -> None:
    factory = Factory(at_once=False)
    pool = Pool(factory.start, limits(starts=1))
    bobs = asyncio.create_task(pool.claim(Claim("bob", "sonnet")))
    await rounds()
    factory.open[0].answer.set_result(True)
    resident = await bobs
    anns = asyncio.create_task(pool.claim(ANN))
    await rounds()
    pool.give_back(resident, "bob")
    await rounds()
    assert not anns.done()
    factory.open[0].answer.set_result(True)
    assert await anns is not resident
    await pool.close()
    await (await anns).retire()


async def test_a_failed_start_is_told_to_the_one_who_waited_longest() -> None:
    factory = Factory(at_once=False)
    pool = Pool(factory.start, limits(starts=1))
    claims = [asyncio.create_task(pool.claim(ANN)) for _ in range(2)]
    await rounds()
    factory.open[0].answer.set_result(False)
    with pytest.raises(TurnRefusedError):
        await claims[0]
    factory.open[0].answer.set_result(True)
    assert (await claims[1]).alive
    await pool.close()
    await factory.made[0].retire()


async def test_the_warmest_of_ones_own_comes_first() -> None:
    factory = Factory()
    pool = Pool(factory.start, LIMITS)
    first, second = await pool.claim(ANN), await pool.claim(ANN)
    pool.prepare("sonnet")
    await rounds()
    pool.give_back(second, "ann")
    pool.give_back(first, "ann")
    assert [await pool.claim(ANN), await pool.claim(ANN)] == [first, second]
    assert await pool.claim(Claim("bob", "sonnet")) is factory.made[2]
    assert factory.begun == 3
    await pool.close()
    await asyncio.gather(*(resident.retire() for resident in factory.made))


async def test_nobody_gets_what_has_served_another() -> None:
    factory = Factory()
    pool = Pool(factory.start, LIMITS)
    anns = await used(pool, ANN)
    bobs = await used(pool, Claim("bob", "sonnet"))
    assert anns is not bobs
    assert [await pool.claim(ANN), await pool.claim(Claim("bob", "sonnet"))] == [anns, bobs]
    await pool.close()
    await asyncio.gather(anns.retire(), bobs.retire())


async def test_too_old_or_too_big_is_the_end_of_one() -> None:
    factory = Factory()
    for changed in ({"max_turns": 1}, {"max_rss_mib": 1}, {"max_age_s": 0}):
        pool = Pool(factory.start, limits(**changed))
        resident = await pool.claim(ANN)
        resident.settle_in({"pid": os.getpid()})
        await take_turn(resident)
        pool.give_back(resident, "ann")
        assert pool.idle == 0
        await pool.close()
        assert factory.alive == set()


async def test_together_they_keep_to_a_size() -> None:
    factory = Factory()
    pool = Pool(factory.start, limits(max_total_mib=1))
    everybody = [await pool.claim(ANN) for _ in range(3)]
    for resident in everybody:
        # Whatever this program occupies, two of them are more than 1 MiB.
        resident.settle_in({"pid": os.getpid()})
        pool.give_back(resident, "ann")
        assert pool.idle == 1
    # The one that was used last stays, even where it alone is too big.
    assert await pool.claim(ANN) is everybody[2]
    await pool.close()
    await everybody[2].retire()
    assert factory.alive == set()


async def test_what_the_system_does_not_tell_is_not_counted() -> None:
    factory = Factory()
    pool = Pool(factory.start, limits(max_total_mib=0, max_rss_mib=0))
    for resident in [await pool.claim(ANN) for _ in range(2)]:
        pool.give_back(resident, "ann")
    assert pool.idle == 2
    await pool.close()


def test_one_that_waits_grows_old_as_well() -> None:
    loop = Loop()
    factory = Factory()

    async def old() -> None:
        pool = Pool(factory.start, limits(max_age_s=100, idle_s=10**6))
        resident = await used(pool, ANN)
        for waited in (50, 60):
            assert pool.idle == 1
            loop.ahead_s += waited
            await rounds()
        assert (pool.idle, process_of(resident).stops) == (0, 1)
        await pool.close()

    waiting: Awaitable[None] = old()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(cast(Any, waiting))


def test_a_claimed_spare_is_replaced_behind_the_request() -> None:
    loop = Loop()
    factory = Factory()

    async def claimed() -> None:
        pool = Pool(factory.start, LIMITS)
        pool.prepare("sonnet")
        await rounds()
        assert await pool.claim(ANN) is factory.made[0]
        await rounds()
        assert factory.begun == 1, "the turn has the core to itself"
        loop.ahead_s += REFILL_S
        await rounds()
        assert factory.begun == 2, "and the next stranger does not wait for its end"
        await pool.close()
        await factory.made[0].retire()

    waiting: Awaitable[None] = claimed()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(cast(Any, waiting))


async def test_a_dead_spare_is_replaced() -> None:
    factory = Factory()
    pool = Pool(factory.start, LIMITS)
    for begun in (1, 2):
        pool.prepare("sonnet")
        pool.prepare("sonnet")
        await rounds()
        assert factory.begun == begun
        process_of(factory.made[-1]).state = ProcessState.DEAD
    await pool.close()
    assert factory.alive == set()


@pytest.mark.parametrize("max_idle", [0, 1])
async def test_a_spare_takes_nobodys_place(max_idle: int) -> None:
    """Where there is no room, a spare would end the very process that the next turn would have had."""
    factory = Factory()
    pool = Pool(factory.start, limits(max_idle=max_idle))
    for _ in range(3):
        await used(pool, ANN)
        pool.prepare("sonnet")
        await rounds()
    assert factory.begun == (1 if max_idle else 3)
    await pool.close()
    assert factory.alive == set()


async def test_nothing_is_prepared_once_it_is_closed() -> None:
    factory = Factory()
    pool = Pool(factory.start, LIMITS)
    await pool.close()
    pool.prepare("sonnet")
    await rounds()
    assert factory.begun == 0


def test_what_nobody_uses_goes() -> None:
    loop = Loop()
    factory = Factory()

    async def unused() -> None:
        pool = Pool(factory.start, LIMITS)
        await used(pool, ANN)
        loop.ahead_s += 50
        await rounds()
        assert pool.idle == 1
        loop.ahead_s += 50
        await rounds()
        assert pool.idle == 0
        await pool.close()
        assert factory.alive == set()

    waiting: Awaitable[None] = unused()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(cast(Any, waiting))


async def test_one_that_has_just_ended_is_not_handed_out() -> None:
    factory = Factory()
    pool = Pool(factory.start, limits())
    first = await used(pool, ANN)
    process_of(first).ended = True
    second = await pool.claim(ANN)
    assert second is not first
    await pool.close()
    assert first not in factory.alive
    await second.retire()


# Other models

OPUS = Claim("ann", "opus")


def changing(factory: Factory, **changed: Any) -> Pool:
    pool = Pool(factory.start, limits(**changed))
    pool.changes_models = True
    return pool


async def test_ones_own_process_is_given_another_model() -> None:
    factory = Factory()
    pool = changing(factory)
    resident = await used(pool, ANN)
    for claim, name in ((OPUS, "claude-opus-9"), (ANN, "claude-sonnet-9")):
        assert await used(pool, claim) is resident
        assert resident.model == claim.model
        # What its door lets through is the name that the model's API knows.
        assert resident.door is not None
        assert resident.door.model == name
    assert factory.begun == 1
    await pool.close()


def test_a_process_that_asks_the_model_already_comes_first() -> None:
    loop = Loop()
    factory = Factory()

    async def claimed() -> None:
        pool = changing(factory, max_idle=9, spares=0)
        sonnet, opus, same = await pool.claim(ANN), await pool.claim(OPUS), await pool.claim(OPUS)
        for resident in (sonnet, opus, same):
            pool.give_back(resident, "ann")
            loop.ahead_s += 1
        # The one of that model, then the one whose model was wanted longest ago, then the other, then a new one.
        assert [await pool.claim(ANN) for _ in range(4)] == [sonnet, opus, same, factory.made[3]]
        await pool.close()
        await asyncio.gather(*(resident.retire() for resident in factory.made))

    waiting: Awaitable[None] = claimed()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(cast(Any, waiting))


async def test_a_spare_serves_any_model_and_is_enough_for_all() -> None:
    factory = Factory()
    pool = changing(factory)
    for model in MODELS:
        pool.prepare(model)
        await rounds()
    assert factory.begun == 1
    spare = await pool.claim(OPUS)
    assert (spare, spare.model) == (factory.made[0], "opus")
    await pool.close()
    await spare.retire()


async def test_a_spare_of_the_model_comes_before_ones_own_of_another() -> None:
    factory = Factory()
    pool = changing(factory)
    own = await used(pool, OPUS)
    pool.prepare("sonnet")
    await rounds()
    assert await pool.claim(ANN) is factory.made[1]
    assert await pool.claim(ANN) is own
    await pool.close()
    await asyncio.gather(*(resident.retire() for resident in factory.made))


async def test_a_claim_waits_for_a_spare_of_any_model() -> None:
    factory = Factory(at_once=False)
    pool = changing(factory)
    pool.prepare("sonnet")
    await rounds()
    claim = asyncio.create_task(pool.claim(OPUS))
    await rounds()
    assert factory.begun == 1
    factory.open[0].answer.set_result(True)
    assert (await claim).model == "opus"
    await pool.close()
    await factory.made[0].retire()


async def test_one_that_does_not_change_is_ended_and_no_further_one_is_risked() -> None:
    factory = Factory()
    pool = changing(factory)
    stubborn, other = await pool.claim(ANN), await pool.claim(ANN)
    for resident in (stubborn, other):
        pool.give_back(resident, "ann")
    factory.refused = frozenset({"opus"})
    fresh = await pool.claim(OPUS)
    assert (fresh, fresh.model, factory.refusals) == (factory.made[2], "opus", 1)
    assert pool.idle == 1
    await pool.close()
    assert [process_of(one).stops for one in factory.made] == [1, 1, 0]
    await fresh.retire()


async def test_one_that_is_being_changed_when_its_client_leaves_is_ended() -> None:
    factory = Factory()
    pool = changing(factory)
    resident = await used(pool, ANN)
    factory.may_change.clear()
    claim = asyncio.create_task(pool.claim(OPUS))
    await rounds()
    claim.cancel()
    await asyncio.wait([claim])
    assert pool.idle == 0
    await pool.close()
    assert (process_of(resident).stops, factory.alive) == (1, set())


async def test_without_a_door_no_model_is_changed() -> None:
    factory = Factory()
    resident = await factory.start("sonnet")
    resident.door = None
    assert not await resident.change_model("opus")
    assert resident.model == "sonnet"
    await resident.retire()


async def test_a_change_that_names_no_model_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = Factory()
    resident = await factory.start("sonnet")

    async def says_nothing(_: Any, body: Any) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(Process, "control", says_nothing)
    assert not await resident.change_model("opus")
    assert resident.model == "sonnet"
    await resident.retire()
