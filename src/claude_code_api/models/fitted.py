"""What a request has become so that a model accepts it, and what has to be done with its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from claude_code_api.turn.request import JsonObject, TurnRequest

# Blocks of a request that may bear a mark for the cache, counted by the model's API.
MAX_MARKS: Final = 4


@dataclass(frozen=True, slots=True)
class RequestControl:
    """How far an engine decides what reaches the model; the rest is the CLI's own."""

    # Fields of the CLI's can be taken away. Else they can only be replaced by other values.
    removes_fields: bool = True
    # A conversation can end with an answer that has begun: it is laid over as a whole.
    whole_conversation: bool = True
    # Marks for the cache that the CLI does not use itself.
    marks: int = MAX_MARKS


@dataclass(frozen=True, slots=True)
class JsonWanted:
    """The answer has to be JSON, and the model's API does not see to all of it."""

    # The client's own schema.
    schema: JsonObject


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """What has to be done with an answer before the client gets it."""

    # The client's names of functions, by the names that the model knows.
    names: Mapping[str, str] = field(default_factory=dict)
    # What the answer has begun with: a model that says it once more is not to be heard twice.
    begun: str = ""
    json: JsonWanted | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing has to be done."""
        return not self.names and not self.begun and self.json is None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A request that its model accepts. `changed`: the client's fields that are not honoured as they were sent."""

    request: TurnRequest
    shape: AnswerShape = AnswerShape()
    changed: tuple[str, ...] = ()
