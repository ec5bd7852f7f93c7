"""What of a request is new to a session, and what the model gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.flow.conversation import TITLE_CHARS, go_on, heard, names_to_go_on_from, shown_answer, title_of
from claude_code_api.flow.records import StoredMessage
from claude_code_api.turn.request import (
    Block,
    Message,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from tests.flow.talk import call, claude, held, result, thought, you

HELLO = (you("hello"), claude("hi there"))
REDACTED = OpaqueBlock({"type": "redacted_thinking", "data": "xyz"})


def test_only_the_new_message_is_sent() -> None:
    went = go_on(held(*HELLO), heard([you("more")]), with_thoughts=True)
    assert went is not None
    assert went.messages == (*HELLO, you("more"))
    assert went.new == (you("more"),)


def test_everything_is_sent_again() -> None:
    went = go_on(held(*HELLO), heard([*HELLO, you("more")]), with_thoughts=True)
    assert went is not None
    assert went.messages == (*HELLO, you("more"))
    assert went.new == (you("more"),)


def test_the_last_part_is_sent_again() -> None:
    before = (*HELLO, you("two"), claude("second"))
    went = go_on(held(*before), heard([*before[2:], you("three")]), with_thoughts=True)
    assert went is not None
    assert went.messages == (*before, you("three"))
    assert went.new == (you("three"),)


def test_nothing_is_held_yet() -> None:
    went = go_on([], heard([*HELLO, you("more")]), with_thoughts=True)
    assert went is not None
    assert went.new == (*HELLO, you("more"))


def test_the_same_words_once_more_are_a_new_message() -> None:
    went = go_on(held(you("go on"), claude("a")), heard([you("go on")]), with_thoughts=True)
    assert went is not None
    assert went.messages == (you("go on"), claude("a"), you("go on"))
    assert went.new == (you("go on"),)


def test_a_question_that_was_not_answered_comes_again() -> None:
    went = go_on(held(*HELLO, you("and?")), heard([*HELLO, you("and?")]), with_thoughts=True)
    assert went is not None
    assert went.new == ()
    assert went.messages == (*HELLO, you("and?"))


def test_after_a_question_that_was_not_answered_another_one_is_asked() -> None:
    went = go_on(held(*HELLO, you("and?")), heard([you("or?")]), with_thoughts=True)
    assert went is not None
    assert went.messages == (*HELLO, you("and?"), you("or?"))
    assert went.new == (you("or?"),)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([you("hullo"), claude("hi there"), you("more")], id="edited question"),
        pytest.param([you("hello"), claude("good day"), you("more")], id="edited answer"),
        pytest.param([claude("hi there"), you("hello"), you("more")], id="other order"),
        pytest.param([HELLO[0], HELLO[1], you("other"), claude("x"), you("more")], id="another way from there"),
    ],
)
def test_another_history_is_another_conversation(sent: list[Message]) -> None:
    stored = held(*HELLO, you("two"), claude("second"))
    assert go_on(stored, heard(sent), with_thoughts=True) is None


def test_an_answer_that_was_cut_is_asked_for_again() -> None:
    went = go_on(held(you("q"), claude("half"), cut=True), heard([you("q")]), with_thoughts=True)
    assert went is not None
    assert (went.messages, went.new, went.superseded) == ((you("q"),), (), ("m2",))


def test_an_answer_that_was_cut_is_gone_on_from() -> None:
    went = go_on(held(you("q"), claude("half"), cut=True), heard([you("and then?")]), with_thoughts=True)
    assert went is not None
    assert went.messages == (you("q"), claude("half"), you("and then?"))
    assert went.superseded == ()


def test_an_answer_that_was_cut_was_seen_only_in_part() -> None:
    sent = [you("q"), claude("ha"), you("and then?")]
    went = go_on(held(you("q"), claude("half"), cut=True), heard(sent), with_thoughts=True)
    assert went is not None
    assert went.messages == tuple(sent)
    assert went.new == (claude("ha"), you("and then?"))
    assert went.superseded == ("m2",)


class TestTheSame:
    """What clients change without meaning anything by it."""

    @pytest.mark.parametrize(
        ("said", "again"),
        [
            pytest.param(claude("one two"), claude("one ", "two"), id="other parts"),
            pytest.param(claude("answer\n"), claude("answer"), id="white space around it"),
            pytest.param(claude(thought("hm"), "answer"), claude("answer"), id="thoughts"),
            pytest.param(claude(REDACTED, "answer"), claude("answer"), id="thoughts nobody can read"),
            pytest.param(
                claude("a", call("c", b="1", a="2")), claude("a", call("c", a="2", b="1")), id="order of keys"
            ),
            pytest.param(
                you(ToolResultBlock("c", "text", is_error=True)),
                you(ToolResultBlock("c", (TextBlock("text"),))),
                id="result",
            ),
            pytest.param(
                you(TextBlock("a", {"cache_control": {"type": "ephemeral"}})), you("a"), id="a mark on a text"
            ),
            pytest.param(
                you(OpaqueBlock({"type": "image", "cache_control": {}})),
                you(OpaqueBlock({"type": "image"})),
                id="a mark",
            ),
        ],
    )
    def test(self, said: Message, again: Message) -> None:
        assert heard([said]).digest() == heard([again]).digest()

    @pytest.mark.parametrize(
        ("said", "other"),
        [
            (claude("a"), you("a")),
            (claude("a b"), claude("a  b")),
            (claude("a"), claude("A")),
            (claude("a", call("c")), claude("a")),
            (claude(call("c", a="1")), claude(call("c", a="2"))),
            (claude(call("c")), claude(call("d"))),
            (you(result("c", "1")), you(result("c", "2"))),
            (you(OpaqueBlock({"type": "image", "n": 1})), you(OpaqueBlock({"type": "image", "n": 2}))),
        ],
    )
    def test_not(self, said: Message, other: Message) -> None:
        assert heard([said]).digest() != heard([other]).digest()


class TestThoughts:
    """They go back to the model that had them, also where the client cannot carry them."""

    STORED = (you("q"), claude(thought("hm"), "let me see", call("c")))

    def test_before_the_words_that_they_stood_before(self) -> None:
        sent = [you("q"), claude("let me see", call("c")), you(result("c", "42"))]
        went = go_on(held(*self.STORED), heard(sent), with_thoughts=True)
        assert went is not None
        assert went.messages == (*self.STORED, you(result("c", "42")))

    def test_between_the_blocks(self) -> None:
        stored = (you("q"), claude(thought("1"), "a", thought("2"), call("c")))
        went = go_on(held(*stored), heard([you("q"), claude("a", call("c")), you("x")]), with_thoughts=True)
        assert went is not None
        assert went.messages == (*stored, you("x"))

    def test_first_of_all_where_the_blocks_are_cut_otherwise(self) -> None:
        sent = [you("q"), claude("let me ", "see", call("c")), you("x")]
        went = go_on(held(*self.STORED), heard(sent), with_thoughts=True)
        assert went is not None
        assert went.messages[1] == claude(thought("hm"), "let me ", "see", call("c"))

    def test_not_twice(self) -> None:
        sent = [*self.STORED, you(result("c", "42"))]
        went = go_on(held(*self.STORED), heard(sent), with_thoughts=True)
        assert went is not None
        assert went.messages == tuple(sent)

    def test_not_to_another_model(self) -> None:
        sent = [you("q"), claude("let me see", call("c")), you(result("c", "42"))]
        went = go_on(held(*self.STORED), heard(sent), with_thoughts=False)
        assert went is not None
        assert went.messages == tuple(sent)

    def test_the_clients_own_marks_stay(self) -> None:
        marked = TextBlock("let me see", {"cache_control": {"type": "ephemeral"}})
        sent = [you("q"), claude(marked, call("c")), you("x")]
        went = go_on(held(*self.STORED), heard(sent), with_thoughts=True)
        assert went is not None
        assert went.messages[1] == claude(thought("hm"), marked, call("c"))


class TestAnAgent:
    """Its work is many messages; its client has seen one answer, with the words of all of them."""

    WORK = (
        you("what is in it?"),
        claude("Looking. ", call("c")),
        you(result("c", "42")),
        claude("It is 42."),
    )

    @staticmethod
    def held(*messages: Message) -> list[StoredMessage]:
        stored = held(*messages)
        steps = {
            n
            for n, one in enumerate(stored)
            if any(isinstance(b, (ToolUseBlock, ToolResultBlock)) for b in one.message.blocks)
        }
        return [replace(one, step=n in steps) for n, one in enumerate(stored)]

    def test_what_its_client_sends_again_is_recognised(self) -> None:
        sent = [you("what is in it?"), claude("Looking. It is 42."), you("sure?")]
        went = go_on(self.held(*self.WORK), heard(sent), with_thoughts=True)
        assert went is not None
        assert went.messages == (*self.WORK, you("sure?"))
        assert went.new == (you("sure?"),)
        assert went.shown.digest() == heard(sent).digest()

    def test_the_next_question_alone(self) -> None:
        went = go_on(self.held(*self.WORK), heard([you("sure?")]), with_thoughts=True)
        assert went is not None
        assert went.messages == (*self.WORK, you("sure?"))

    def test_work_that_came_to_no_answer_stays(self) -> None:
        went = go_on(self.held(*self.WORK[:3]), heard([you("go on")]), with_thoughts=True)
        assert went is not None
        assert went.messages == (*self.WORK[:3], you("go on"))

    def test_its_answer_is_known_by_the_words_of_all_its_messages(self) -> None:
        assert shown_answer(self.WORK[1:]).digest() == heard([claude("Looking. It is 42.")]).digest()
        assert shown_answer([claude("a")]).digest() == heard([claude("a")]).digest()
        assert shown_answer([]).messages == ()


def test_names_of_what_a_request_may_go_on_from() -> None:
    asked = heard([*HELLO, you("more")])
    assert names_to_go_on_from(asked) == (asked.digest(), heard(HELLO).digest())
    assert names_to_go_on_from(heard([you("first")])) == (heard([you("first")]).digest(),)
    assert names_to_go_on_from(heard(HELLO)) == (heard(HELLO).digest(),)


def test_a_title_is_one_line_of_the_first_words() -> None:
    assert title_of([claude("welcome"), you(OpaqueBlock({"type": "image"}), "  two\n words ")]) == "two words"
    assert title_of([claude("welcome")]) == ""
    long = title_of([you("word " * 40)])
    assert len(long) <= TITLE_CHARS
    assert long.endswith("word…")


# Whole conversations

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(TextBlock)
answers = st.lists(texts | st.builds(thought, st.text(max_size=3)), min_size=1, max_size=3)
rounds = st.lists(st.tuples(st.lists(texts, min_size=1, max_size=2), answers), max_size=6)


def conversation(spoken: list[tuple[list[Block], list[Block]]]) -> list[Message]:
    return [message for asked, said in spoken for message in (you(*asked), claude(*said))]


def as_a_plain_client_has_it(message: Message) -> Message:
    """Without thoughts, in one part, trimmed."""
    text = "".join(block.text for block in message.blocks if isinstance(block, TextBlock))
    return Message(message.role, (TextBlock(text.strip()),))


@given(rounds, st.data())
def test_whatever_part_of_a_conversation_is_sent_again_nothing_is_doubled_or_lost(
    spoken: list[tuple[list[TextBlock], list[TextBlock | ThinkingBlock]]], data: st.DataObject
) -> None:
    stored = conversation(spoken)  # type: ignore[arg-type]
    start = data.draw(st.integers(0, len(stored)))
    plainly = data.draw(st.booleans())
    again = [as_a_plain_client_has_it(message) if plainly else message for message in stored[start:]]
    new = you("something that nobody has said before")
    went = go_on(held(*stored), heard([*again, new]), with_thoughts=True)
    if went is None:
        # A part of which nothing is heard cannot be recognised; that it is somebody's whole story is then assumed.
        assert not any(heard(again).said)
        return
    assert heard(went.messages).digest() == heard([*stored, new]).digest()
    assert went.new[-1] == new
    assert not any(any(said) for said in heard(went.new[:-1]).said)


@given(rounds)
def test_a_client_that_sends_everything_finds_its_session(
    spoken: list[tuple[list[TextBlock], list[TextBlock | ThinkingBlock]]],
) -> None:
    stored = conversation(spoken)  # type: ignore[arg-type]
    sent = heard([*map(as_a_plain_client_has_it, stored), you("new")])
    if stored:
        assert heard(stored).digest() in names_to_go_on_from(sent)


class TestOutgrown:
    """The model knows the beginning by a summary; clients never hear of it."""

    STORED = (you("one"), claude("first"), you("two"), claude("second"))

    def summed_up(self, at: int) -> list[StoredMessage]:
        entries = list(held(*self.STORED))
        entries[at] = replace(entries[at], summary="in short")
        return entries

    @pytest.mark.parametrize("sent", [(), STORED[2:], STORED], ids=["nothing", "a part", "everything"])
    def test_the_model_gets_the_summary_and_what_came_after_it(self, sent: tuple[Message, ...]) -> None:
        went = go_on(self.summed_up(1), heard([*sent, you("three")]), with_thoughts=True)
        assert went is not None
        assert went.messages == (you("in short"), *self.STORED[1:], you("three"))
        assert went.ids == ("", "m2", "m3", "m4", "")
        assert went.new == (you("three"),)
        assert went.shown.digest() == heard([*self.STORED, you("three")]).digest()

    def test_the_last_summary_holds(self) -> None:
        entries = self.summed_up(1)
        entries[3] = replace(entries[3], summary="shorter")
        went = go_on(entries, heard([you("three")]), with_thoughts=True)
        assert went is not None
        assert went.messages == (you("shorter"), claude("second"), you("three"))

    def test_each_message_says_where_it_is_held(self) -> None:
        went = go_on(held(*self.STORED), heard([*self.STORED[2:], you("three")]), with_thoughts=True)
        assert went is not None
        assert went.ids == ("m1", "m2", "m3", "m4", "")

    def test_where_the_client_cuts_in_another_way_they_count_from_the_first(self) -> None:
        asked = (you("one"), claude(call("a"), call("b")))
        stored = (*asked, you(result("a", "1"), result("b", "2")), claude("done"))
        cut = (*asked, you(result("a", "1")), you(result("b", "2")), claude("done"))
        went = go_on(held(*stored), heard([*cut, you("two")]), with_thoughts=True)
        assert went is not None
        assert went.messages == (*cut, you("two"))
        assert went.ids == ("m1", "m1", "m1", "m1", "m1", "")
