"""A request while it is being fitted to its model. Each step reads it, changes it, and names what it changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from claude_code_api.models.capabilities import Capabilities
from claude_code_api.models.fitted import AnswerShape, Fitted, JsonWanted, RequestControl
from claude_code_api.turn.request import Json, TextBlock, TurnRequest


@dataclass(slots=True)
class Draft:
    """What there is so far."""

    request: TurnRequest
    model: Capabilities
    control: RequestControl
    # In the words of the model's API; None: what the CLI says by itself is taken away.
    fields: dict[str, Json] = field(default_factory=dict)
    instructions: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    begun: str = ""
    json: JsonWanted | None = None
    _changed: dict[str, None] = field(default_factory=dict)

    def change(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of a request
        """Put other values in the request."""
        self.request = replace(self.request, **changes)

    def name(self, word: str, below: str = "") -> None:
        """Name a field that is not honoured as it was sent: ours for it, in the client's words."""
        self._changed[self.request.field_names.get(word, word) + below] = None

    def done(self) -> Fitted:
        """Return what it has come to."""
        as_is = {**self.fields, **self.request.as_is}
        if not self.control.removes_fields:
            as_is = {name: value for name, value in as_is.items() if value is not None}
        said = tuple(TextBlock(text) for text in self.instructions)
        request = replace(self.request, as_is=as_is, system=(*self.request.system, *said))
        return Fitted(request, AnswerShape(self.names, self.begun, self.json), tuple(self._changed))
