"""`TurnEvent`s → the bytes of a responses stream.

Every frame has a number that grows by one. The end of an item waits for the next one: whether the last item is whole is
known only with the reason of the end. Text opens with its first words, because a part without words makes no item.
"""

from __future__ import annotations

from claude_code_api.dialects.json_text import dump, dump_text
from claude_code_api.dialects.openai_shared import ERRORS
from claude_code_api.dialects.responses_output import (
    Status,
    head_of,
    item_id,
    item_of,
    response_body,
    status_of,
    summary_part,
    text_part,
)
from claude_code_api.dialects.sse import named_frame
from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Compacted,
    Ended,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
)
from claude_code_api.turn.request import JsonObject, TurnRequest
from claude_code_api.turn.result import Fold, Part

# The type of a delta, and what goes with it beside the item.
_DELTAS = {
    PartKind.TEXT: ("response.output_text.delta", b'"content_index":0,"logprobs":[],'),
    PartKind.THINKING: ("response.reasoning_summary_text.delta", b'"summary_index":0,'),
    PartKind.TOOL: ("response.function_call_arguments.delta", b""),
}
_NOTHING = Started("", "", 0)


def _part(opened: PartStarted, text: str, *, whole: bool, signature: str = "") -> Part:
    return Part(opened.kind, text, opened.tool_id, opened.tool_name, signature, whole)


