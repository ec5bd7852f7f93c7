"""What running turns have said so far, written down now and then, so that a crash does not take all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from claude_code_api.flow.event_text import event_text
from claude_code_api.flow.ports import Store, StoreError
from claude_code_api.flow.records import JournalEntry
from claude_code_api.turn.events import TurnEvent

_log = structlog.get_logger("claude_code_api.flow")

# Characters of all turns together that may wait to be written. Above that a turn's events are no longer written: the
# answer itself does not depend on them.
MAX_WAITING_CHARS: Final = 16 * 1024 * 1024


class _Pages:
    """One turn's events: how many are written, and which are not yet."""

    __slots__ = ("texts", "written")

    def __init__(self) -> None:
        self.written = 0
        self.texts: list[str] = []


class Journal:
    """Collects the events of all turns, and writes them together every `every_s` seconds."""

    def __init__(self, store: Store, *, every_s: float) -> None:
        """Begin with nothing to write."""
        self._store, self._every_s = store, every_s
        self._turns: dict[str, _Pages] = {}
        self._given_up: set[str] = set()
        self._waiting_chars = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def add(self, turn_id: str, events: Sequence[TurnEvent]) -> None:
        """Take events; they are written with the next round."""
        if turn_id in self._given_up:
            return
        texts = [event_text(event) for event in events]
        chars = sum(map(len, texts))
        if self._waiting_chars + chars > MAX_WAITING_CHARS:
            _log.warning("journal_full", turn_id=turn_id)
            self._drop(turn_id)
            self._given_up.add(turn_id)
            return
        self._waiting_chars += chars
        self._turns.setdefault(turn_id, _Pages()).texts += texts
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._round)

    def forget(self, turn_id: str) -> None:
        """Write no more of a turn: it is over."""
        self._given_up.discard(turn_id)
        self._drop(turn_id)

    def _drop(self, turn_id: str) -> None:
        pages = self._turns.pop(turn_id, None)
        if pages is not None:
            self._waiting_chars -= sum(map(len, pages.texts))

    def _round(self) -> None:
        self._timer = None
        self._writing = asyncio.create_task(self.write(), name="journal")

    async def write(self) -> None:
        """Write everything that waits."""
        entries = []
        for turn_id, pages in self._turns.items():
            if pages.texts:
                entries.append(JournalEntry(turn_id, pages.written + 1, tuple(pages.texts)))
                pages.written += len(pages.texts)
                pages.texts = []
        self._waiting_chars = 0
        if not entries:
            return
        try:
            await self._store.journal(entries)
        except StoreError as error:
            # What is lost is only the end of answers that a crash would cut.
            _log.warning("journal_not_written", turns=len(entries), reason=str(error))

    async def close(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
