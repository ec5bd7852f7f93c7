"""What has to be done now and then, so that nothing is left lying about."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from claude_code_api.flow.before_images import BeforeImages
from claude_code_api.flow.ledger import Ledger
from claude_code_api.flow.options import FlowOptions
from claude_code_api.flow.ports import Clock, Store, StoreError
from claude_code_api.flow.rates import LONGEST_WINDOW_S
from claude_code_api.flow.stored_keys import StoredKeys

_log = structlog.get_logger("claude_code_api.flow")

# Short enough that nobody waits long for a turn that another gateway left behind; each round is a few small queries.
EVERY_S: Final = 10.0
# Sessions that one round drops at most: a round must not keep the database from others.
_AT_ONCE: Final = 100


class Upkeep:
    """Ends what nobody runs any more, writes what could not be written, drops what nobody will ask for."""

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        keys: StoredKeys,
        images: BeforeImages,
        options: FlowOptions,
        clock: Clock,
    ) -> None:
        """Take what is kept up."""
        self._ledger, self._store, self._keys, self._images = ledger, store, keys, images
        self._options, self._clock = options, clock

    async def run(self) -> None:
        """Go round for ever."""
        while True:
            await asyncio.sleep(EVERY_S)  # noqa: TID251 - this is the clock of the rounds
            try:
                await self.round()
            except StoreError as error:
                # It is tried again, and whoever needs the store is told.
                _log.warning("upkeep_failed", reason=str(error))

    async def round(self) -> None:
        """Go round once."""
        await self._ledger.write_rest()
        await self._keys.write_use()
        await self._ledger.recover()
        now_s = self._clock.now_s()
        await self._store.forget_events(ended_before_s=now_s - self._options.replay_s)
        await self._store.forget_hits(before_s=now_s - LONGEST_WINDOW_S)
        await self._sweep(now_s)
        try:
            await self._images.forget_old(kept_before_s=now_s - self._options.checkpoint_s)
        except OSError as error:
            _log.warning("checkpoints_not_dropped", reason=str(error))

    async def _sweep(self, now_s: float) -> None:
        """Drop sessions that expired long ago, where that is wanted."""
        if not self._options.purge_after_s:
            return
        expired_before_s = now_s - self._options.purge_after_s
        for session_id, owner in await self._store.expired_sessions(expired_before_s=expired_before_s, limit=_AT_ONCE):
            await self._store.delete_session(session_id, owner)
