"""The vocabulary of a scripted answer: what the stand-in shall say, when it shall wait and how it shall fail.

Pure nouns. Knows nothing of HTTP, of SSE bytes, of clocks or of the program that is being tested.
`script_json` reads and writes these as JSON, `playback` turns them into the wire format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, TypeAlias, get_args

Json: TypeAlias = Any
Body: TypeAlias = Mapping[str, Any]

StopReason: TypeAlias = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "pause_turn"]
BreakKind: TypeAlias = Literal["cut", "error", "stall"]

STOP_REASONS: tuple[str, ...] = get_args(StopReason)
BREAK_KINDS: tuple[str, ...] = get_args(BreakKind)

# The error types that the real API pairs with a status; anything else must be named in the script.
ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ScriptError(ValueError):
    """The script says something that cannot be played; the message names the place."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for so many milliseconds."""

    ms: float

    def __post_init__(self) -> None:
        if self.ms < 0:
            raise ScriptError(f"a pause cannot last {self.ms} ms")


@dataclass(frozen=True, slots=True)
class Gate:
    """Send nothing until the controlling test releases this name, or the client leaves."""

    name: str


@dataclass(frozen=True, slots=True)
class Ping:
    """The API's keep-alive event."""


@dataclass(frozen=True, slots=True)
class Break:
    """End badly: `cut` drops the connection, `error` sends an SSE error event, `stall` waits until the client leaves.

    As an answer's `hold`, `cut` drops the connection before any header and `stall` never sends one.
    """

    kind: BreakKind = "cut"
    error_type: str = "overloaded_error"
    message: str = "Overloaded"

    def __post_init__(self) -> None:
        if self.kind not in BREAK_KINDS:
            raise ScriptError(f"unknown kind of break: {self.kind!r}")


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event exactly as given: for what this vocabulary lacks, and for garbage. Takes no content index."""

    name: str
    data: str


Interlude: TypeAlias = Pause | Gate | Ping | Break | RawEvent
# 0: one delta with everything; n: deltas of n characters; a tuple: exactly these deltas, with interludes between them.
Pieces: TypeAlias = int | tuple[str | Interlude, ...]


def _check_pieces(text: str, pieces: Pieces, every_ms: float) -> None:
    if every_ms < 0:
        raise ScriptError(f"every_ms cannot be {every_ms}")
    if isinstance(pieces, int):
        if pieces < 0:
            raise ScriptError(f"a delta cannot have {pieces} characters")
    elif text and text != joined(pieces):
        raise ScriptError("text and pieces differ; leave text empty or let it be the pieces joined")


def joined(pieces: tuple[str | Interlude, ...]) -> str:
    """Return the text that the deltas of explicit pieces add up to."""
    return "".join(piece for piece in pieces if isinstance(piece, str))


def deltas(text: str, pieces: Pieces) -> tuple[str | Interlude, ...]:
    """Return the deltas of a text. An empty text has none, unless an empty piece is asked for."""
    if not isinstance(pieces, int):
        return pieces
    if not text:
        return ()
    size = pieces or len(text)
    return tuple(text[at : at + size] for at in range(0, len(text), size))


@dataclass(frozen=True, slots=True)
class Text:
    """A text block."""

    text: str = ""
    pieces: Pieces = 0
    every_ms: float = 0

    def __post_init__(self) -> None:
        _check_pieces(self.text, self.pieces, self.every_ms)

    @property
    def whole(self) -> str:
        """The text that a client should end up with."""
        return self.text if isinstance(self.pieces, int) else joined(self.pieces)


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block; a non-empty signature comes as one delta at its end."""

    text: str = ""
    signature: str = "c3RhbmQtaW4="
    pieces: Pieces = 0
    every_ms: float = 0

    def __post_init__(self) -> None:
        _check_pieces(self.text, self.pieces, self.every_ms)

    @property
    def whole(self) -> str:
        """The thoughts that a client should end up with."""
        return self.text if isinstance(self.pieces, int) else joined(self.pieces)


@dataclass(frozen=True, slots=True)
class RedactedThinking:
    """A block of encrypted thoughts."""

    data: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of one of the client's tools. `input` as a string is sent as it is, well-formed or not.

    Explicit `pieces` replace `input` on the wire.
    """

    id: str
    name: str
    input: Mapping[str, Json] | str = field(default_factory=dict)
    pieces: Pieces = 0
    every_ms: float = 0

    def __post_init__(self) -> None:
        _check_pieces("", self.pieces, self.every_ms)


@dataclass(frozen=True, slots=True)
class Echo:
    """A text block that quotes the request body as it was received."""

    pieces: int = 0
    every_ms: float = 0

    def __post_init__(self) -> None:
        if not isinstance(self.pieces, int):
            raise ScriptError("an echo takes a chunk size, not pieces")
        _check_pieces("", self.pieces, self.every_ms)


Block: TypeAlias = Text | Thinking | RedactedThinking | ToolUse | Echo
Step: TypeAlias = Block | Interlude


@dataclass(frozen=True, slots=True)
class Usage:
    """The figures that the answer reports; `extra` is merged into the last usage object of the stream."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to one request.

    `hold` comes before the headers. `usage=None` counts words. With a status other than 200 the error fields speak and
    the steps are ignored; an `error_type` of "" is the real API's type for that status.
    """

    steps: tuple[Step, ...] = ()
    stop_reason: StopReason | None = "end_turn"
    stop_sequence: str | None = None
    usage: Usage | None = None
    model: str | None = None
    hold: Pause | Gate | Break | None = None
    status: int = HTTPStatus.OK.value
    error_type: str = ""
    error_message: str = "scripted error"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stop_reason is not None and self.stop_reason not in STOP_REASONS:
            raise ScriptError(f"unknown stop_reason: {self.stop_reason!r}")
        if self.status != HTTPStatus.OK and not self.error_type and self.status not in ERROR_TYPES:
            raise ScriptError(f"status {self.status} has no usual error type; give error_type")
        if isinstance(self.hold, Break) and self.hold.kind == "error":
            raise ScriptError("an error before the headers is a status, not a hold")

    @property
    def error_kind(self) -> str:
        """The error type that is sent."""
        return self.error_type or ERROR_TYPES.get(self.status, "api_error")


def says(text: str, *, pieces: Pieces = 0, every_ms: float = 0) -> Answer:
    """Return an answer of one text block."""
    return Answer((Text(text, pieces, every_ms),))


def calls(*tools: ToolUse) -> Answer:
    """Return an answer that calls tools and stops for their results."""
    return Answer(tools, stop_reason="tool_use")


def fails(
    status: int, message: str = "scripted error", *, error_type: str = "", retry_after_s: int | None = None
) -> Answer:
    """Return an answer that is an HTTP error."""
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return Answer(status=status, error_type=error_type, error_message=message, headers=headers)


@dataclass(frozen=True, slots=True)
class Rule:
    """Answers for the requests that it matches: one after another, the last one for good.

    `match` is a text that the JSON of the last user message contains, or a predicate over the body.
    """

    match: str | Callable[[Body], bool]
    answers: tuple[Answer, ...]

    def __post_init__(self) -> None:
        if not self.answers:
            raise ScriptError("a rule needs at least one answer")
        if self.match == "":
            raise ScriptError("an empty marker would match every request; use `always`")


@dataclass(frozen=True, slots=True)
class Script:
    """What a file or a control request can ask for; `always=None` leaves the current one."""

    answers: tuple[Answer, ...] = ()
    rules: tuple[Rule, ...] = ()
    always: Answer | None = None
