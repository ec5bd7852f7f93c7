"""Who answers what the CLI asks of the gateway."""

from __future__ import annotations

from typing import Protocol

from claude_code_api.engine import protocol


class AskAnswerer(Protocol):
    """Answers the CLI's own control requests (its calls of client tools, its questions about permissions)."""

    def __call__(self, ask: protocol.ControlAsk) -> bytes:
        """Return the line to answer with."""
        ...


def refuse_every_ask(ask: protocol.ControlAsk) -> bytes:
    """A chat process has nothing to ask for."""
    return protocol.control_refusal_line(ask.request_id, f"{ask.subtype} is not served here")
