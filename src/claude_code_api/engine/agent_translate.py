"""The frames of an agent's turn → `TurnEvent`s. Pure.

An agent asks the model as often as it needs to: it says something, calls its own tools, hears of them, and goes on. All
of that is one turn; its text is one answer, and what the tools did is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from typing_extensions import override

from claude_code_api.engine.failures import failure_of, upstream_broke
from claude_code_api.engine.protocol import ResultFrame, ToolResultFrame
from claude_code_api.engine.translate import REASONS, Translator, cost_usd
from claude_code_api.turn.events import Ended, EndReason, Phase, Started, ToolActivity, TurnEvent, Usage, total_usage

_UNKNOWN_TOOL: Final = ""


class AgentTranslator(Translator):
    """Follows one turn of an agent."""

    __slots__ = ("_arguments", "_before", "_call", "_names")

    def __init__(self, turn_id: str, created_s: int) -> None:
        """Ids and time come from outside."""
        super().__init__(turn_id, created_s)
        # What the earlier messages of this turn used.
        self._before: Usage | None = None
        # The call that is being streamed, and the names of all calls, by their ids.
        self._call: str | None = None
        self._arguments: list[str] = []
        self._names: dict[str, str] = {}

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
            return
        call, self._call = self._call, None
        if not self.over:
            yield ToolActivity(call, self._names[call], Phase.STARTED, _object("".join(self._arguments)))

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
        # After a call it goes on.
        ended = Ended(reason, str(sequence) if sequence and reason is EndReason.STOP_SEQUENCE else None)
        self._ended = None if reason is EndReason.TOOL_USE else ended
        yield self._usage(None)

    @override
    def tool_results(self, frame: ToolResultFrame) -> Iterator[TurnEvent]:
        """Tell what the CLI's own tools came to."""
        if self.over or not self._started or self._open is not None:
            self.unread += 1
            return
        for block in frame.results:
            call = str(block.get("tool_use_id") or "")
            body = {"content": block.get("content"), "is_error": bool(block.get("is_error")), "result": frame.account}
            yield ToolActivity(call, self._names.get(call, _UNKNOWN_TOOL), Phase.ENDED, body)

    @override
    def result(self, frame: ResultFrame) -> Iterator[TurnEvent]:
        """End the turn as the CLI says it ended."""
        if self.over:
            return
        body = frame.body
        refused = self._ended is not None and self._ended.reason is EndReason.REFUSAL
        if (body.get("is_error") or body.get("subtype") != "success") and not refused:
            yield from self.fail(failure_of(body, self._error_word))
        elif self._ended is None or self._open is not None:
            yield from self.fail(upstream_broke("the turn ended without a stop reason"))
        else:
            yield self._usage(cost_usd(body))
            yield from self._close(self._ended)

    @override
    def _usage(self, cost: float | None) -> Usage:
        whole = total_usage((self._before, super()._usage(None)))
        return replace(whole, cost_usd=cost) if whole is not None else Usage(cost_usd=cost)


def _object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        value = None
    # The CLI refuses the call itself; what the model wrote is kept.
    return value if isinstance(value, dict) else {"unreadable": text}
