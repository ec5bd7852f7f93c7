"""A conversation, split into what a process resumes from and what it is told."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.engine.launch import Home
from claude_code_api.engine.seat import Seating, arrange
from claude_code_api.engine.transcript import is_blank
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.request import (
    Block,
    Message,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from tests.turn.legal_events import TEXT


def user(*texts: str) -> Message:
    return Message("user", tuple(TextBlock(text) for text in texts))


def assistant(*texts: str) -> Message:
    return Message("assistant", tuple(TextBlock(text) for text in texts))


CALL = Message("assistant", (ToolUseBlock("t1", "f", {}), ToolUseBlock("t2", "g", {})))
RESULTS = Message("user", (ToolResultBlock("t1", "r1"), ToolResultBlock("t2", " ")))


def shape(messages: list[Message]) -> tuple[list[Message], list[Block]]:
    seating = arrange(messages)
    return list(seating.history), list(seating.last)


def texts(*words: str) -> list[Block]:
    return [TextBlock(word) for word in words]


@pytest.mark.parametrize(
    ("messages", "history", "last"),
    [
        ([user("a")], [], texts("a")),
        ([user("a"), assistant("b"), user("c")], [user("a"), assistant("b")], texts("c")),
        ([assistant("b"), user("c")], [assistant("b")], texts("c")),
        ([user("a"), user("b")], [], texts("a", "b")),
        (
            [user("a"), user("b"), assistant("c"), user("d"), user("e")],
            [user("a", "b"), assistant("c")],
            texts("d", "e"),
        ),
        ([user("a"), assistant("b"), assistant("c"), user("d")], [user("a"), assistant("b", "c")], texts("d")),
        # An answer without words is left out, and its neighbours become one.
        ([user("a"), Message("assistant", ()), user("b")], [], texts("a", "b")),
        ([user("a"), assistant(" \n"), user("b")], [], texts("a", "b")),
        ([user("a"), Message("assistant", (ThinkingBlock("t", "s"),)), user("b")], [], texts("a", "b")),
        ([user("a"), assistant("b", "", "c"), user("d", " ")], [user("a"), assistant("b", "c")], texts("d")),
        ([user(""), assistant("b"), user("c")], [assistant("b")], texts("c")),
        ([user("a"), user(" ")], [], texts("a")),
        # The CLI would take these words for its own.
        ([user("a"), assistant("(no content)"), user("b")], [user("a"), assistant("(no", " content)")], texts("b")),
        (
            [user("a"), assistant("(no content)", "c"), user("b")],
            [user("a"), assistant("(no content)", "c")],
            texts("b"),
        ),
        ([user("(no content)"), assistant("c"), user("b")], [user("(no content)"), assistant("c")], texts("b")),
        # White space around words stays.
        ([user(" a\n"), assistant("\nb "), user("\tc ")], [user(" a\n"), assistant("\nb ")], texts("\tc ")),
    ],
)
def test_where_a_conversation_is_split(messages: list[Message], history: list[Message], last: list[Block]) -> None:
    assert shape(messages) == (history, last)


def test_tool_results_come_last_with_what_was_said_after_them() -> None:
    seating = arrange([user("a"), CALL, RESULTS, user("and")])
    assert seating.answers_tools
    assert (seating.history, seating.last) == ((user("a"), CALL), (*RESULTS.blocks, TextBlock("and")))
    assert not arrange([user("a"), CALL, RESULTS, assistant("b"), user("c")]).answers_tools


def test_a_message_of_no_text_is_not_blank() -> None:
    image = OpaqueBlock({"type": "image"})
    assert shape([Message("user", (image,))]) == ([], [image])


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "must be the user's"),
        ([user("a"), assistant("b")], "must be the user's"),
        ([user("")], "blank"),
        ([user(" \n\u2028")], "blank"),
        ([Message("user", ())], "blank"),
        ([user("a"), assistant("b"), user(" ")], "blank"),
    ],
)
def test_what_cannot_be_answered_is_refused(messages: list[Message], words: str) -> None:
    with pytest.raises(TurnRefusedError, match=words) as caught:
        arrange(messages)
    assert (caught.value.error.kind, caught.value.error.param) == (ErrorKind.INVALID_REQUEST, "messages")


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.lists(TEXT, max_size=3)), max_size=6), TEXT)
def test_every_word_arrives_once_and_in_order(said: list[tuple[str, list[str]]], last: str) -> None:
    messages = [user(*words) if role == "user" else assistant(*words) for role, words in [*said, ("user", ["!", last])]]
    seating = arrange(messages)
    seated = [*seating.history, Message("user", seating.last)]
    assert [b for m in seated for b in m.blocks] == [
        b for m in messages for b in m.blocks if isinstance(b, TextBlock) and not is_blank(b.text)
    ]
    roles = [message.role for message in seated]
    assert all(one != other for one, other in pairwise(roles))
    assert len(seating.entry_uuids) == len(seating.history)


def test_the_history_is_a_file_to_resume_from(tmp_path: Path) -> None:
    home = Home(tmp_path / "1")
    home.make()
    seating = arrange([user("a"), CALL, RESULTS])
    resume = seating.write_transcript(home)
    assert resume is not None
    assert (resume.transcript, resume.at_uuid) == (home.transcript, seating.entry_uuids[-1])
    entries = [orjson.loads(line) for line in home.transcript.read_bytes().splitlines()]
    assert [entry["uuid"] for entry in entries] == list(seating.entry_uuids)


def test_only_tool_results_name_the_entry_to_go_on_from(tmp_path: Path) -> None:
    home = Home(tmp_path / "1")
    home.make()
    resume = arrange([user("a"), assistant("b"), user("c")]).write_transcript(home)
    assert resume is not None
    assert resume.at_uuid is None


def test_without_history_there_is_no_file(tmp_path: Path) -> None:
    assert Seating((), (TextBlock("a"),), ()).write_transcript(Home(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_each_entry_says_with_which_message_it_begins() -> None:
    seating = arrange([user("a"), user("b"), assistant("c"), user(" "), assistant("d"), user("e"), user("f")])
    assert [message.role for message in seating.history] == ["user", "assistant"]
    assert seating.places == {seating.entry_uuids[0]: 0, seating.entry_uuids[1]: 2, "": 5}
