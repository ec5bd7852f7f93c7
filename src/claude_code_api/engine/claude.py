"""ClaudeEngine: a plan in, a lease on a live CLI out.

There are two ways to seat a conversation. The quick one lays it over the request of a warm process; the one that always
works resumes a fresh process from a transcript. Both lead to the same request upstream.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from typing_extensions import override

from claude_code_api.engine.agent_translate import AgentTranslator
from claude_code_api.engine.customs import addresses_in
from claude_code_api.engine.desk import Desk
from claude_code_api.engine.door import AgentTerms, Terms
from claude_code_api.engine.failures import as_told
from claude_code_api.engine.head_start import HeadStart
from claude_code_api.engine.launch import Agent, Lane, lane_for, profile_flags, unworkable
from claude_code_api.engine.modes import cli_mode, free_in, tools_in
from claude_code_api.engine.options import EngineOptions, Seating, Site
from claude_code_api.engine.overlay import (
    PLACEHOLDER,
    parameter_fields,
    system_fields,
    system_prompt,
    whole_request,
)
from claude_code_api.engine.pool import Claim, Pool, PoolLimits
from claude_code_api.engine.process import CliProcess, ControlRefusedError, ProcessDeadError
from claude_code_api.engine.process_turn import RunningTurn
from claude_code_api.engine.prove import Proof
from claude_code_api.engine.resident import Handover, Resident
from claude_code_api.engine.seat import arrange
from claude_code_api.engine.starter import Starter, unavailable
from claude_code_api.engine.token_count import TokenCount
from claude_code_api.engine.translate import Translator
from claude_code_api.engine.versions import check_version
from claude_code_api.flow.before_images import BeforeImages
from claude_code_api.flow.ports import EngineOffer, Lease, OfferedModel, Plan
from claude_code_api.flow.records import Mode
from claude_code_api.models.fitted import RequestControl
from claude_code_api.turn.approvals import Verdict
from claude_code_api.turn.block_json import blocks_json
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import Failed, TurnEvent
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import JsonObject

_AT_THE_DOOR: Final = RequestControl()
# It marks the end of the conversation itself.
_IN_A_FRESH_PROCESS: Final = RequestControl(whole_conversation=False, marks=3)
# These mark their own system prompt as well.
_BESIDE_AN_AGENT: Final = RequestControl(removes_fields=False, whole_conversation=False, marks=1)
_BESIDE_A_LOGIN: Final = RequestControl(removes_fields=False, whole_conversation=False, marks=1)
# An agent's step is one request, and at most one count of tokens beside it.
REQUESTS_OF_A_STEP: Final = 2


class ClaudeLease:
    """One turn on one process."""

    def __init__(self, resident: Resident, turn: RunningTurn) -> None:
        """Lease a turn that has begun."""
        self._resident, self._turn = resident, turn

    async def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield the turn's events as they come."""
        async for batch in self._turn.mailbox.batches():
            last = batch[-1]
            yield [*batch[:-1], self._with_advice(last)] if isinstance(last, Failed) else batch

    def _with_advice(self, failed: Failed) -> Failed:
        """Add what the upstream told and the CLI did not: what is wrong, in its own words, and when to come back."""
        told = self._resident.door.told if self._resident.door is not None else None
        if told is None:
            return failed
        error = as_told(failed.error, told.status, told.refusal)
        return Failed(replace(error, retry_after_s=told.retry_after_s))

    def interrupt(self) -> None:
        """Ask the CLI to end the turn."""
        self._resident.process.interrupt(self._turn)

    def answer(self, approval_id: str, verdict: Verdict) -> bool:  # noqa: ARG002 - the protocol's
        """Nothing waits for a person here."""
        return False

    async def set_mode(self, mode: Mode) -> None:
        """Nobody is asked here, whatever the mode."""


