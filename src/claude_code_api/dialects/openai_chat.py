"""The OpenAI chat completions dialect, `POST /v1/chat/completions`: both directions in one object.

Stands between `http/turns.py`, which hands it decoded bodies and writes what it returns, and the turn. It must not know
engines, sessions or HTTP beyond status and headers. Reading is in `openai_chat_request.py`, streaming in
`openai_chat_stream.py`, the whole answer here. `docs/dialects/openai-chat.md` is its page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from claude_code_api.dialects.dialect import Dialect, ErrorAnswer
from claude_code_api.dialects.openai_chat_request import parse_request
from claude_code_api.dialects.openai_chat_stream import ChatEncoder, completion_id, finish_reason
from claude_code_api.dialects.openai_shared import error_answer, usage_body
from claude_code_api.dialects.sse import COMMENT
from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.events import PartKind, total_usage
from claude_code_api.turn.request import Json, JsonObject, TurnRequest
from claude_code_api.turn.result import Part, TurnResult

_NOT_WELL = "only a turn that ended well can be rendered"


class OpenAIChat:
    """The dialect; it holds nothing, one object serves all requests."""

    name = "openai_chat"
    heartbeat = COMMENT

    def parse(self, body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
        """Read a request body."""
        return parse_request(body, headers)

    def encoder(self, request: TurnRequest) -> ChatEncoder:
        """Make the encoder of one streamed answer."""
        return ChatEncoder(request)

    def render(self, result: TurnResult, request: TurnRequest, further: Sequence[TurnResult] = ()) -> JsonObject:
        """Say a whole answer. A turn that did not end well has none: asking for it is the caller's bug."""
        if result.started is None:
            raise ValueError(_NOT_WELL)
        results = (result, *further)
        usage = total_usage(each.usage for each in results)
        return {
            "id": completion_id(result.started),
            "object": "chat.completion",
            "created": result.started.created_s,
            "model": request.model,
            "choices": [_choice(index, each, request) for index, each in enumerate(results)],
            "usage": None if usage is None else usage_body(usage),
        }

    def render_error(self, error: TurnError) -> ErrorAnswer:
        """Say a failure as a whole answer."""
        return error_answer(error)


def _choice(index: int, result: TurnResult, request: TurnRequest) -> JsonObject:
    if result.ended is None:
        raise ValueError(_NOT_WELL)
    return {
        "index": index,
        "message": _message(result, request),
        "logprobs": None,
        "finish_reason": finish_reason(result.ended, request),
    }


def _message(result: TurnResult, request: TurnRequest) -> JsonObject:
    calls = [part for part in result.parts if part.kind is PartKind.TOOL]
    said = any(part.kind is PartKind.TEXT for part in result.parts)
    message: dict[str, Json] = {
        "role": "assistant",
        # Only calls: null. Nothing at all: an empty answer, which is a string too.
        "content": result.text_of(PartKind.TEXT) if said or not calls else None,
        "refusal": None,
        "annotations": [],
    }
    thinking = result.text_of(PartKind.THINKING)
    if thinking:
        message["reasoning_content"] = thinking
    if calls and request.legacy_calls:
        # Room for one: the model was told to make no more.
        message["function_call"] = _function(calls[0])
    elif calls:
        message["tool_calls"] = [
            {"id": part.tool_id, "type": "function", "function": _function(part)} for part in calls
        ]
    return message


def _function(part: Part) -> JsonObject:
    # Arguments of no characters mean no arguments; clients parse them as JSON.
    return {"name": part.tool_name, "arguments": part.text or "{}"}


OPENAI_CHAT: Dialect = OpenAIChat()
