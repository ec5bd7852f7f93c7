"""How many tokens a request's input has: admitted like a turn, and answered without one."""

from __future__ import annotations

from typing import Final

from claude_code_api.flow.access import Caller
from claude_code_api.flow.admission import Admission
from claude_code_api.flow.catalogue import Catalogue
from claude_code_api.flow.model_facts import ModelFacts
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Clock, Engine, Plan
from claude_code_api.flow.refusals import (
    refuse_what_is_elsewhere,
    refuse_what_would_be_changed,
    refuse_what_would_be_ignored,
)
from claude_code_api.models.fit import fit
from claude_code_api.turn.request import TurnRequest

# A count is nobody's turn.
_NO_TURN: Final = "count"


class TokenCounter:
    """Counts. One for the whole gateway."""

    def __init__(
        self, *, engine: Engine, catalogue: Catalogue, admission: Admission, options: FlowOptions, clock: Clock
    ) -> None:
        """Take what counting needs; the places are those of the turns."""
        self._engine, self._catalogue, self._admission = engine, catalogue, admission
        self._options, self._clock = options, clock
        self._facts = ModelFacts(engine, options)

    async def count(self, request: TurnRequest, caller: Caller) -> int:
        """Count what the model would read. Raises `TurnRefusedError` where that is not possible."""
        refuse_what_would_be_ignored(request, self._options)
        refuse_what_is_elsewhere(request, self._options)
        async with self._admission.permit(caller.name, caller.rates):
            resolved = await self._catalogue.resolve(request.model, only=caller.models)
            model = await self._facts.of(resolved)
            fitted = fit(request, model, self._engine.control(None))
            refuse_what_would_be_changed(fitted, model, self._options)
            plan = Plan(
                turn_id=_NO_TURN,
                created_s=int(self._clock.now_s()),
                model=resolved.value,
                request=fitted.request,
                principal=caller.name,
            )
            return await self._engine.count_tokens(plan)
