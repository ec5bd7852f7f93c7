"""What a turn said, as the message that the conversation goes on from."""

from __future__ import annotations

import pytest

from claude_code_api.turn.answer import answer_of, can_be_gone_on_from
from claude_code_api.turn.events import PartKind
from claude_code_api.turn.request import Block, Message, OpaqueBlock, TextBlock, ThinkingBlock, ToolUseBlock
from claude_code_api.turn.result import Part, TurnResult


def said(*parts: Part) -> tuple[Block, ...] | None:
    answer = answer_of(TurnResult(parts=parts))
    return None if answer is None else answer.blocks


def test_a_whole_answer() -> None:
    assert said(
        Part(PartKind.THINKING, "hm", signature="s"),
        Part(PartKind.REDACTED, "xyz"),
        Part(PartKind.TEXT, "let me see "),
        Part(PartKind.TEXT, ""),
        Part(PartKind.TOOL, '{"a": 1}', "toolu_1", "f"),
        Part(PartKind.TOOL, "", "toolu_2", "g"),
    ) == (
        ThinkingBlock("hm", "s"),
        OpaqueBlock({"type": "redacted_thinking", "data": "xyz"}),
        TextBlock("let me see "),
        ToolUseBlock("toolu_1", "f", {"a": 1}),
        ToolUseBlock("toolu_2", "g", {}),
    )


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]"])
def test_a_call_is_kept_as_the_model_made_it(arguments: str) -> None:
    (block,) = said(Part(PartKind.TOOL, arguments, "toolu_1", "f")) or ()
    assert isinstance(block, OpaqueBlock)
    assert (block.body["type"], block.body["id"]) == ("tool_use", "toolu_1")


@pytest.mark.parametrize("kind", [PartKind.THINKING, PartKind.REDACTED, PartKind.TOOL])
def test_of_what_was_cut_only_text_is_kept(kind: PartKind) -> None:
    assert said(Part(kind, "{", whole=False)) is None
    assert said(Part(PartKind.TEXT, "half", whole=False)) == (TextBlock("half"),)


def test_a_cut_answer_with_calls_cannot_be_shown_to_a_model() -> None:
    text, call = TextBlock("a"), ToolUseBlock("c", "f", {})
    assert can_be_gone_on_from(Message("assistant", (text, call)), truncated=False)
    assert can_be_gone_on_from(Message("assistant", (text,)), truncated=True)
    assert not can_be_gone_on_from(Message("assistant", (text, call)), truncated=True)
    assert not can_be_gone_on_from(Message("assistant", (ThinkingBlock("hm", "s"),)), truncated=True)
