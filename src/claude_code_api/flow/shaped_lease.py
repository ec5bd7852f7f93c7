"""A turn whose answer is not passed on as it comes: see `models.answer_events`.

JSON that does not satisfy the client's schema is asked for once more, with what is wrong with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from enum import Enum

from claude_code_api.flow.ports import Engine, Lease, Plan
from claude_code_api.flow.records import Mode
from claude_code_api.models.answer_check import Checked, check
from claude_code_api.models.answer_events import ShapedAnswer
from claude_code_api.models.fitted import AnswerShape, JsonWanted
from claude_code_api.models.structured import repair_words
from claude_code_api.turn.approvals import Verdict
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import Failed, Started, TurnEvent, Usage
from claude_code_api.turn.request import Message, TextBlock


class JsonOutcome(Enum):
    """What came of an answer that has to be JSON."""

    CHECKED = "checked"
    REPAIRED = "repaired"
    INVALID = "invalid"
    UNCHECKED = "unchecked"


class ShapedLease:
    """A lease on the answer that the client asked for."""

    def __init__(self, engine: Engine, plan: Plan, lease: Lease, shape: AnswerShape) -> None:
        """Shape the answer of `lease`; the engine is asked again if need be."""
        self._engine, self._plan, self._lease, self._shape = engine, plan, lease, shape
        self._answer = ShapedAnswer(shape)
        self._interrupted = False
        self.outcome: JsonOutcome | None = None

    @property
    def checks(self) -> bool:
        """Whether the answer is held against a schema."""
        return self._shape.json is not None

    async def batches(self) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield what has come. Of JSON that is held nothing is told before it is known what comes of it."""
        early: list[TurnEvent] = []
        told = self._shape.json is None
        async for batch in self._made():
            told = told or not all(isinstance(event, (Started, Usage)) for event in batch)
            if told:
                yield [*early, *batch]
                early = []
            else:
                early += batch
        if early:
            yield early

    async def _made(self) -> AsyncIterator[Sequence[TurnEvent]]:
        async for batch in self._shaped(self._lease):
            yield batch
        if self._answer.end is None or self._shape.json is None:
            return
        found = await _checked(self._answer.text, self._shape.json)
        if found.problem is None or self._interrupted:
            self.outcome = JsonOutcome.UNCHECKED if found.given_up else JsonOutcome.CHECKED
            yield list(self._answer.finish(found.text))
            return
        async for batch in self._repaired(found.problem, self._shape.json):
            yield batch

    async def _repaired(self, problem: str, wanted: JsonWanted) -> AsyncIterator[Sequence[TurnEvent]]:
        said = (Message("assistant", (TextBlock(self._answer.text),)),) if self._answer.text.strip() else ()
        told = Message("user", (TextBlock(repair_words(problem)),))
        request = replace(self._plan.request, messages=(*self._plan.request.messages, *said, told))
        self._answer.again()
        try:
            async with self._engine.lease(replace(self._plan, request=request, ahead=None)) as lease:
                self._lease = lease
                if self._interrupted:
                    lease.interrupt()
                async for batch in self._shaped(lease):
                    later = [event for event in batch if not isinstance(event, Started)]
                    if later:
                        yield later
        except TurnRefusedError as refusal:
            yield [Failed(refusal.error)]
            return
        if self._answer.end is not None:
            found = await _checked(self._answer.text, wanted)
            self.outcome = JsonOutcome.REPAIRED if found.problem is None else JsonOutcome.INVALID
            yield list(self._answer.finish(found.text))

    async def _shaped(self, lease: Lease) -> AsyncIterator[Sequence[TurnEvent]]:
        async for batch in lease.batches():
            shaped = [made for event in batch for made in self._answer.push(event)]
            if shaped:
                yield shaped

    def interrupt(self) -> None:
        """Ask for the end."""
        self._interrupted = True
        self._lease.interrupt()

    def answer(self, approval_id: str, verdict: Verdict) -> bool:
        """Decide about a call that waits."""
        return self._lease.answer(approval_id, verdict)

    async def set_mode(self, mode: Mode) -> None:
        """Change whom the agent asks."""
        await self._lease.set_mode(mode)


async def _checked(text: str, wanted: JsonWanted) -> Checked:
    # A schema of the client's decides how long it takes: the others are not kept waiting.
    return await asyncio.to_thread(check, text, wanted.schema)
