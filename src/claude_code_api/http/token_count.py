"""POST /v1/messages/count_tokens: how many tokens a request's input has."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from claude_code_api.dialects.anthropic_request import parse_count
from claude_code_api.flow.token_count import TokenCounter
from claude_code_api.http.guards import AskingCaller
from claude_code_api.http.json_body import decode_object
from claude_code_api.http.sent_headers import headers_of

# The body is read by the dialect; what `/docs` shows of it is written here.
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "additionalProperties": True}}},
    }
}


def token_count_routes(counter: TokenCounter) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["turns"])

    @router.post("/v1/messages/count_tokens", openapi_extra=_BODY)
    async def count_tokens(request: Request, caller: AskingCaller) -> Response:
        """Count the tokens of a request's input, without an answer to it."""
        asked = parse_count(decode_object(await request.body()), headers_of(request))
        headers = {"x-ignored-params": ", ".join(asked.ignored)} if asked.ignored else {}
        return JSONResponse({"input_tokens": await counter.count(asked, caller)}, headers=headers)

    return router
