"""A process on its way to its door, before anybody knows what it is to ask there.

From a message on its input to a request at its door a CLI takes some ten milliseconds, whatever the message says: and
it says nothing, because the real request is laid over at the door. So a turn's question may be written down meanwhile.
The door stays closed until it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from claude_code_api.engine.door import Terms
from claude_code_api.engine.process import ProcessDeadError, ProcessState
from claude_code_api.engine.process_turn import RunningTurn
from claude_code_api.engine.resident import Resident
from claude_code_api.engine.translate import Translator

_log = structlog.get_logger("claude_code_api.engine")


class HeadStart:
    """One process that sets out for one turn."""

    def __init__(self, claim: Coroutine[Any, Any, Resident | None]) -> None:
        """Let it set out as soon as `claim` has found one that is ready; None: nobody is."""
        self.resident: Resident | None = None
        self.turn: RunningTurn | None = None
        self._gone_on = False
        self._task = asyncio.create_task(self._set_out(claim), name="head start")

    async def _set_out(self, claim: Coroutine[Any, Any, Resident | None]) -> None:
        self.resident = await claim
        if self.resident is None or self.resident.door is None:
            # Without a door the placeholder would reach the model.
            return
        try:
            self.turn = await self.resident.set_out(self.resident.door)
        except ProcessDeadError as error:
            _log.warning("cli_not_set_out", pid=self.resident.process.pid, reason=str(error))

    async def go_on(self, translator: Translator, terms: Terms) -> tuple[Resident, RunningTurn] | None:
        """Open the door for what the turn asks. None: there is none that has come so far."""
        await self._task
        resident, turn = self.resident, self.turn
        if resident is None or resident.door is None or turn is None:
            return None
        if resident.process.state is not ProcessState.RUNNING:
            return None
        turn.translator = translator
        resident.door.admit(terms)
        self._gone_on = True
        return resident, turn

    async def leave(self) -> None:
        """It is over, or was never wanted: then nobody has been asked anything."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (problem := self._task.exception()) is not None:
            raise problem
        if not self._gone_on and self.resident is not None and self.resident.door is not None:
            self.resident.door.admit(Terms(requests=0))
