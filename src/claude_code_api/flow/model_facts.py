"""What a model accepts, as far as anything tells: the table, the installed CLI, the model's API for one that is new.

A model with a row in the table is not asked about. For any other the model's API is asked once; what it says counts
more than what the family's newest row says.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from claude_code_api.flow.catalogue import Resolved
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Engine
from claude_code_api.models.capabilities import Capabilities, CapabilityTable
from claude_code_api.models.told_by_api import joined_with_api

_log = structlog.get_logger("claude_code_api.flow")

# The first turn of a model that is new waits for it; the API takes some hundred milliseconds.
ASK_S: Final = 5.0
# New models are few; names that clients make up do not come here.
MAX_KEPT: Final = 100


class ModelFacts:
    """Says what a model accepts. One for the whole gateway."""

    def __init__(self, engine: Engine, options: FlowOptions) -> None:
        """Take the table with the operator's rows over it."""
        self._engine, self._table = engine, CapabilityTable(options.model_capabilities)
        self._new: dict[str, Capabilities] = {}

    async def of(self, resolved: Resolved) -> Capabilities:
        """Say it of the model that a name came to."""
        if self._table.row(resolved.id) is not None:
            return self._table.of(resolved.id)
        if resolved.id not in self._new:
            if len(self._new) >= MAX_KEPT:
                self._new.clear()
            self._new[resolved.id] = await self._asked(resolved)
        return self._new[resolved.id]

    async def _asked(self, resolved: Resolved) -> Capabilities:
        known = self._table.of(resolved.id, resolved.offer)
        try:
            async with asyncio.timeout(ASK_S):
                told = await self._engine.told_of(resolved.id)
        except TimeoutError:
            _log.warning("model_not_told_in_time", model=resolved.id, after_s=ASK_S)
            told = None
        if told is None:
            return known
        found = joined_with_api(known, told)
        _log.info("model_is_new", model=resolved.id, thinking=found.thinking, efforts=found.effort_levels)
        return found
