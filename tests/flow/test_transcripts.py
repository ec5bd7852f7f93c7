"""Sessions go out as transcripts and come in from them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from claude_code_api.flow.records import Session, StoredMessage
from claude_code_api.flow.transcripts import markdown_of, read_transcript, transcript_of
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, OpaqueBlock, TextBlock
from tests.flow.talk import call, claude, held, result, thought, you

SESSION = Session("s", "me", None, "A title", "sonnet", (), Profile.CHAT, 1767225600.5, 0, 0, None)
SPOKEN = (
    you("hello", OpaqueBlock({"type": "image", "source": {}})),
    claude(thought("hm"), "let me see", call("toolu_1", a="```")),
    you(result("toolu_1", "42")),
    claude("it is 42"),
)


def entry(kind: str, uuid: str, parent: str | None, content: Any, **fields: Any) -> str:
    message = {"role": kind, "content": content, **fields.pop("message", {})}
    return json.dumps({"type": kind, "uuid": uuid, "parentUuid": parent, "message": message, **fields})


def messages_in(*lines: str) -> list[Message]:
    return [read.message for read in read_transcript("\n".join(lines)).entries]


def test_what_goes_out_comes_in_again() -> None:
    text = b"".join(transcript_of(SESSION, held(*SPOKEN))).decode()
    read = read_transcript(text)
    assert tuple(one.message for one in read.entries) == SPOKEN
    assert (read.title, read.model) == ("A title", "sonnet")
    assert all(one.in_history for one in read.entries)


def test_what_was_superseded_stays_at_home() -> None:
    first, second = held(you("a"), claude("b"))
    gone = StoredMessage(second.id, "s", 2, None, second.message, 0.0, in_history=False)
    assert messages_in(b"".join(transcript_of(SESSION, [first, gone])).decode()) == [you("a")]


class TestTranscriptsOfTheProgram:
    def test_an_answer_is_put_together_from_its_entries(self) -> None:
        assert messages_in(
            entry("user", "1", None, "hi"),
            entry("assistant", "2", "1", [{"type": "text", "text": "a"}], message={"id": "msg_1", "model": "opus"}),
            entry("assistant", "3", "2", [{"type": "text", "text": "b"}], message={"id": "msg_1", "model": "opus"}),
            entry("assistant", "4", "3", [{"type": "text", "text": "c"}], message={"id": "msg_2", "model": "opus"}),
        ) == [you("hi"), claude("a", "b"), claude("c")]

    def test_the_branch_that_the_last_message_ends(self) -> None:
        assert messages_in(
            entry("user", "1", None, "hi"),
            entry("user", "2", "1", "abandoned"),
            entry("assistant", "3", "1", "taken"),
            entry("user", "4", "3", "beside", isSidechain=True),
        ) == [you("hi"), claude("taken")]

    def test_what_is_not_spoken_holds_the_links_together(self) -> None:
        assert messages_in(
            json.dumps({"type": "queue-operation"}),
            entry("user", "1", None, "hi"),
            json.dumps({"type": "system", "uuid": "2", "parentUuid": "1", "content": "x"}),
            entry("user", "3", "2", "caveat", isMeta=True),
            entry("assistant", "4", "3", "hello"),
            json.dumps({"type": "ai-title", "title": "x"}),
        ) == [you("hi"), claude("hello")]

    def test_what_came_before_a_compaction_is_kept_out_of_the_history(self) -> None:
        read = read_transcript(
            "\n".join(
                [
                    entry("user", "1", None, "long ago"),
                    entry("assistant", "2", "1", "old answer"),
                    json.dumps({"type": "system", "uuid": "3", "parentUuid": None, "logicalParentUuid": "2"}),
                    entry("user", "4", "3", "In short: …", isCompactSummary=True),
                    entry("assistant", "5", "4", "new answer"),
                ]
            )
        )
        assert [(one.message, one.in_history) for one in read.entries] == [
            (you("long ago"), False),
            (claude("old answer"), False),
            (you("In short: …"), True),
            (claude("new answer"), True),
        ]

    def test_a_link_in_a_circle_ends(self) -> None:
        assert messages_in(entry("user", "1", "2", "a"), entry("assistant", "2", "1", "b")) == [you("a"), claude("b")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no message"),
        ('{"type": "summary"}', "no message"),
        ("{", "Line 1 of the transcript is not JSON"),
        ("\n[1]", "Line 2 of the transcript is not a JSON object"),
        ('{"type": "user", "uuid": "1"}', "has no message"),
        ('{"type": "user", "uuid": "1", "message": {"role": "user", "content": 5}}', "neither a text nor"),
        ('{"type": "user", "uuid": "1", "message": {"role": "user", "content": ["x"]}}', "neither a text nor"),
    ],
)
def test_what_is_no_transcript_is_refused_with_the_line(text: str, complaint: str) -> None:
    with pytest.raises(TurnRefusedError, match=complaint) as refused:
        read_transcript(text)
    assert refused.value.error.param == "transcript"


def test_a_page_for_people() -> None:
    page = "".join(markdown_of(SESSION, held(*SPOKEN, claude("it w"), cut=True)))
    assert page.startswith("# A title\n\n*sonnet · 2026-01-01T00:00:00.500Z · 5 messages*\n")
    assert "## You\n\nhello\n\n*[image]*" in page
    assert "## Claude *(cut)*\n\nit w\n" in page
    assert '````json\n{\n  "a": "```"\n}\n````' in page
    assert "<details><summary>Thoughts</summary>\n\nhm\n" in page
    assert "Result of `toolu_1`\n\n```\n42\n```" in page


def test_text_is_never_touched() -> None:
    odd = you(TextBlock("  \x00\u2028 /compact @file \r\n"))
    assert messages_in(b"".join(transcript_of(SESSION, held(odd))).decode()) == [odd]


def test_what_outgrew_the_model_is_a_compaction() -> None:
    entries = list(held(you("long ago"), claude("old"), you("new"), claude("newer")))
    entries[2] = replace(entries[2], summary="in short")
    read = read_transcript(b"".join(transcript_of(SESSION, entries)).decode())
    assert [(one.message, one.in_history) for one in read.entries] == [
        (you("long ago"), False),
        (claude("old"), False),
        (you("in short"), True),
        (you("new"), True),
        (claude("newer"), True),
    ]
    assert "## Summary of everything before\n\nin short\n\n## You\n\nnew" in "".join(markdown_of(SESSION, entries))