class AgentLease(ClaudeLease):
    """One turn of an agent, whose calls may wait for a person."""

    def __init__(self, resident: Resident, turn: RunningTurn, desk: Desk, profile: Profile) -> None:
        """Lease a turn that has begun."""
        super().__init__(resident, turn)
        self._desk, self._profile = desk, profile

    @override
    def answer(self, approval_id: str, verdict: Verdict) -> bool:
        return self._desk.answer(approval_id, verdict)

    @override
    async def set_mode(self, mode: Mode) -> None:
        change: JsonObject = {
            "subtype": "set_permission_mode",
            "mode": cli_mode(profile_flags(self._profile), mode),
        }
        try:
            await self._resident.process.control(change)
        except (ProcessDeadError, ControlRefusedError) as error:
            raise unavailable(str(error)) from error
        self._desk.mode = mode


class ClaudeEngine:
    """The real one."""

    def __init__(self, options: EngineOptions, site: Site, images: BeforeImages | None = None) -> None:
        """Remember what to start and how; nothing is started yet. `images`: where what agents change is kept before."""
        self.options, self.site, self._images = options, site, images
        self._starter = Starter(options, site)
        self._pool = Pool(self._starter.start, _pool_limits(options))
        self._token_count = TokenCount(options, site.credentials)
        self._offer: asyncio.Task[EngineOffer] | None = None
        # Not before the installed CLI has been proved.
        self._overlays = False

    @property
    def credentials(self) -> str | None:
        """Where the credentials come from."""
        return self.site.credentials.source

    @property
    def unworkable(self) -> Mapping[Profile, str]:
        """What an agent cannot be started as here, and why."""
        return unworkable(self.options, self.site)

    async def told_of(self, model: str) -> JsonObject | None:
        """Ask the model's API; with a login only the CLI may."""
        if lane_for(self.site.credentials) is not Lane.CLEAN or self.credentials is None:
            return None
        return await self._token_count.told_of(model)

    def control(self, workplace: str | None) -> RequestControl:
        """Say how far a request is the gateway's: at its own door everything is; an agent asks by itself."""
        if lane_for(self.site.credentials) is not Lane.CLEAN:
            return _BESIDE_A_LOGIN
        if workplace is not None:
            return _BESIDE_AN_AGENT
        return _AT_THE_DOOR if self._overlays else _IN_A_FRESH_PROCESS

    @property
    def live(self) -> int:
        """How many processes there are."""
        return len(self._starter.alive)

    async def offer(self) -> EngineOffer:
        """Ask the installed CLI what it is and offers; it is asked once."""
        if self._offer is None or (self._offer.done() and self._offer.exception() is not None):
            self._offer = asyncio.create_task(self._ask_offer(), name="cli offer")
        return await asyncio.shield(self._offer)

    async def _ask_offer(self) -> EngineOffer:
        resident, answer = await self._starter.start_and_ask("sonnet")
        self._pool.let_go(resident)
        version = str(answer.get("claude_code_version") or "unknown")
        check_version(version)
        return EngineOffer(version, _models(answer.get("models")))

    def trust(self, proof: Proof) -> None:
        """Use the quick way from now on, if it holds."""
        # Only a bare process sends nothing of its own beside the conversation, so only there can it be laid over.
        bare = lane_for(self.site.credentials) is Lane.CLEAN
        self._overlays = proof.overlay and bare and self.options.seating is Seating.AUTO
        self._pool.changes_models = proof.changes_models

    def prepare(self, model: str) -> None:
        """Expect turns with this model."""
        if self._overlays and self.credentials is not None:
            self._pool.prepare(model)

    async def count_tokens(self, plan: Plan) -> int:
        """Have the input of a turn counted."""
        if self.credentials is None:
            raise _no_credentials()
        return await self._token_count.count(plan)

    @asynccontextmanager
    async def ahead(self, principal: str, model: str) -> AsyncIterator[HeadStart | None]:
        """Have a process that is ready come to its door; what it is to ask there is told when the question is kept."""
        if not self._overlays or self.credentials is None:
            yield None
            return
        start = HeadStart(self._pool.ready(Claim(principal, model)))
        try:
            yield start
        finally:
            await asyncio.shield(self._end(start, principal, model))

    async def _end(self, start: HeadStart, principal: str, model: str) -> None:
        await start.leave()
        if start.resident is not None:
            await self._take_back(start.resident, start.turn, principal, model)

    @asynccontextmanager
    async def lease(self, plan: Plan) -> AsyncIterator[Lease]:
        """Seat a process, hand over the request, and take the process back whatever happens."""
        if self.credentials is None:
            raise _no_credentials()
        async with self._way(plan) as lease:
            yield lease

    def _way(self, plan: Plan) -> AbstractAsyncContextManager[Lease]:
        if plan.workplace is not None:
            return self._agent(plan, plan.workplace)
        return self._warm(plan) if self._overlays else self._fresh(plan)

    @asynccontextmanager
    async def _agent(self, plan: Plan, workplace: str) -> AsyncIterator[Lease]:
        """A process of its own at work in a project's directory, resumed from everything that was done before."""
        reason = self.unworkable.get(plan.profile) or (plan.trusted and self.unworkable.get(Profile.SHELL))
        if reason:
            raise TurnRefusedError(TurnError(ErrorKind.ENGINE_UNAVAILABLE, reason))
        agent = Agent(plan.profile, await asyncio.to_thread(_checked, workplace), plan.mode, plan.trusted)
        seating = arrange(plan.request.messages)
        prompt = system_prompt(plan.request)
        resident, _ = await self._starter.start_and_ask(plan.model, seating, prompt, agent)
        fields = parameter_fields(plan.request)
        steps = self.options.agent_steps
        beside = AgentTerms(plan.models, addresses_in(plan.request.messages), plan.purse)
        terms = Terms(steps * REQUESTS_OF_A_STEP, fields, compacts=True, agent=beside)
        given = Handover(str(uuid.uuid4()), blocks_json(seating.last), terms)
        try:
            witness = plan.witness
            denied = witness.denied if witness is not None else None
            cut = resident.door.shut if resident.door is not None else None
            translator = AgentTranslator(plan.turn_id, plan.created_s, seating.places, denied, cut)
            flags = profile_flags(plan.profile)
            desk = Desk(agent.workplace, tools_in(flags), free_in(flags), plan.mode, seen_as=agent.place)
            if self._images is not None:
                desk.keep(partial(self._images.keep, plan.turn_id, agent.workplace))
            desk.tell(witness)
            resident.process.asks = desk
            turn = await self._begin(resident, translator, given)
            desk.serve(turn.push, translator.plan_of)
            try:
                yield AgentLease(resident, turn, desk, plan.profile)
            finally:
                desk.close()
                _leave(resident.process, turn)
        finally:
            await asyncio.shield(resident.retire())

    @asynccontextmanager
    async def _warm(self, plan: Plan) -> AsyncIterator[Lease]:
        """A process that knows nothing, with the whole request laid over what it would send."""
        terms = Terms(fields=whole_request(plan.request))
        translator = Translator(plan.turn_id, plan.created_s)
        gone_on = await plan.ahead.go_on(translator, terms) if isinstance(plan.ahead, HeadStart) else None
        if gone_on is not None:
            # Whoever made it set out takes it back.
            try:
                yield ClaudeLease(*gone_on)
            finally:
                _leave(gone_on[0].process, gone_on[1])
            return
        given = Handover(str(uuid.uuid4()), [{"type": "text", "text": PLACEHOLDER}], terms)
        resident = await self._pool.claim(Claim(plan.principal, plan.model))
        turn = None
        try:
            turn = await self._begin(resident, translator, given)
            yield ClaudeLease(resident, turn)
        finally:
            if turn is not None:
                _leave(resident.process, turn)
            await asyncio.shield(self._take_back(resident, turn, plan.principal, plan.model))

    async def _take_back(self, resident: Resident, turn: RunningTurn | None, principal: str, model: str) -> None:
        # Who has left early is waited for apart: the answer may still be coming, and nobody should wait for that.
        if turn is not None and await resident.process.end(turn):
            await self._pool.take_back(resident, principal, resident.clean(turn))
        else:
            await resident.retire()
        self._pool.prepare(model)

    @asynccontextmanager
    async def _fresh(self, plan: Plan) -> AsyncIterator[Lease]:
        """A process of its own, resumed from a transcript: what always works."""
        seating = arrange(plan.request.messages)
        # With a login the CLI's own system prompt has to stay.
        clean = lane_for(self.site.credentials) is Lane.CLEAN
        system, prompt = (system_fields(plan.request), "") if clean else ({}, system_prompt(plan.request))
        resident, _ = await self._starter.start_and_ask(plan.model, seating, prompt)
        fields = {**parameter_fields(plan.request), **system}
        given = Handover(str(uuid.uuid4()), blocks_json(seating.last), Terms(fields=fields))
        try:
            turn = await self._begin(resident, Translator(plan.turn_id, plan.created_s), given)
            try:
                yield ClaudeLease(resident, turn)
            finally:
                _leave(resident.process, turn)
        finally:
            await asyncio.shield(resident.retire())

    async def _begin(self, resident: Resident, translator: Translator, given: Handover) -> RunningTurn:
        try:
            return await resident.begin(translator, given)
        except (ProcessDeadError, ControlRefusedError) as error:
            raise unavailable(str(error)) from error

    async def close(self) -> None:
        """End every process that is still there."""
        if self._offer is not None and not self._offer.done():
            self._offer.cancel()
            await asyncio.wait([self._offer])
        await self._token_count.close()
        await self._pool.close()
        await self._starter.close()


