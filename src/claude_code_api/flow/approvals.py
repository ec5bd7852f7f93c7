"""The calls of running turns that wait for a person, and what was decided about them.

They live as long as their turn, in the gateway that runs it. What a person allows for good holds for the session, for
as long as this gateway runs; it is written nowhere, least of all into the project.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from claude_code_api.flow.ports import Clock
from claude_code_api.turn.approvals import Decision, Settler, Verdict
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.events import ApprovalSettled, ApprovalWanted

_log = structlog.get_logger("claude_code_api.flow")

# The CLI asks about one call after the other; an agent with more open questions than a person can follow has lost its
# way.
MAX_OPEN: Final = 32
# So many decisions are remembered, to tell an answer that comes too late from one to a question that never was.
MAX_SETTLED: Final = 1000
# Sessions whose permanent permissions are remembered, and permissions of one; the eldest are asked for again.
MAX_SESSIONS: Final = 1000
MAX_RULES: Final = 100


class AskingTurn(Protocol):
    """A turn whose calls may wait."""

    @property
    def turn_id(self) -> str: ...

    @property
    def session_id(self) -> str: ...

    @property
    def owner(self) -> str: ...

    def answer(self, approval_id: str, verdict: Verdict) -> bool: ...


@dataclass(slots=True)
class _Open:
    turn: AskingTurn
    wanted: ApprovalWanted
    deadline: asyncio.TimerHandle
    verdict: Verdict | None = None


# Whose, and in which session.
_Where = tuple[str, str]


class Approvals:
    """What waits for a person. One for the whole gateway."""

    def __init__(self, clock: Clock, *, wait_s: float) -> None:
        """Begin with nothing. `wait_s`: how long a person has."""
        self._clock, self._wait_s = clock, wait_s
        self._open: dict[str, _Open] = {}
        self._settled: OrderedDict[str, _Where] = OrderedDict()
        self._rules: OrderedDict[_Where, OrderedDict[str, None]] = OrderedDict()

    # The turn's side

    def opened(self, turn: AskingTurn, wanted: ApprovalWanted) -> ApprovalWanted:
        """Take a question; returns it with its deadline."""
        asked = replace(wanted, expires_s=self._clock.now_s() + self._wait_s)
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(self._wait_s, self._too_late, wanted.approval_id)
        self._open[wanted.approval_id] = _Open(turn, asked, deadline)
        if wanted.always and wanted.always in self._rules.get(_where(turn), ()):
            self._decide(asked, Verdict(Decision.ALLOW, Settler.RULE))
        elif sum(waits.turn is turn for waits in self._open.values()) > MAX_OPEN:
            self._decide(asked, Verdict(Decision.DENY, Settler.END, "Too many calls wait for a person already."))
        return asked

    def closed(self, approval_id: str) -> None:
        """Forget a question that is settled."""
        waits = self._open.pop(approval_id, None)
        if waits is None:
            return
        waits.deadline.cancel()
        self._settled[approval_id] = _where(waits.turn)
        if len(self._settled) > MAX_SETTLED:
            self._settled.popitem(last=False)

    def left_by(self, turn: AskingTurn) -> Iterator[ApprovalSettled]:
        """Settle what a turn leaves open at its end."""
        for approval_id, waits in tuple(self._open.items()):
            if waits.turn is turn:
                verdict = waits.verdict or Verdict(Decision.DENY, Settler.END)
                tool_id = waits.wanted.tool_id
                yield ApprovalSettled(approval_id, tool_id, verdict.decision, verdict.by, verdict.message)

    def _too_late(self, approval_id: str) -> None:
        message = f"Nobody answered within {self._wait_s:g} seconds, so this call is denied."
        waits = self._open.get(approval_id)
        if waits is not None:
            _log.info("approval_expired", turn_id=waits.turn.turn_id, tool=waits.wanted.tool_name)
            self._decide(waits.wanted, Verdict(Decision.DENY, Settler.TIME, message))

    def _decide(self, wanted: ApprovalWanted, verdict: Verdict) -> bool:
        waits = self._open[wanted.approval_id]
        if waits.verdict is not None or not waits.turn.answer(wanted.approval_id, verdict):
            return False
        waits.verdict = verdict
        waits.deadline.cancel()
        return True

    # The person's side

    def waiting(self, session_id: str, owner: str) -> list[tuple[str, ApprovalWanted]]:
        """Say what waits in a session: turn and question."""
        return [
            (waits.turn.turn_id, waits.wanted)
            for waits in self._open.values()
            if waits.verdict is None and _where(waits.turn) == (owner, session_id)
        ]

    def answer(self, session_id: str, owner: str, approval_id: str, verdict: Verdict) -> ApprovalWanted:
        """Decide, once. Nobody can tell the questions of others from those that never were."""
        waits = self._open.get(approval_id)
        where = _where(waits.turn) if waits is not None else self._settled.get(approval_id)
        if where != (owner, session_id):
            message = "There is no approval with this id in the session."
            raise TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param="approval_id"))
        if waits is None or not self._decide(waits.wanted, verdict):
            message = "This has been decided already, or its turn is over."
            raise TurnRefusedError(TurnError(ErrorKind.CONFLICT, message, source="client", param="approval_id"))
        if verdict.decision is Decision.ALLOW_ALWAYS:
            self._allow_always((owner, session_id), waits.wanted.always)
        return waits.wanted

    def _allow_always(self, where: _Where, rule: str) -> None:
        rules = self._rules.setdefault(where, OrderedDict())
        self._rules.move_to_end(where)
        rules[rule] = None
        if len(rules) > MAX_RULES:
            rules.popitem(last=False)
        if len(self._rules) > MAX_SESSIONS:
            self._rules.popitem(last=False)


def _where(turn: AskingTurn) -> _Where:
    return turn.owner, turn.session_id
