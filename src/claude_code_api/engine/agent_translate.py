"""The frames of an agent's turn → `TurnEvent`s. Pure.

An agent asks the model as often as it needs to: it says something, calls its own tools, hears of them, and goes on. All
of that is one turn; its text is one answer, and what the tools did is told beside it. When the model says that the
conversation has become too long for it, the agent has it summed up, and goes on from that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from typing_extensions import override

from claude_code_api.engine.failures import failure_of
from claude_code_api.engine.protocol import BoundaryFrame, ResultFrame, SummaryFrame, ToolResultFrame
from claude_code_api.engine.translate import REASONS, Translator, cost_usd, spent
from claude_code_api.turn.events import (
    Compacted,
    Ended,
    EndReason,
    Phase,
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
    total_usage,
)
from claude_code_api.turn.request import Json, JsonObject

_UNKNOWN_TOOL: Final = ""
PLAN_TOOL: Final = "ExitPlanMode"


class AgentTranslator(Translator):
    """Follows one turn of an agent."""

    __slots__ = (
        "_arguments",
        "_before",
        "_call",
        "_compacted",
        "_cut",
        "_denied",
        "_late",
        "_names",
        "_places",
        "_plans",
        "_spent",
        "_waiting",
    )

    def __init__(
        self,
        turn_id: str,
        created_s: int,
        places: Mapping[str, int] | None = None,
        denied: Callable[[str], None] | None = None,
        cut: Callable[[], None] | None = None,
    ) -> None:
        """Ids and time come from outside. `places`: which entries the CLI has of which of the request's messages.

        `denied`: hears of the ids of calls that were denied. `cut`: hears at once that the model was cut off.
        """
        super().__init__(turn_id, created_s)
        self._denied, self._cut = denied, cut
        self._places = places or {}
        # How many messages were summed up, as long as the summary has not come; and what waits for the beginning.
        self._compacted: int | None = None
        self._waiting: Compacted | None = None
        # All that the turn used, by the CLI's own count: it includes the summary, which is not streamed.
        self._spent: Usage | None = None
        # What the earlier messages of this turn used.
        self._before: Usage | None = None
        # The call that is being streamed, and the names of all calls, by their ids.
        self._call: str | None = None
        self._arguments: list[str] = []
        self._names: dict[str, str] = {}
        # What tools came to while the model was still speaking.
        self._late: list[ToolActivity] = []
        self._plans: dict[str, JsonObject] = {}

    @override
    def _message_start(self, message: Mapping[str, Any]) -> Iterator[TurnEvent]:
        if self.over:
            return
        if self._started:
            self._before = self._usage(None)
        self._tokens = {}
        self._ended = None
        self._add_tokens(message.get("usage"))
        if not self._started:
            self._started = True
            self._model = str(message.get("model") or "")
            yield Started(self._turn_id, self._model, self._created_s)
        if self._waiting is not None:
            yield self._waiting
            self._waiting = None
        yield self._usage(None)

    @override
    def _block_start(self, block: Mapping[str, Any]) -> Iterator[TurnEvent]:
        if block.get("type") != "tool_use" or self.over or self._open is not None:
            yield from super()._block_start(block)
            return
        self._call, self._arguments = str(block.get("id") or ""), []
        self._names[self._call] = str(block.get("name") or "")

    @override
    def _delta(self, delta: Mapping[str, Any]) -> Iterator[TurnEvent]:
        if self._call is None:
            yield from super()._delta(delta)
        elif delta.get("type") == "input_json_delta":
            self._arguments.append(str(delta.get("partial_json") or ""))

    @override
    def _block_stop(self) -> Iterator[TurnEvent]:
        if self._call is None:
            yield from super()._block_stop()
        else:
            yield from self._called(self._call)
        late, self._late = self._late, []
        yield from late

    def _called(self, call: str) -> Iterator[TurnEvent]:
        self._call = None
        if not self.over:
            body = _object("".join(self._arguments))
            if self._names[call] == PLAN_TOOL:
                self._plans[call] = body
            yield ToolActivity(call, self._names[call], Phase.STARTED, body)

    def plan_of(self, call: str) -> JsonObject:
        """Return the plan that a call makes: the CLI asks about it without saying it, before the call has ended."""
        if call == self._call and self._names[call] == PLAN_TOOL:
            return _object("".join(self._arguments))
        return self._plans.get(call, {})

    @override
    def _message_delta(self, event: Mapping[str, Any]) -> Iterator[TurnEvent]:
        if self.over or not self._started:
            self.unread += 1
            return
        self._add_tokens(event.get("usage"))
        delta = event.get("delta") or {}
        reason = REASONS.get(str(delta.get("stop_reason")))
        if reason is None:
            return
        sequence = delta.get("stop_sequence")
        # It would ask again by itself, several times over, for what the client has said is enough.
        self.cut_short = reason is EndReason.LENGTH
        if self.cut_short and self._cut is not None:
            self._cut()
        # After a call it goes on.
        ended = Ended(reason, str(sequence) if sequence and reason is EndReason.STOP_SEQUENCE else None)
        self._ended = None if reason is EndReason.TOOL_USE else ended
        yield self._usage(None)

    @override
    def tool_results(self, frame: ToolResultFrame) -> Iterator[TurnEvent]:
        """Tell what the CLI's own tools came to."""
        if self.over or not self._started:
            self.unread += 1
            return
        told = [self._told(block, frame.account) for block in frame.results]
        if self._open is None and self._call is None:
            yield from told
        else:
            # A tool may be done before the model is; nothing is told inside a part, or before the call that it answers.
            self._late += told

    def _told(self, block: Mapping[str, Any], account: Json) -> ToolActivity:
        call = str(block.get("tool_use_id") or "")
        body = {"content": block.get("content"), "is_error": bool(block.get("is_error")), "result": account}
        return ToolActivity(call, self._names.get(call, _UNKNOWN_TOOL), Phase.ENDED, body)

    @override
    def compaction(self, frame: BoundaryFrame | SummaryFrame) -> Iterator[TurnEvent]:
        """Tell from where on the conversation goes, and after which summary; with the next message, so not in a part.

        Where the CLI cut within this very turn, the turn is kept whole: what is kept beside a summary does no harm.
        """
        match frame:
            case BoundaryFrame():
                kept = (self._places[uuid] for uuid in frame.kept if uuid in self._places)
                self._compacted = min(kept, default=max(self._places.values(), default=0))
            case SummaryFrame() if self._compacted:
                self._waiting, self._compacted = Compacted(frame.text, self._compacted), None
                self._spent = Usage()
            case SummaryFrame():
                self.unread += 1
        return iter(())

    @override
    def result(self, frame: ResultFrame) -> Iterator[TurnEvent]:
        """End the turn as the CLI says it ended."""
        if self.over:
            return
        body = frame.body
        self._tell_denied(body.get("permission_denials"))
        if self._spent is not None:
            self._spent = spent(body)
        # A refusal is reported as an error although the model gave a true reason; so is an interrupt of ours after one.
        told = self._ended is not None and (self.cut_short or self._ended.reason is EndReason.REFUSAL)
        if (body.get("is_error") or body.get("subtype") != "success") and not told:
            yield from self.fail(failure_of(body, self._error_word))
        elif self._ended is None or self._open is not None:
            yield from self.fail(self._without_end())
        else:
            yield self._usage(cost_usd(body))
            yield from self._close(self._ended)

    def _tell_denied(self, listed: Json) -> None:
        for entry in listed if isinstance(listed, list) else ():
            if self._denied is not None and isinstance(entry, dict):
                self._denied(str(entry.get("tool_use_id") or ""))

    @override
    def _usage(self, cost: float | None) -> Usage:
        known = (self._before, super()._usage(None))
        whole = total_usage(known if self._spent is None else (_larger(self._spent, total_usage(known)),))
        return replace(whole, cost_usd=cost) if whole is not None else Usage(cost_usd=cost)


def _larger(spent: Usage, streamed: Usage | None) -> Usage | None:
    return spent if streamed is None or spent.all_input_tokens >= streamed.all_input_tokens else streamed


def _object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        value = None
    # The CLI refuses the call itself; what the model wrote is kept.
    return value if isinstance(value, dict) else {"unreadable": text}