def _checked(workplace: str) -> Path:
    """Return the directory, if it is still the one that was made: a link in its place leads somewhere else."""
    path = Path(workplace)
    try:
        same = path.is_absolute() and path.resolve(strict=True) == path and path.is_dir()
    except OSError:
        same = False
    if not same:
        message = "The project's directory is not there any more."
        raise TurnRefusedError(TurnError(ErrorKind.CONFLICT, message, workplace))
    return path


def _leave(process: CliProcess, turn: RunningTurn) -> None:
    # Closing the mailbox first lets the owner read on to the turn's end.
    turn.mailbox.close()
    process.interrupt(turn)


def _models(found: object) -> tuple[OfferedModel, ...]:
    entries = found if isinstance(found, list) else []
    return tuple(
        OfferedModel(
            value=str(entry.get("value") or ""),
            resolved=str(entry.get("resolvedModel") or entry.get("value") or ""),
            title=str(entry.get("displayName") or ""),
            description=str(entry.get("description") or ""),
            effort_levels=tuple(str(level) for level in entry.get("supportedEffortLevels") or ()),
            adaptive=_told(entry.get("supportsAdaptiveThinking")),
            thinking_off=_told(entry.get("supportsThinkingOff")),
        )
        for entry in entries
        if isinstance(entry, dict)
    )


def _told(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _no_credentials() -> TurnRefusedError:
    message = (
        "The gateway has no credentials for the model: set ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN for the gateway, "
        "or log in with `claude` as the gateway's user."
    )
    return TurnRefusedError(TurnError(ErrorKind.NO_CREDENTIALS, message))


def _pool_limits(options: EngineOptions) -> PoolLimits:
    return PoolLimits(
        max_idle=options.max_idle,
        spares=options.spares,
        idle_s=options.idle_s,
        max_turns=options.process_turns,
        max_rss_mib=options.process_mib,
        max_age_s=options.process_age_s,
        max_total_mib=options.pool_mib,
        starts=options.starts,
    )