class ResponsesEncoder:
    """One streamed answer. `after`: the number of the last frame that its reader has already."""

    __slots__ = (
        "_after",
        "_before",
        "_between",
        "_fold",
        "_head",
        "_items",
        "_number",
        "_open",
        "_pieces",
        "_request",
        "_shown",
        "_whole",
    )

    def __init__(self, request: TurnRequest, after: int = -1) -> None:
        """Wait for the first event."""
        self._request, self._after = request, after
        self._head = head_of(_NOTHING, request)
        self._fold = Fold()
        self._number = self._items = 0
        # The part that is open, and whether its item has been announced; the part whose item waits to be closed.
        self._open: PartStarted | None = None
        self._whole: Part | None = None
        self._shown = False
        self._pieces: list[str] = []
        # A delta is before + number + between + text + "}".
        self._before = self._between = b""

    def push(self, event: TurnEvent) -> bytes:
        """Encode one event."""
        self._fold.push(event)
        match event:
            case PartDelta():
                return self._delta(event.text)
            case PartStarted():
                return self._begin(event)
            case PartEnded():
                self._end_part(event)
            case Started():
                return self._start(event)
            case Ended() | Failed():
                return self._end(event)
            case (
                Usage() | ToolActivity() | Compacted() | ApprovalWanted() | ApprovalSettled()
            ):  # pragma: no branch (the union ends here; mypy proves it)
                # What the CLI's own tools do is shown by the live endpoints.
                pass
        return b""

    def _frame(self, kind: str, fields: JsonObject) -> bytes:
        number, self._number = self._number, self._number + 1
        if number <= self._after:
            return b""
        return named_frame(kind, dump({"type": kind, "sequence_number": number, **fields}))

    def _whole_response(self, kind: str) -> bytes:
        return self._frame(kind, {"response": response_body(self._head, self._fold.result())})

    def _start(self, started: Started) -> bytes:
        self._head = head_of(started, self._request)
        return self._whole_response("response.created") + self._whole_response("response.in_progress")

    # Parts

    def _begin(self, part: PartStarted) -> bytes:
        self._open, self._pieces, self._shown = part, [], False
        return b"" if part.kind is PartKind.TEXT else self._announce(part)

    def _announce(self, opened: PartStarted) -> bytes:
        """Say that there is an item, and prepare its deltas."""
        said = self._settle("completed")
        self._shown = True
        item = item_of(self._head, _part(opened, "", whole=False), self._items, "in_progress")
        said += self._frame("response.output_item.added", {"output_index": self._items, "item": item})
        if opened.kind is PartKind.TEXT:
            fields = {**self._place(opened.kind), "content_index": 0, "part": text_part("")}
            said += self._frame("response.content_part.added", fields)
        if opened.kind in _DELTAS:
            kind, beside = _DELTAS[opened.kind]
            name = kind.encode()
            self._before = b'event: %b\ndata: {"type":"%b","sequence_number":' % (name, name)
            place = b',"item_id":%b,"output_index":%d,%b"delta":'
            id_ = dump_text(item_id(self._head, opened.kind, self._items))
            self._between = place % (id_, self._items, beside)
        return said

    def _place(self, kind: PartKind) -> JsonObject:
        return {"item_id": item_id(self._head, kind, self._items), "output_index": self._items}

    def _delta(self, text: str) -> bytes:
        opened = self._open
        if not text or opened is None:
            return b""
        said = b""
        if opened.kind is PartKind.TEXT and not self._shown:
            said = self._announce(opened)
        elif opened.kind is PartKind.THINKING and not self._pieces:
            fields = {**self._place(opened.kind), "summary_index": 0, "part": summary_part("")}
            said = self._frame("response.reasoning_summary_part.added", fields)
        self._pieces.append(text)
        return said if opened.kind is PartKind.REDACTED else said + self._piece(text)

    def _piece(self, text: str) -> bytes:
        number, self._number = self._number, self._number + 1
        if number <= self._after:
            return b""
        return b"%b%d%b%b}\n\n" % (self._before, number, self._between, dump_text(text))

    def _end_part(self, ended: PartEnded) -> None:
        if self._open is not None and self._shown:
            self._whole = _part(self._open, "".join(self._pieces), whole=True, signature=ended.signature)
        self._open = None

    def _settle(self, status: Status) -> bytes:
        """Close the last item, if it is not closed yet."""
        part, self._whole = self._whole, None
        if part is None:
            return b""
        item = item_of(self._head, part, self._items, status)
        said = self._closing(part)
        said += self._frame("response.output_item.done", {"output_index": self._items, "item": item})
        self._items += 1
        return said

    def _closing(self, part: Part) -> bytes:
        place = self._place(part.kind)
        match part.kind:
            case PartKind.TEXT:
                place = {**place, "content_index": 0}
                said = self._frame("response.output_text.done", {**place, "text": part.text, "logprobs": []})
                return said + self._frame("response.content_part.done", {**place, "part": text_part(part.text)})
            case PartKind.TOOL:
                # Arguments of no characters mean no arguments; clients parse them as JSON.
                said = b"" if part.text else self._piece("{}")
                fields: JsonObject = {**place, "name": part.tool_name, "arguments": part.text or "{}"}
                return said + self._frame("response.function_call_arguments.done", fields)
            case PartKind.THINKING if part.text:
                place = {**place, "summary_index": 0}
                said = self._frame("response.reasoning_summary_text.done", {**place, "text": part.text})
                fields = {**place, "part": summary_part(part.text)}
                return said + self._frame("response.reasoning_summary_part.done", fields)
            case _:
                return b""

    # Ends

    def _end(self, event: Ended | Failed) -> bytes:
        if isinstance(event, Failed):
            return self._fail(event.error)
        status = status_of(self._fold.result())
        return self._settle(status) + self._whole_response(f"response.{status}")

    def _fail(self, error: TurnError) -> bytes:
        """Nothing that is open is closed: it would look whole."""
        settled = self._settle("completed")
        _, kind, code = ERRORS[error.kind]
        said: JsonObject = {"code": code, "message": error.message, "param": error.param}
        # Flat as it is published, and nested as it is sent: the official clients raise the nested one.
        failed = self._frame("error", {**said, "error": {"type": kind, **said}})
        if self._head.started is _NOTHING:
            return settled + failed
        return settled + failed + self._whole_response("response.failed")
