"""What every dialect offers to the edge.

A dialect translates; it never waits and never decides. Ids and times come to it in events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.events import TurnEvent
from claude_code_api.turn.request import JsonObject, TurnRequest
from claude_code_api.turn.result import TurnResult


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """A failure as this dialect says it, before anything was streamed."""

    status: int
    body: JsonObject
    headers: Mapping[str, str]


class Encoder(Protocol):
    """Turns the events of one turn into the bytes of one stream; of several turns where several answers are wanted."""

    def push(self, event: TurnEvent) -> bytes:
        """Encode one event; nothing to say is b"". On `Failed` it says the error, and closes nothing that would then
        look whole."""
        ...


class Dialect(Protocol):
    """One wire format, both ways."""

    @property
    def name(self) -> str:
        """The name in logs and metrics."""
        ...

    @property
    def heartbeat(self) -> bytes:
        """What to send while nothing flows; every client of the dialect has to ignore it."""
        ...

    def parse(self, body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
        """Read a decoded request body; header names are lower case. Raises `TurnRefusedError` for a wrong one."""
        ...

    def encoder(self, request: TurnRequest) -> Encoder:
        """Make the encoder of one streamed answer."""
        ...

    def render(self, result: TurnResult, request: TurnRequest, further: Sequence[TurnResult] = ()) -> JsonObject:
        """Say a whole answer that ended well, and `further` ones beside it where the request wants several."""
        ...

    def render_error(self, error: TurnError) -> ErrorAnswer:
        """Say a failure as a whole answer."""
        ...
