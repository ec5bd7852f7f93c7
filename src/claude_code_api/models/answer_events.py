"""A model's answer → the answer that the client asked for, event by event. Pure.

Names of functions are given back, what the answer had begun with is not said again, and JSON that has to be checked is
held until all of it is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from claude_code_api.models.fitted import AnswerShape
from claude_code_api.turn.events import (
    Ended,
    EndReason,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    TurnEvent,
    Usage,
    total_usage,
)


class ShapedAnswer:
    """Takes the events of one answer, and says those of the client's."""

    def __init__(self, shape: AnswerShape) -> None:
        """Begin before the first event."""
        self._shape = shape
        # Parts that were said, and where the one is that comes now.
        self._said = 0
        self._kind = PartKind.TEXT
        self._held: list[str] = []
        self._begun = shape.begun
        self._waiting = ""
        self._calls = False
        self._usage: Usage | None = None
        self._before: Usage | None = None
        # The end, as long as it has not been told: the text before it is to be checked.
        self.end: Ended | None = None

    @property
    def text(self) -> str:
        """The text that is held."""
        return "".join(self._held)

    def push(self, event: TurnEvent) -> Iterator[TurnEvent]:
        """Take an event."""
        match event:
            case PartStarted(kind=kind):
                yield from self._open(event, kind)
            case PartDelta(text=text):
                yield from self._more(text)
            case PartEnded():
                yield from self._close(event)
            case Ended():
                yield from self._end(event)
            case Usage():
                self._usage = event
                yield total_usage((self._before, event)) or event
            case _:
                yield event

    def again(self) -> None:
        """Begin anew: the answer is given once more, in the place of the held one."""
        self._held, self.end, self._calls = [], None, False
        self._before = total_usage((self._before, self._usage))

    def finish(self, text: str) -> Iterator[TurnEvent]:
        """Say what was held, and the end."""
        if text:
            yield PartStarted(self._said, PartKind.TEXT)
            yield PartDelta(self._said, text)
            yield PartEnded(self._said)
            self._said += 1
        if self.end is not None:
            yield self.end

    def _holds(self) -> bool:
        return self._shape.json is not None and self._kind is PartKind.TEXT

    def _open(self, event: PartStarted, kind: PartKind) -> Iterator[TurnEvent]:
        self._kind = kind
        self._calls = self._calls or kind is PartKind.TOOL
        if not self._holds():
            name = self._shape.names.get(event.tool_name, event.tool_name)
            yield replace(event, index=self._said, tool_name=name)

    def _more(self, text: str) -> Iterator[TurnEvent]:
        if self._holds():
            self._held.append(text)
            return
        if self._begun and self._kind is PartKind.TEXT:
            text = self._what_is_new(text)
        if text:
            yield PartDelta(self._said, text)

    def _what_is_new(self, text: str) -> str:
        """Leave out what the answer had begun with, where the model says it again."""
        self._waiting += text
        if self._waiting.startswith(self._begun):
            new = self._waiting[len(self._begun) :]
        elif self._begun.startswith(self._waiting):
            return ""
        else:
            new = self._waiting
        self._begun = self._waiting = ""
        return new

    def _close(self, event: PartEnded) -> Iterator[TurnEvent]:
        if self._holds():
            return
        if self._waiting and self._kind is PartKind.TEXT:
            yield PartDelta(self._said, self._waiting)
            self._begun = self._waiting = ""
        yield replace(event, index=self._said)
        self._said += 1

    def _end(self, event: Ended) -> Iterator[TurnEvent]:
        self.end = event
        if not self._to_be_checked(event):
            yield from self.finish(self.text)
            self.end = None

    def _to_be_checked(self, event: Ended) -> bool:
        # What was cut, refused, or is a call, is not meant to be the JSON.
        return self._shape.json is not None and event.reason is EndReason.STOP and not self._calls
