"""Blocks are written as the model's API reads them, and read back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.turn.block_json import block_json, block_of, blocks_json, blocks_of
from claude_code_api.turn.request import (
    Block,
    JsonObject,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)

texts = st.text(max_size=10)
extras = st.dictionaries(st.sampled_from(["cache_control", "citations", "x"]), st.integers() | st.none(), max_size=2)
plain: st.SearchStrategy[Block] = (
    st.builds(TextBlock, texts, extras)
    | st.builds(ThinkingBlock, texts, texts)
    | st.builds(ToolUseBlock, texts, texts, st.dictionaries(texts, texts, max_size=2), extras)
    | st.builds(OpaqueBlock, st.fixed_dictionaries({"type": st.sampled_from(["image", "new"]), "n": st.integers()}))
)
blocks = plain | st.builds(
    ToolResultBlock, texts, texts | st.lists(plain, max_size=2).map(tuple), st.booleans(), extras
)


@given(st.lists(blocks, max_size=4).map(tuple))
def test_there_and_back(said: tuple[Block, ...]) -> None:
    assert blocks_of(json.loads(json.dumps(blocks_json(said)))) == said


@pytest.mark.parametrize(
    ("block", "written"),
    [
        (TextBlock("a", {"citations": []}), {"type": "text", "text": "a", "citations": []}),
        (ThinkingBlock("hm", "s"), {"type": "thinking", "thinking": "hm", "signature": "s"}),
        (
            ToolResultBlock("c", (TextBlock("a"),), is_error=True),
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "a"}], "is_error": True},
        ),
    ],
)
def test_as_the_models_api_reads_it(block: Block, written: JsonObject) -> None:
    assert block_json(block) == written


@pytest.mark.parametrize(
    "body",
    [
        {"type": "text"},
        {"type": "text", "text": 1},
        {"type": "thinking", "thinking": "hm"},
        {"type": "thinking", "thinking": "hm", "signature": "s", "more": 1},
        {"type": "tool_use", "id": "c", "name": "f", "input": "not an object"},
        {"type": "tool_result", "tool_use_id": "c"},
        {"type": "tool_result", "tool_use_id": "c", "content": "a", "is_error": False},
        {"type": "tool_result", "tool_use_id": "c", "content": ["a"]},
        {"type": "never heard of"},
        {},
    ],
)
def test_what_is_not_quite_a_known_block_stays_as_it_is(body: dict[str, Any]) -> None:
    assert block_of(body) == OpaqueBlock(body)
    assert block_json(block_of(body)) == body
