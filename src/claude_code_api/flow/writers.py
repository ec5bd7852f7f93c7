"""One writer for each session: who comes second waits, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from claude_code_api.flow.admission import RETRY_AFTER_S
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError


@dataclass(slots=True)
class _Session:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    there: int = 0


class Writers:
    """Who writes to which session, in this process. Between processes the session's fence decides."""

    def __init__(self, *, max_waiting: int, wait_s: float) -> None:
        """Begin with nobody."""
        self._max_waiting, self._wait_s = max_waiting, wait_s
        self._sessions: dict[str, _Session] = {}

    def writing(self, session_id: str) -> bool:
        """Whether somebody is."""
        return session_id in self._sessions

    @asynccontextmanager
    async def alone(self, session_id: str) -> AsyncIterator[None]:
        """Be the session's writer for the length of the context."""
        session = self._sessions.setdefault(session_id, _Session())
        if session.there > self._max_waiting:
            raise busy(f"{session.there - 1} requests wait for the session already")
        session.there += 1
        try:
            await self._wait(session)
            try:
                yield
            finally:
                session.lock.release()
        finally:
            session.there -= 1
            if not session.there:
                del self._sessions[session_id]

    @asynccontextmanager
    async def alone_or_not_at_all(self, session_id: str) -> AsyncIterator[None]:
        """Be the session's writer, unless there is one already; nobody waits here, and others wait meanwhile."""
        if self.writing(session_id):
            raise busy("somebody writes to the session")
        # With nobody there this takes the place without a moment in between.
        async with self.alone(session_id):
            yield

    async def _wait(self, session: _Session) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await session.lock.acquire()
        except TimeoutError as error:
            raise busy(f"the session was not free within {self._wait_s:g} s") from error


def busy(detail: str) -> TurnRefusedError:
    """Refuse, because the session has a turn running."""
    message = "Another request is writing to this session; try again when it is done."
    return TurnRefusedError(TurnError(ErrorKind.CONFLICT, message, detail, retry_after_s=RETRY_AFTER_S))
