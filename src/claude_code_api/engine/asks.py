"""Who answers what the CLI asks of the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from claude_code_api.engine import protocol

Write = Callable[[bytes], None]


class Asks(Protocol):
    """Answers the CLI's own control requests: each exactly once, now or later, unless the CLI withdraws it."""

    @property
    def waiting(self) -> bool:
        """Whether a person has something to decide: meanwhile nobody expects the CLI to say anything."""
        ...

    def ask(self, ask: protocol.ControlAsk, write: Write) -> None:
        """Take a request; its answer is a line to write."""
        ...

    def withdraw(self, request_id: str) -> None:
        """Forget a request: an answer would be for nobody."""
        ...


def pass_on(frame: protocol.ControlAsk | protocol.ControlCancel, asks: Asks, write: Write) -> None:
    """Tell whoever answers what the CLI wants to know, or no longer wants to."""
    if isinstance(frame, protocol.ControlAsk):
        asks.ask(frame, write)
    else:
        asks.withdraw(frame.request_id)


class EveryAskRefused:
    """A chat process has nothing to ask for."""

    waiting = False

    def ask(self, ask: protocol.ControlAsk, write: Write) -> None:
        """Refuse it."""
        write(protocol.control_refusal_line(ask.request_id, f"{ask.subtype} is not served here"))

    def withdraw(self, request_id: str) -> None:
        """There is nothing to forget."""
