"""Some of the clients, the whole way: gateway, bundled claude, stand-in upstream."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_code_api.standin import Answer, StandIn, Text, ToolUse
from tests.client_matrix.client_programs import PATIENCE_S, Client, performs
from tests.clients.whole_way import whole_way

pytestmark = [pytest.mark.clients, pytest.mark.real_cli]

CLIENTS = (
    Client("openai-node", "openai_chat.mjs"),
    Client("anthropic-node", "anthropic_messages.mjs"),
    Client("ai-sdk-anthropic", "ai_sdk.mjs", settings={"PROVIDER": "anthropic"}),
    Client("langchain-openai", "langchain_chat.py", settings={"CHAT_CLASS": "openai"}),
    Client("agents-chat", "openai_agents.py", settings={"AGENTS_API": "chat_completions"}),
)
TWO_CALLS = Answer(
    (
        Text("Let me see."),
        ToolUse("toolu_1", "add", pieces=('{"a": 1', ', "b": 2}')),
        ToolUse("toolu_2", "add", {"a": 3, "b": 4}),
    ),
    stop_reason="tool_use",
)


@pytest.mark.parametrize("scenario", ["stream", "tools", "tools_stream"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_a_client_the_whole_way(client: Client, scenario: str, tmp_path: Path) -> None:
    run, home = tmp_path / "run", tmp_path / "home"
    run.mkdir()
    home.mkdir()
    with StandIn(pace_ms=0) as upstream:
        async with whole_way(run, upstream, patience_s=PATIENCE_S) as (gateway, _):
            if scenario == "stream":
                upstream.play(Answer((Text(pieces=("Hel", "lo ", "🙂")),)))
            else:
                upstream.play(TWO_CALLS, "3 and 7")
            seen = await performs(client, scenario, home, gateway.url)
    if scenario == "stream":
        assert seen == {**seen, "text": "Hello 🙂", "pieces": 3}
        return
    assert (seen["text"], sorted(seen["sums"])) == ("3 and 7", ["1+2", "3+4"])
    given = upstream.messages[-1].body["messages"][-1]["content"]
    assert [block["content"] for block in given if block["type"] == "tool_result"] == ["3", "7"]
