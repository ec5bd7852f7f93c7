"""What a turn said, as the message that the conversation goes on from."""

from __future__ import annotations

import pytest

from claude_code_api.turn.answer import Said, answer_of, can_be_gone_on_from, said_in
from claude_code_api.turn.events import PartKind, Phase, ToolActivity
from claude_code_api.turn.request import (
    Block,
    Json,
    Message,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from claude_code_api.turn.result import Part, TurnResult


def said(*parts: Part) -> tuple[Block, ...] | None:
    answer = answer_of(TurnResult(steps=parts))
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


class TestAnAgentsTurn:
    """What the CLI's own tools did is told in the messages that the model's API knows."""

    @staticmethod
    def started(id_: str, **arguments: str) -> ToolActivity:
        return ToolActivity(id_, "Read", Phase.STARTED, arguments)

    @staticmethod
    def ended(id_: str, content: Json, *, failed: bool = False) -> ToolActivity:
        return ToolActivity(id_, "Read", Phase.ENDED, {"content": content, "is_error": failed})

    def test_words_calls_results_and_the_answer(self) -> None:
        said = said_in(
            TurnResult(
                steps=(
                    Part(PartKind.TEXT, "Looking. "),
                    self.started("toolu_1", path="a"),
                    self.started("toolu_2", path="b"),
                    self.ended("toolu_1", "text of a"),
                    self.ended("toolu_2", [{"type": "text", "text": "no such file"}], failed=True),
                    Part(PartKind.TEXT, "Two files."),
                )
            )
        )
        assert said.steps == (
            Message(
                "assistant",
                (
                    TextBlock("Looking. "),
                    ToolUseBlock("toolu_1", "Read", {"path": "a"}),
                    ToolUseBlock("toolu_2", "Read", {"path": "b"}),
                ),
            ),
            Message(
                "user",
                (
                    ToolResultBlock("toolu_1", "text of a"),
                    ToolResultBlock("toolu_2", (TextBlock("no such file"),), is_error=True),
                ),
            ),
        )
        assert said.answer == Message("assistant", (TextBlock("Two files."),))

    def test_a_call_that_was_cut_has_a_result_that_says_so(self) -> None:
        said = said_in(TurnResult(steps=(self.started("toolu_1"), self.started("toolu_2"), self.ended("toolu_1", "x"))))
        assert said.answer is None
        assert [len(message.blocks) for message in said.steps] == [2, 2]
        last = said.steps[-1].blocks[-1]
        assert isinstance(last, ToolResultBlock)
        assert (last.tool_use_id, last.is_error) == ("toolu_2", True)

    def test_without_tools_there_is_the_answer_alone(self) -> None:
        assert said_in(TurnResult()) == Said((), None)
        assert said_in(TurnResult(steps=(Part(PartKind.TEXT, "a"),))) == Said(
            (), Message("assistant", (TextBlock("a"),))
        )
