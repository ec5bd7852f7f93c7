"""What clients send, by way of the real CLI, and what the model's API would say to it.

`tests/models` tries every habit with every model. Here it is what the CLI itself says beside them that counts: behind
the gateway's door, in a fresh process, and with a login, where its own words cannot be taken away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_code_api.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.engine.options import Credentials
from claude_code_api.engine.prove import Proof
from claude_code_api.standin import StandIn
from claude_code_api.turn.events import Ended
from tests.models.habits import LOOK, OPEN, ROUND, USER
from tests.real_cli.rig import Rig, checked, plan

# Thinks by budget; adaptively unless told; always.
MODELS = ("claude-haiku-4-5", "claude-opus-5", "claude-opus-5-5")
LANES = {
    "door": Credentials(api_key="sk-ant-made-up"),
    "fresh": Credentials(api_key="sk-ant-made-up"),
    "login": Credentials(oauth_token="tok-made-up"),
}
MARKED = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
CHATS: dict[str, dict[str, Any]] = {
    "sampling": {"temperature": 0.2, "top_p": 0.9, "stop": ["\n", "END"], "max_tokens": 10**6, "user": "u" * 300},
    "nucleus": {"top_p": 0.9},
    "thinking": {"reasoning_effort": "high", "temperature": 0.2, "messages": [*ROUND], "tools": [LOOK]},
    "forced": {"tools": [LOOK], "tool_choice": "required", "reasoning_effort": "low"},
    "json": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": OPEN}}},
    "begun": {
        "messages": [{"role": "assistant", "content": "Hello."}, USER, {"role": "assistant", "content": "It is "}]
    },
    "marks": {"messages": [{"role": "system", "content": [MARKED] * 2}, {"role": "user", "content": [MARKED] * 3}]},
}
# Each is a request that the model's API itself takes, of the models named.
NATIVE: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "plain": (MODELS, {}),
    "sampling": (MODELS[:1], {"temperature": 0.2, "top_k": 5}),
    "forced": (
        MODELS[:2],
        {"tools": [{"name": "look", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
    ),
    "begun": (MODELS[:1], {"messages": [USER, {"role": "assistant", "content": "It is"}]}),
    "marks": (MODELS, {"system": [MARKED] * 2, "messages": [{"role": "user", "content": [MARKED] * 2}]}),
}


@pytest.mark.parametrize(
    ("lane", "model"),
    [*(("door", model) for model in MODELS), ("fresh", MODELS[0]), *(("login", model) for model in MODELS)],
)
async def test_nothing_of_it_is_refused(lane: str, model: str, tmp_path: Path) -> None:
    asked = [OPENAI_CHAT.parse({"model": model, "messages": [USER], **fields}, {}) for fields in CHATS.values()]
    for models, fields in NATIVE.values():
        thinks = model == "claude-opus-5" and "tool_choice" in fields
        off = {"thinking": {"type": "disabled"}} if thinks else {}
        if model in models:
            body = {"model": model, "max_tokens": 99, "messages": [USER], **fields, **off}
            asked.append(ANTHROPIC_MESSAGES.parse(body, {}))
    with StandIn(pace_ms=0) as upstream:
        rig = Rig(upstream, tmp_path, credentials=LANES[lane])
        upstream.always("{}")
        async with rig.engine() as engine:
            if lane == "door":
                engine.trust(Proof({"all": True}))
            for request in asked:
                async with engine.lease(plan(request, model=model, control=engine.control(None))) as lease:
                    result = checked([event async for batch in lease.batches() for event in batch])
                assert isinstance(result.ended, Ended), (result.error, request.as_is, upstream.received[-1].body)
        refused = [(record.refused, record.refusal) for record in upstream.received if record.refused is not None]
        assert refused == []
        assert len(upstream.messages) == len(asked)
