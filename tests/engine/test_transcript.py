"""Messages as blocks and as transcript entries."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.engine.transcript import is_blank, transcript_lines
from claude_code_api.turn.block_json import blocks_json
from claude_code_api.turn.request import (
    Block,
    JsonObject,
    Message,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from tests.turn.legal_events import TEXT

CACHED: JsonObject = {"cache_control": {"type": "ephemeral"}}
BLOCKS: list[tuple[Block, JsonObject]] = [
    (TextBlock("a", CACHED), {"type": "text", "text": "a", **CACHED}),
    (ThinkingBlock("hm", "sig"), {"type": "thinking", "thinking": "hm", "signature": "sig"}),
    (ToolUseBlock("t", "f", {"a": [1]}), {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}}),
    (ToolResultBlock("t", "r"), {"type": "tool_result", "tool_use_id": "t", "content": "r"}),
    (
        ToolResultBlock("t", (TextBlock("r"), OpaqueBlock({"type": "image"})), is_error=True, extra=CACHED),
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [{"type": "text", "text": "r"}, {"type": "image"}],
            "is_error": True,
            **CACHED,
        },
    ),
    (OpaqueBlock({"type": "document", "x": None}), {"type": "document", "x": None}),
]


@pytest.mark.parametrize(("block", "written"), BLOCKS)
def test_each_kind_of_block(block: Block, written: JsonObject) -> None:
    assert blocks_json([block]) == [written]


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXT), max_size=5))
def test_a_transcript_is_a_chain_of_entries_one_a_line(said: list[tuple[str, str]]) -> None:
    messages = [Message(role, (TextBlock(text),)) for role, text in said]  # type: ignore[arg-type]
    uuids = [f"u-{number}" for number in range(len(said))]
    lines = transcript_lines(messages, uuids, "s-1").splitlines() if said else []
    entries = [orjson.loads(line) for line in transcript_lines(messages, uuids, "s-1").split(b"\n") if line]
    assert [(entry["type"], entry["message"]) for entry in entries] == [
        (role, {"role": role, "content": [{"type": "text", "text": text}]}) for role, text in said
    ]
    assert [entry["uuid"] for entry in entries] == uuids
    assert [entry["parentUuid"] for entry in entries] == [None, *uuids][: len(uuids)]
    assert {entry["sessionId"] for entry in entries} <= {"s-1"}
    assert len(lines) == len(entries)


def test_uuids_and_messages_go_together() -> None:
    with pytest.raises(ValueError, match="shorter"):
        transcript_lines([Message("user", ())], [], "s-1")


@pytest.mark.parametrize("text", ["", " ", "\t\n\x0b\x0c\r", "\u00a0\u2028\u2029\u3000\ufeff"])
def test_what_the_cli_takes_for_nothing(text: str) -> None:
    assert is_blank(text)


# Python would strip the first four of these.
@pytest.mark.parametrize("text", ["\x1c", "\x1f", "\x85", "\x1e ", "\u200b", "\x00", ".", " a "])
def test_what_the_cli_passes_on(text: str) -> None:
    assert not is_blank(text)
