"""The OpenAI responses dialect, `POST /v1/responses`: both directions in one object.

Stands where `openai_chat.py` stands. Reading is in `responses_request.py` and what it uses, streaming in
`responses_stream.py`, the response object in `responses_output.py`. Its routes beside `POST` are in
`http/responses.py`. `docs/dialects/openai-responses.md` is its page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

from claude_code_api.dialects.dialect import Dialect, ErrorAnswer
from claude_code_api.dialects.openai_shared import error_answer
from claude_code_api.dialects.responses_output import head_of, response_body
from claude_code_api.dialects.responses_request import parse_request
from claude_code_api.dialects.responses_stream import ResponsesEncoder
from claude_code_api.dialects.sse import COMMENT
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.request import JsonObject, TurnRequest
from claude_code_api.turn.result import TurnResult

_NOT_WELL = "only a turn that has begun can be rendered"


class OpenAIResponses:
    """The dialect; it holds nothing but where a stream is to be taken up again."""

    name = "openai_responses"
    heartbeat = COMMENT

    def __init__(self, after: int = -1) -> None:
        """`after`: the number of the last frame that the reader of a stream has already."""
        self._after = after

    def parse(self, body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
        """Read a request body."""
        return parse_request(body, headers)

    def encoder(self, request: TurnRequest) -> ResponsesEncoder:
        """Make the encoder of one streamed answer."""
        return ResponsesEncoder(request, self._after)

    def render(
        self,
        result: TurnResult,
        request: TurnRequest,
        further: Sequence[TurnResult] = (),  # noqa: ARG002 - the protocol's; a response is one answer
    ) -> JsonObject:
        """Say a whole answer."""
        if result.started is None:
            raise ValueError(_NOT_WELL)
        return response_body(head_of(result.started, request), result)

    def render_error(self, error: TurnError) -> ErrorAnswer:
        """Say a failure as a whole answer."""
        answer = error_answer(error)
        if error.kind is ErrorKind.NOT_FOUND and error.param == "previous_response_id":
            said = answer.body["error"]
            known = {**said, "code": "previous_response_not_found"} if isinstance(said, Mapping) else said
            # A field of the request is wrong, not its path.
            return replace(answer, status=HTTPStatus.BAD_REQUEST.value, body={"error": known})
        return answer


OPENAI_RESPONSES: Dialect = OpenAIResponses()
