"""The calls of one agent's turn, put on record: each before it is made, and what became of it with the turn's end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from claude_code_api.flow.acts import Act, canonical
from claude_code_api.flow.audit_records import AuditStore
from claude_code_api.flow.places import Work
from claude_code_api.flow.ports import Clock
from claude_code_api.flow.records import Turn
from claude_code_api.turn.approvals import Decision
from claude_code_api.turn.events import ApprovalSettled, Phase, ToolActivity, TurnEvent
from claude_code_api.turn.request import Json, JsonObject

CALL: Final = "call"
CALL_END: Final = "call.end"
# Of which argument a piece is shown. Contents of files are never among them: of those there is the digest.
_SHOWN: Final[Mapping[str, str]] = {
    "Bash": "command",
    "Read": "file_path",
    "Edit": "file_path",
    "Write": "file_path",
    "NotebookEdit": "notebook_path",
    "Glob": "pattern",
    "Grep": "pattern",
}
_NO: Final = Decision.DENY.value


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was heard of a call in the answer."""

    at_s: float
    is_error: bool


class CallsOnRecord:
    """The witness of one turn. What it has heard and not written is lost in a crash; what is called is written."""

    def __init__(self, turn: Turn, work: Work, store: AuditStore, clock: Clock, *, shown_chars: int) -> None:
        """Begin with no calls. `shown_chars`: how much of a path or a command is put down."""
        self._turn, self._work, self._store, self._clock = turn, work, store, clock
        self._shown_chars = shown_chars
        self._recovered = False
        # Names of tools by the ids of calls: of those that were told before, and of those that the answer has.
        self._called: dict[str, str] = {}
        self._begun: dict[str, ToolActivity] = {}
        self._ended: dict[str, _Seen] = {}
        self._denied: dict[str, str] = {}
        self._settled: dict[str, ApprovalSettled] = {}
        # What a person made of a call, by the id of the approval.
        self._edited: dict[str, JsonObject] = {}

    # While it runs

    async def called(self, tool_id: str, tool: str, arguments: JsonObject) -> None:
        """Put a call on record before it is made."""
        self._called[tool_id] = tool
        await self._store.put_on_record([self._call(tool_id, tool, arguments)])

    def denied(self, tool_id: str, by: str = "profile") -> None:
        """Hear that a call was denied, and no person was asked."""
        # The CLI lists it again at the end, and does not know why.
        self._denied.setdefault(tool_id, by)

    def answered(self, approval_id: str, arguments: JsonObject | None) -> None:
        """Hear with what a person let a call be made instead."""
        if arguments is not None:
            self._edited[approval_id] = arguments

    def saw(self, event: TurnEvent) -> None:
        """Look at what the turn tells."""
        if isinstance(event, ApprovalSettled):
            self._settled[event.tool_id] = event
        elif isinstance(event, ToolActivity) and event.phase is Phase.ENDED:
            self._ended[event.tool_id] = _Seen(self._clock.now_s(), bool(event.body.get("is_error")))
        elif isinstance(event, ToolActivity):
            self._begun[event.tool_id] = event

    # At its end

    def recover(self, events: Iterable[TurnEvent]) -> None:
        """After a crash: look at what is left of what the turn told. Its calls have been on record since before."""
        self._recovered = True
        for event in events:
            self.saw(event)

    def ends(self, *, whole: bool) -> tuple[Act, ...]:
        """Say what became of the calls. `whole`: the turn came to its own end."""
        return tuple(self._ends(whole=whole))

    def _ends(self, *, whole: bool) -> Iterator[Act]:
        for tool_id in dict.fromkeys((*self._called, *self._begun, *self._ended)):
            begun = self._begun.get(tool_id)
            tool = self._called.get(tool_id) or (begun.tool_name if begun is not None else "")
            untold = tool_id not in self._called and not self._recovered
            if untold:
                # The CLI tells of what it is about to do; of what it refuses as no call at all, only the answer tells.
                yield self._call(tool_id, tool, begun.body if begun is not None else {})
            decision, by = self._decision(tool_id, whole=whole, untold=untold)
            what = {"decision": decision, "by": by, "outcome": self._outcome(tool_id, decision)}
            more: dict[str, Json] = {"recovered": True} if self._recovered else {}
            seen = self._ended.get(tool_id)
            at_s = seen.at_s if seen is not None else self._clock.now_s()
            yield self._act(CALL_END, tool_id, tool, at_s, {**what, **self._edit(tool_id), **more})

    def _decision(self, tool_id: str, *, whole: bool, untold: bool) -> tuple[str | None, str | None]:
        settled, seen = self._settled.get(tool_id), self._ended.get(tool_id)
        if settled is not None:
            return settled.decision.value, settled.by.value
        if tool_id in self._denied:
            return _NO, self._denied[tool_id]
        if seen is None or (seen.is_error and not whole):
            # Cut before anybody could say whether it was denied.
            return None, None
        if untold:
            return (_NO if seen.is_error else Decision.ALLOW.value), "program"
        return Decision.ALLOW.value, "profile"

    def _outcome(self, tool_id: str, decision: str | None) -> str:
        seen = self._ended.get(tool_id)
        if decision == _NO:
            return "denied"
        if seen is None:
            return "cut"
        return "error" if seen.is_error else "ended"

    def _edit(self, tool_id: str) -> dict[str, Json]:
        settled = self._settled.get(tool_id)
        arguments = self._edited.get(settled.approval_id) if settled is not None and settled.edited else None
        if settled is None or arguments is None:
            return {}
        tool = self._called.get(tool_id, "")
        return {"made_with": {"input_sha256": _digest(arguments), "shown": self._shown(tool, arguments)}}

    def _call(self, tool_id: str, tool: str, arguments: JsonObject) -> Act:
        work = self._work
        return self._act(
            CALL,
            tool_id,
            tool,
            self._clock.now_s(),
            {
                "profile": work.profile.value,
                "mode": work.mode.value,
                "trusted": work.trusted,
                "input_sha256": _digest(arguments),
                "shown": self._shown(tool, arguments),
            },
        )

    def _act(self, kind: str, tool_id: str, tool: str, at_s: float, more: Mapping[str, Json]) -> Act:
        turn = self._turn
        where = {"turn": turn.id, "session": turn.session_id, "project": turn.project_id}
        return Act(at_s, turn.owner, kind, {**where, "tool": tool, "tool_id": tool_id, **more})

    def _shown(self, tool: str, arguments: JsonObject) -> str:
        value = arguments.get(_SHOWN.get(tool, ""))
        return value[: self._shown_chars] if isinstance(value, str) else ""


def _digest(arguments: JsonObject) -> str:
    return hashlib.sha256(canonical(arguments).encode()).hexdigest()
