"""What a process is busy with: the way of one turn's events from the translator to its reader."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from claude_code_api.engine.mailbox import Mailbox
from claude_code_api.engine.translate import Translator
from claude_code_api.turn.events import Failed, TurnEvent


@dataclass(slots=True)
class RunningTurn:
    """The turn that the process is busy with."""

    uuid: str
    translator: Translator
    mailbox: Mailbox
    finished: asyncio.Event
    interrupted: bool = False
    # Interrupted before the CLI came to it: there is no result, and nothing to undo.
    dropped: bool = False
    # The upstream's id of the message that is being streamed.
    message_id: str = ""

    def push(self, event: TurnEvent) -> None:
        """Pass one event to the reader."""
        self.mailbox.offer(event)

    def fail(self, failed: Failed) -> None:
        """End it for the reader, unless it has ended."""
        for event in self.translator.fail(failed):
            self.push(event)
        self.mailbox.close()
