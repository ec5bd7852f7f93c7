"""Clients that people use, each in every scenario: all of them see what the model said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_code_api.flow.options import FlowOptions, UnknownModel
from tests.client_matrix.client_programs import PATIENCE_S, Client, performs
from tests.client_matrix.scripted_model import MODELS, UNICODE, model_for, results_in
from tests.http.loopback import running

pytestmark = pytest.mark.clients
HELPERS = ("helper", "structured_stream", "models")
LENGTHS = ("thinking", "length", "structured_stream")
SCHEMA = ("structured_by_schema",)
# It does one thing alone.
NOT_INSTRUCTOR = ("whole", "stream", "tools", "tools_stream", "rate_limited", "cut")

# What a model is not found, a limit, and a stream that breaks off are called by each library.
VERCEL: Any = {"not_found": "APICallError", "too_fast": "APICallError", "cut_off": "StreamProviderError"}
LANGCHAIN = ("OpenAIModelNotFoundError", "OpenAIRateLimitError", "APIError")
LANGCHAIN_ANTHROPIC = ("AnthropicModelNotFoundError", "AnthropicRateLimitError", "APIStatusError")
PYDANTIC: Any = {"not_found": "ModelHTTPError", "too_fast": "ModelHTTPError"}
PYDANTIC_ANTHROPIC: Any = {**PYDANTIC, "cut_off": "ModelAPIError"}
LITELLM: Any = {"cut_off": "MidStreamFallbackError"}
INSTRUCTOR: Any = {"not_found": "InstructorRetryException"}

CLIENTS = (
    Client("openai-node", "openai_chat.mjs", (*HELPERS, "completions")),
    Client("anthropic-node", "anthropic_messages.mjs", ("helper", "models", "thinking", "count")),
    Client("ai-sdk-compatible", "ai_sdk.mjs", LENGTHS, {"PROVIDER": "openai-compatible"}, **VERCEL),
    Client("ai-sdk-openai", "ai_sdk.mjs", LENGTHS[1:], {"PROVIDER": "openai"}, **VERCEL),
    Client("ai-sdk-anthropic", "ai_sdk.mjs", LENGTHS, {"PROVIDER": "anthropic"}, **VERCEL),
    Client("langchain-openai", "langchain_chat.py", SCHEMA, {"CHAT_CLASS": "openai"}, (), *LANGCHAIN),
    Client("langchain-anthropic", "langchain_chat.py", SCHEMA, {"CHAT_CLASS": "anthropic"}, (), *LANGCHAIN_ANTHROPIC),
    Client("pydantic-ai-openai", "pydantic_ai_agent.py", SCHEMA, {"PROVIDER": "openai-chat"}, **PYDANTIC),
    Client("pydantic-ai-anthropic", "pydantic_ai_agent.py", SCHEMA, {"PROVIDER": "anthropic"}, **PYDANTIC_ANTHROPIC),
    Client("agents-chat", "openai_agents.py", (), {"AGENTS_API": "chat_completions"}),
    Client("openai-node-responses", "openai_responses.mjs", HELPERS[:2]),
    Client("ai-sdk-responses", "ai_sdk.mjs", LENGTHS, {"PROVIDER": "responses"}, **VERCEL),
    Client("langchain-responses", "langchain_chat.py", SCHEMA, {"CHAT_CLASS": "responses"}, (), *LANGCHAIN),
    Client("pydantic-ai-responses", "pydantic_ai_agent.py", SCHEMA, {"PROVIDER": "openai-responses"}, **PYDANTIC),
    Client("agents-responses", "openai_agents.py", (), {"AGENTS_API": "responses"}),
    Client("litellm-openai", "litellm_completion.py", (), {"PROVIDER": "openai"}, **LITELLM),
    Client("litellm-anthropic", "litellm_completion.py", (), {"PROVIDER": "anthropic"}, **LITELLM),
    *(
        Client(
            f"instructor-{api}", "instructor_create.py", HELPERS[1:2], {"PROVIDER": api}, NOT_INSTRUCTOR, **INSTRUCTOR
        )
        for api in ("openai", "anthropic")
    ),
)
CELLS = [pytest.param(client, name, id=f"{client.name}-{name}") for client in CLIENTS for name in client.scenarios]
ANSWERS = {"whole": UNICODE, "stream": UNICODE, "helper": UNICODE, "completions": UNICODE, "thinking": "Hello!"}
ANSWERS |= {"tools": "3 and 7", "tools_stream": "3 and 7", "length": "One, two, th", "count": "42", "cut": "Hel"}
ANSWERS |= {"models": MODELS[0].resolved}


@pytest.mark.parametrize(("client", "scenario"), CELLS)
async def test_a_client_in_a_scenario(client: Client, scenario: str, tmp_path: Path) -> None:
    engine, flow = model_for(scenario), FlowOptions(unknown_model=UnknownModel.REFUSE)
    async with running(engine, flow=flow, patience_s=PATIENCE_S) as gateway:
        seen = await performs(client, scenario, tmp_path, gateway.url)
    _as_it_was_said(client, scenario, seen)
    if scenario.startswith("tools"):
        # Some call the functions at the same time.
        assert sorted(seen["sums"]) == ["1+2", "3+4"]
        assert [results_in(plan) for plan in engine.plans] == [[], ["3", "7"]]


def _as_it_was_said(client: Client, scenario: str, seen: dict[str, Any]) -> None:
    errors = {"unknown_model": client.not_found, "rate_limited": client.too_fast, "cut": client.cut_off}
    assert seen.get("error") == errors.get(scenario), seen
    if scenario in ANSWERS:
        assert seen["text"] == ANSWERS[scenario]
    if scenario.startswith("structured"):
        assert seen["value"] == {"x": 1, "label": "ü"}
    if scenario == "unknown_model":
        assert "llama-3" in seen["message"]
    if scenario == "thinking":
        assert seen["thinking"] == "They greet me; I greet back."
    assert seen.get("pieces", 2) > 1 or scenario in errors
    assert seen.get("tokens", 72) == 72
