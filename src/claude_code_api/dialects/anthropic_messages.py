"""The Anthropic messages dialect, `POST /v1/messages`: both directions in one object.

Stands between `http/turns.py`, which hands it decoded bodies and writes what it returns, and the turn. It must not know
engines, sessions or HTTP beyond status and headers. Reading is in `anthropic_request.py`, streaming in
`anthropic_stream.py`, the whole answer here. `docs/dialects/anthropic-messages.md` is its page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from claude_code_api.dialects.anthropic_blocks import block_of_part, message_head, stop_fields, usage_body
from claude_code_api.dialects.anthropic_errors import error_answer
from claude_code_api.dialects.anthropic_request import parse_request
from claude_code_api.dialects.anthropic_stream import PING, MessagesEncoder
from claude_code_api.dialects.dialect import Dialect, ErrorAnswer
from claude_code_api.turn.errors import TurnError
from claude_code_api.turn.request import JsonObject, TurnRequest
from claude_code_api.turn.result import TurnResult

# The published description demands these keys of a whole answer; the gateway knows nothing of what they say.
_NOT_KNOWN: JsonObject = {"container": None, "stop_details": None}
_USAGE_NOT_KNOWN: JsonObject = dict.fromkeys(
    ("cache_creation", "inference_geo", "output_tokens_details", "server_tool_use", "service_tier")
)


class AnthropicMessages:
    """The dialect; it holds nothing, one object serves all requests."""

    name = "anthropic_messages"
    heartbeat = PING

    def parse(self, body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
        """Read a request body."""
        return parse_request(body, headers)

    def encoder(self, request: TurnRequest) -> MessagesEncoder:
        """Make the encoder of one streamed answer."""
        return MessagesEncoder(request)

    def render(self, result: TurnResult, request: TurnRequest, further: Sequence[TurnResult] = ()) -> JsonObject:
        """Say a whole answer. A turn that did not end well has none: asking for it is the caller's bug."""
        if result.started is None or result.ended is None or further:
            raise ValueError("one turn that ended well is what can be rendered")
        return {
            **message_head(result.started, request.model),
            "content": [block_of_part(part) for part in result.parts],
            **stop_fields(result.ended),
            **_NOT_KNOWN,
            "usage": {**_USAGE_NOT_KNOWN, **usage_body(result.usage)},
        }

    def render_error(self, error: TurnError) -> ErrorAnswer:
        """Say a failure as a whole answer."""
        return error_answer(error)


ANTHROPIC_MESSAGES: Dialect = AnthropicMessages()
