"""Turns whose answers can be asked for again by the turn's id: those that left a note of how to tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from claude_code_api.flow.access import Caller
from claude_code_api.flow.detached import Detached, DetachedTurn, WatchedTurn
from claude_code_api.flow.ports import Store
from claude_code_api.flow.records import StoredMessage, Turn
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import Started
from claude_code_api.turn.result import TurnResult

_CANCELLED: Final = TurnError(ErrorKind.INTERRUPTED, "The turn was cancelled, as was asked for.", source="client")


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """A turn, and what it has come to so far."""

    turn: Turn
    note: str
    result: TurnResult


class Kept:
    """The turns of one dialect that can be asked for again."""

    def __init__(self, store: Store, detached: Detached, dialect: str) -> None:
        """Take what there is."""
        self._store, self._detached, self._dialect = store, detached, dialect

    async def get(self, turn_id: str, caller: Caller) -> KeptTurn | None:
        """Return one of the caller's turns; None where there is none that can be asked for."""
        if await self._noted(turn_id, caller) is None:
            return None
        watched = await self._watched(turn_id, caller)
        # It may have come to its end in between.
        turn = await self._noted(turn_id, caller)
        if turn is None or turn.note is None:
            return None
        result = watched.result if watched is not None else TurnResult()
        started = result.started or Started(turn.id, turn.model, int(turn.created_s))
        started = replace(started, session_id=turn.session_id)
        return KeptTurn(turn, turn.note, replace(result, started=started))

    async def follow(self, turn_id: str, caller: Caller) -> WatchedTurn:
        """Return a turn to read it, as it runs or has run."""
        return await self._detached.find(turn_id, caller)

    async def cancel(self, turn_id: str, caller: Caller) -> None:
        """End a turn that runs in the background, if it still does; returns once it is over."""
        watched = await self._watched(turn_id, caller)
        if isinstance(watched, DetachedTurn):
            watched.end_because(_CANCELLED)
            async for _ in watched.batches():
                pass

    async def forget(self, turn_id: str, caller: Caller) -> bool:
        """Let a turn's answer not be asked for again; one that runs in the background ends. False: there is none."""
        if await self._noted(turn_id, caller) is None:
            return False
        await self.cancel(turn_id, caller)
        return await self._store.forget_note(turn_id, caller.name)

    async def asked(self, turn: Turn) -> Sequence[StoredMessage]:
        """Return everything that a turn's model was told: what its session held, and what was new."""
        held = await self._store.history(turn.session_id)
        before = [entry for entry in held if turn.answer_number is None or entry.number < turn.answer_number]
        mine = [entry.number for entry in before if entry.turn_id == turn.id and not entry.step]
        return [entry for entry in before if entry.number <= max(mine, default=0)]

    async def _noted(self, turn_id: str, caller: Caller) -> Turn | None:
        turn = await self._store.turn(turn_id, caller.name)
        return turn if turn is not None and turn.note is not None and turn.dialect == self._dialect else None

    async def _watched(self, turn_id: str, caller: Caller) -> WatchedTurn | None:
        try:
            return await self._detached.find(turn_id, caller)
        except TurnRefusedError as refusal:
            if refusal.error.kind is not ErrorKind.CONFLICT:
                raise
            # It runs on another gateway, or for a client that waits for it.
            return None
