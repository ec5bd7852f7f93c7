"""What is asked of the model: one `TurnRequest`, in no dialect's words.

Content is kept as blocks, because blocks are what reaches the model. The kinds that some room has to look into have a
type of their own; every other kind travels as an `OpaqueBlock` and is never looked into. Text is carried, never edited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal, TypeAlias

from claude_code_api.turn.profile import Profile

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Text, byte for byte. `extra` holds the fields beside it (cache_control, citations)."""

    text: str
    extra: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ThinkingBlock:
    """The model's own reasoning; without its signature it cannot be sent back."""

    thinking: str
    signature: str


@dataclass(frozen=True, slots=True)
class ToolUseBlock:
    """A call that the model made. `extra` as in `TextBlock`."""

    id: str
    name: str
    arguments: JsonObject
    extra: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResultBlock:
    """What the client's function answered to the call `tool_use_id`."""

    tool_use_id: str
    content: str | tuple[Block, ...]
    is_error: bool = False
    extra: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpaqueBlock:
    """A block of any other kind (image, document, search_result, …), in the form in which the model gets it."""

    body: JsonObject


Block: TypeAlias = TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock | OpaqueBlock
Role: TypeAlias = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation."""

    role: Role
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ClientTool:
    """A function of the client's, under the client's own name and with its own schema.

    No schema: one of the kinds that the model's API defines itself. `extra` holds the fields beside these, in the form
    in which the model gets them.
    """

    name: str
    description: str | None
    schema: JsonObject | None
    strict: bool | None = None
    extra: JsonObject = field(default_factory=dict)


class ToolChoiceKind(Enum):
    """How free the model is to call tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The client's wish about tools; `name` goes with NAMED alone."""

    kind: ToolChoiceKind = ToolChoiceKind.AUTO
    name: str | None = None
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the answer ends."""

    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn; None leaves it to the model."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


class Effort(Enum):
    """How hard the model should think."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The wish about thinking: an effort, a budget in tokens, or neither."""

    effort: Effort | None = None
    budget_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The JSON schema that the answer has to satisfy."""

    name: str
    schema: JsonObject


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """Everything that a client asked for, and the names of what cannot be honoured."""

    model: str
    messages: tuple[Message, ...]
    system: tuple[TextBlock, ...] = ()
    tools: tuple[ClientTool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    limits: Limits = Limits()
    sampling: Sampling = Sampling()
    reasoning: Reasoning = Reasoning()
    output_schema: OutputSchema | None = None
    end_user: str | None = None
    # System blocks of this turn alone: they come before the others, and the session does not keep them.
    instructions: tuple[TextBlock, ...] = ()
    session_id: str | None = None
    # The session has to be there, and what is sent comes after everything that it holds.
    appends: bool = False
    # The turn whose answer is gone on from. A session that has gone on since then is forked there.
    continues: str | None = None
    project_id: str | None = None
    # The most that its agent may do in this turn, where that is less than it might.
    profile: Profile | None = None
    # It runs on when the client leaves, and its answer is asked for later.
    background: bool = False
    # What its dialect has to know when it tells the answer, also at another time.
    note: JsonObject | None = None
    # The answer may be asked for again by its id.
    stored: bool = True
    stream: bool = False
    stream_usage: bool = False
    # The answer says calls in the form that its dialect had before the present one.
    legacy_calls: bool = False
    # Each is a turn of its own.
    answers: int = 1
    # The answer begins with the words of the prompt.
    echo: bool = False
    # Where several conversations are asked about at once: one for each, and `answers` are those of all of them.
    variants: tuple[tuple[Message, ...], ...] = ()
    # Further fields, in the form in which the model's API takes them; they win over what is said in our words.
    as_is: JsonObject = field(default_factory=dict)
    # The id of the HTTP request that it came with.
    request_id: str | None = None
    # Where the request names data by a URL instead of holding it.
    remote_parts: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    # What its dialect calls our fields, where it calls them otherwise.
    field_names: Mapping[str, str] = field(default_factory=dict, compare=False)
    # It is said in the words of the model's API itself, whose rules its clients know: it is sent as it came.
    exact: bool = False


def each_turn(request: TurnRequest) -> Iterator[TurnRequest]:
    """Yield the request of each of the turns that it asks for, in the order of its answers."""
    conversations = request.variants or (request.messages,)
    for messages in conversations:
        for _ in range(request.answers // len(conversations)):
            yield replace(request, messages=messages)


def is_thought(block: Block) -> bool:
    """Whether a block is the model's own reasoning, readable or not."""
    return isinstance(block, ThinkingBlock) or (
        isinstance(block, OpaqueBlock) and block.body.get("type") in ("thinking", "redacted_thinking")
    )
