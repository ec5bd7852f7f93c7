"""The frames of one turn → `TurnEvent`s. Pure: one `Translator` a turn, fed in order, asked for nothing else.

Text, stop reason and tokens come from the upstream's own events; the CLI's `result` says that the turn is over, what
it cost, or why it failed. A stop reason that is missing is a failure in disguise, never a `stop`; neither is a part
that nobody closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from claude_code_api.engine.failures import failure_of, stopped_by_hook, upstream_broke
from claude_code_api.engine.protocol import (
    BoundaryFrame,
    HookStopFrame,
    ResultFrame,
    StreamFrame,
    SummaryFrame,
    SyntheticFrame,
    ToolResultFrame,
)
from claude_code_api.engine.transcript import is_blank
from claude_code_api.turn.events import (
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    TurnEvent,
    Usage,
)

REASONS: Final = {
    "end_turn": EndReason.STOP,
    "pause_turn": EndReason.STOP,
    "max_tokens": EndReason.LENGTH,
    "model_context_window_exceeded": EndReason.LENGTH,
    "stop_sequence": EndReason.STOP_SEQUENCE,
    "tool_use": EndReason.TOOL_USE,
    "refusal": EndReason.REFUSAL,
}
_REPORTED_AS_ERRORS: Final = frozenset({EndReason.REFUSAL, EndReason.TOOL_USE})
_PARTS: Final = {
    "text": PartKind.TEXT,
    "thinking": PartKind.THINKING,
    "redacted_thinking": PartKind.REDACTED,
    "tool_use": PartKind.TOOL,
}
_DELTAS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class Translator:
    """Follows one turn of a chat lane: one upstream message, one answer.

    `cut_short` turns true when the CLI would go on by itself: it asks again after `max_tokens`, and after an answer
    without words. The owner of the process then has to interrupt it. `unread` counts what the gateway has no word for.
    """

    __slots__ = (
        "_created_s",
        "_ended",
        "_error_word",
        "_hook",
        "_messages",
        "_model",
        "_open",
        "_parts",
        "_signature",
        "_spoken",
        "_started",
        "_tokens",
        "_turn_id",
        "cut_short",
        "over",
        "unread",
    )

    def __init__(self, turn_id: str, created_s: int) -> None:
        """Ids and time come from outside."""
        self._turn_id, self._created_s = turn_id, created_s
        self._model = ""
        self._messages = 0
        self._parts = 0
        self._open: PartStarted | None = None
        self._signature = ""
        self._started = False
        self._spoken = False
        self._tokens: dict[str, Any] = {}
        self._ended: Ended | None = None
        self._error_word = ""
        # What a hook said that stopped the message.
        self._hook: str | None = None
        self.cut_short = False
        self.over = False
        self.unread = 0

    def stream(self, frame: StreamFrame) -> Iterator[TurnEvent]:
        """Translate one upstream event."""
        event = frame.event
        if self.cut_short:
            # Whatever the CLI asks for after that is nobody's.
            self.unread += 1
            return
        match event.get("type"):
            case "content_block_delta":
                yield from self._delta(event.get("delta") or {})
            case "message_start":
                yield from self._message_start(event.get("message") or {})
            case "content_block_start":
                yield from self._block_start(event.get("content_block") or {})
            case "content_block_stop":
                yield from self._block_stop()
            case "message_delta":
                yield from self._message_delta(event)
            case "message_stop" | "ping":
                pass
            case _:
                self.unread += 1

    def _message_start(self, message: Mapping[str, Any]) -> Iterator[TurnEvent]:
        self._messages += 1
        if self.over:
            return
        if self._ended is not None:
            # The answer is whole; whatever the CLI goes on to ask is nobody's.
            self.cut_short = True
            return
        if self._messages > 1:
            # Nobody asked twice: the CLI went on by itself, and what follows is not the answer that was begun.
            self.cut_short = True
            yield from self.fail(upstream_broke("the upstream was asked a second time within one turn"))
            return
        self._add_tokens(message.get("usage"))
        self._model = str(message.get("model") or "")
        self._started = True
        yield Started(self._turn_id, self._model, self._created_s)
        if self._tokens:
            yield self._usage(None)

    def _block_start(self, block: Mapping[str, Any]) -> Iterator[TurnEvent]:
        kind = _PARTS.get(str(block.get("type")))
        if kind is None or self.over or not self._started:
            self.unread += 1
            return
        if self._open is not None:
            yield from self.fail(upstream_broke("a block began inside another"))
            return
        opened = PartStarted(self._parts, kind, str(block.get("id") or ""), str(block.get("name") or ""))
        if kind is not PartKind.TOOL:
            opened = PartStarted(self._parts, kind)
        self._open, self._signature = opened, ""
        self._parts += 1
        yield opened
        if kind is PartKind.REDACTED and block.get("data"):
            # It comes whole, with its beginning.
            yield PartDelta(opened.index, str(block["data"]))

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[TurnEvent]:
        opened = self._open
        kind = delta.get("type")
        if opened is None or self.over:
            self.unread += 1
            return
        if kind == "signature_delta":
            self._signature += str(delta.get("signature") or "")
            return
        field = _DELTAS.get(str(kind))
        if field is None:
            self.unread += 1
            return
        text = delta.get(field)
        if text:
            self._spoken = self._spoken or (opened.kind is PartKind.TEXT and not is_blank(text))
            yield PartDelta(opened.index, text)

    def _block_stop(self) -> Iterator[TurnEvent]:
        opened, self._open = self._open, None
        if opened is not None and not self.over:
            yield PartEnded(opened.index, self._signature)

    def _message_delta(self, event: Mapping[str, Any]) -> Iterator[TurnEvent]:
        if self.over or not self._started:
            self.unread += 1
            return
        self._add_tokens(event.get("usage"))
        delta = event.get("delta") or {}
        reason = delta.get("stop_reason")
        if reason is None:
            return
        known = REASONS.get(str(reason))
        if known is None:
            yield from self.fail(upstream_broke(f"unknown stop reason {reason!r}"))
            return
        sequence = delta.get("stop_sequence")
        self._ended = Ended(known, str(sequence) if sequence and known is EndReason.STOP_SEQUENCE else None)
        speechless = not self._spoken and known is not EndReason.TOOL_USE
        self.cut_short = known is EndReason.LENGTH or speechless

    def _add_tokens(self, usage: object) -> None:
        # The later event's figures are totals: they replace the earlier ones, field by field.
        if isinstance(usage, dict):
            self._tokens.update({key: value for key, value in usage.items() if value is not None})

    def foretold(self, frame: SyntheticFrame | HookStopFrame) -> None:
        """Remember the CLI's own word for the failure that its result is going to report, or to pass over."""
        match frame:
            case SyntheticFrame():
                self._error_word = frame.error
            case HookStopFrame():
                self._hook = frame.words

    def tool_results(self, frame: ToolResultFrame) -> Iterator[TurnEvent]:
        """A chat process has no tools of its own: whatever this is, it is nobody's."""
        self.unread += len(frame.results)
        return iter(())

    def compaction(self, frame: BoundaryFrame | SummaryFrame) -> Iterator[TurnEvent]:  # noqa: ARG002 - see AgentTranslator
        """A chat process compacts nothing: the conversation is the client's."""
        self.unread += 1
        return iter(())

    def result(self, frame: ResultFrame) -> Iterator[TurnEvent]:
        """End the turn as the CLI says it ended."""
        if self.over:
            return
        body = frame.body
        # A refusal is reported as an error although the model gave a true reason; so are calls, because the CLI may
        # take one step only, and an interrupt of ours after a true reason.
        told = self._ended is not None and (self.cut_short or self._ended.reason in _REPORTED_AS_ERRORS)
        if (body.get("is_error") or body.get("subtype") != "success") and not told:
            yield from self.fail(failure_of(body, self._error_word))
        elif self._ended is None or self._open is not None:
            yield from self.fail(self._without_end())
        else:
            yield self._usage(cost_usd(body))
            yield from self._close(self._ended)

    def _without_end(self) -> Failed:
        """Say what is wrong with a turn that ended well, as the CLI has it, and has no end."""
        if self._hook is not None and not self._started:
            return stopped_by_hook(self._hook)
        return upstream_broke(f"the turn ended {'without a stop reason' if self._ended is None else 'inside a block'}")

    def fail(self, failed: Failed) -> Iterator[TurnEvent]:
        """End the turn with an error, unless it is over."""
        if self.over:
            return
        if self._tokens and self._open is None and self._started:
            yield self._usage(None)
        yield from self._close(failed)

    def _close(self, last: Ended | Failed) -> Iterator[TurnEvent]:
        self.over = True
        yield last

    def _usage(self, cost_usd: float | None) -> Usage:
        details = self._tokens.get("output_tokens_details")
        return Usage(
            input_tokens=_count(self._tokens, "input_tokens"),
            output_tokens=_count(self._tokens, "output_tokens"),
            cache_read_tokens=_count(self._tokens, "cache_read_input_tokens"),
            cache_creation_tokens=_count(self._tokens, "cache_creation_input_tokens"),
            reasoning_tokens=_count(details, "thinking_tokens") if isinstance(details, dict) else 0,
            cost_usd=cost_usd,
        )


def _count(tokens: Mapping[str, Any], key: str) -> int:
    value = tokens.get(key)
    return value if isinstance(value, int) else 0


def cost_usd(body: Mapping[str, Any]) -> float | None:
    """Return the price of this turn alone: `total_cost_usd` is the whole process's."""
    costs = [entry.get("costUSD") for entry in _by_model(body)]
    known = [float(cost) for cost in costs if isinstance(cost, (int, float))]
    return sum(known) if known else None


def spent(body: Mapping[str, Any]) -> Usage:
    """Return all that this turn used, what is not streamed among it."""
    entries = _by_model(body)
    return Usage(
        input_tokens=sum(_count(entry, "inputTokens") for entry in entries),
        output_tokens=sum(_count(entry, "outputTokens") for entry in entries),
        cache_read_tokens=sum(_count(entry, "cacheReadInputTokens") for entry in entries),
        cache_creation_tokens=sum(_count(entry, "cacheCreationInputTokens") for entry in entries),
        reasoning_tokens=sum(_count(entry, "thinkingTokens") for entry in entries),
    )


def _by_model(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    by_model = body.get("model_usage_since_last_result")
    found = by_model.values() if isinstance(by_model, dict) else ()
    return [entry for entry in found if isinstance(entry, dict)]
