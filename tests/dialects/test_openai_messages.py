"""Messages: who may speak after whom, and which result answers which call."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.dialects.fields import Notes
from claude_code_api.dialects.openai_messages import read_messages
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import Json, Message, OpaqueBlock, TextBlock, ToolResultBlock, ToolUseBlock

PNG = "data:image/png;base64,iVBORw0KGgoAAAAA"
PNG_BODY: dict[str, Json] = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PNG.partition(",")[2]},
}
MARK: dict[str, Json] = {"cache_control": {"type": "ephemeral"}}
HI = {"role": "user", "content": "hi"}


def call(call_id: str, name: str = "add", arguments: str = '{"a": 1}', **more: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def asks(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def tool(call_id: str, content: Any = "3", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **more}


def user(*texts: str) -> Message:
    return Message("user", tuple(TextBlock(text) for text in texts))


def assistant(*texts: str) -> Message:
    return Message("assistant", tuple(TextBlock(text) for text in texts))


def read(*messages: Any) -> tuple[tuple[TextBlock, ...], tuple[Message, ...], tuple[str, ...]]:
    notes = Notes()
    system, conversation = read_messages(list(messages), notes)
    return system, conversation, notes.names()


def test_system_and_developer_messages_are_lifted_out_in_order() -> None:
    system, messages, ignored = read(
        {"role": "system", "content": " one\n"},
        HI,
        {"role": "developer", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "three", **MARK}]},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "more"},
        {"role": "system", "content": ""},
        {"role": "system", "content": "four", **MARK},
    )
    assert system == (TextBlock(" one\n"), TextBlock("two"), TextBlock("three", MARK), TextBlock("four", MARK))
    assert messages == (user("hi"), assistant("hello"), user("more"))
    assert ignored == ()


def test_neighbours_of_one_role_stay_apart() -> None:
    _, messages, _ = read(HI, HI, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, HI)
    assert messages == (user("hi"), user("hi"), assistant("a"), assistant("b"), user("hi"))


def test_an_empty_answer_of_the_past_stays_an_entry() -> None:
    _, messages, _ = read(HI, {"role": "assistant", "content": ""}, HI)
    assert messages == (user("hi"), Message("assistant", ()), user("hi"))


def test_parallel_calls_and_their_results_are_one_message_each() -> None:
    _, messages, ignored = read(
        HI,
        asks(call("c1", index=0), call("c2", "now", "{}", **MARK), content=""),
        tool("c2", [{"type": "text", "text": "noon"}, {"type": "image_url", "image_url": PNG}], name="now"),
        {"role": "developer", "content": "be brief"},
        tool("c1", "", **MARK),
        {"role": "user", "content": "and now?"},
    )
    assert messages == (
        user("hi"),
        Message("assistant", (ToolUseBlock("c1", "add", {"a": 1}), ToolUseBlock("c2", "now", {}, MARK))),
        Message(
            "user",
            (ToolResultBlock("c2", (TextBlock("noon"), OpaqueBlock(PNG_BODY))), ToolResultBlock("c1", "", extra=MARK)),
        ),
        user("and now?"),
    )
    assert ignored == ()


def test_a_conversation_may_end_with_results() -> None:
    _, messages, _ = read(HI, asks(call("c1"), content="wait"), tool("c1"))
    assert messages[1].blocks == (TextBlock("wait"), ToolUseBlock("c1", "add", {"a": 1}))
    assert messages[-1] == Message("user", (ToolResultBlock("c1", "3"),))


def test_an_id_may_come_again_in_a_later_round() -> None:
    _, messages, _ = read(HI, asks(call("c")), tool("c"), asks(call("c")), tool("c"))
    assert [message.role for message in messages] == ["user", "assistant", "user", "assistant", "user"]


def test_legacy_functions_get_an_id_from_position_and_name() -> None:
    ask = {"role": "assistant", "content": "hm", "function_call": {"name": "add", "arguments": '{"a": 1}'}}
    _, messages, _ = read(HI, ask, {"role": "function", "name": "add", "content": "3"})
    assert messages == (
        user("hi"),
        Message("assistant", (TextBlock("hm"), ToolUseBlock("call_1_add", "add", {"a": 1}))),
        Message("user", (ToolResultBlock("call_1_add", "3"),)),
    )


def test_a_begun_answer_may_stand_at_the_end() -> None:
    _, messages, _ = read(HI, {"role": "assistant", "content": "The answer is"})
    assert messages == (user("hi"), assistant("The answer is"))


def test_a_refusal_is_what_the_assistant_said() -> None:
    part = {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]}
    _, messages, _ = read(HI, {"role": "assistant", "content": None, "refusal": "I won't"}, HI, part, HI)
    assert messages[1] == assistant("I won't")
    assert messages[3] == assistant("a", "no")


def test_a_message_s_cache_mark_stands_on_its_last_block() -> None:
    image = {"type": "image_url", "image_url": PNG}
    _, messages, _ = read(
        {"role": "user", "content": [{"type": "text", "text": "a"}, image], **MARK},
        asks(call("c1"), **MARK),
        tool("c1"),
        {"role": "assistant", "content": "", **MARK},
        {"role": "user", "content": "b", **MARK},
    )
    assert messages[0].blocks == (TextBlock("a"), OpaqueBlock({**MARK, **PNG_BODY}))
    assert messages[1].blocks == (ToolUseBlock("c1", "add", {"a": 1}, MARK),)
    assert messages[3].blocks == ()
    assert messages[4].blocks == (TextBlock("b", MARK),)


def test_what_clients_echo_is_no_news_and_the_rest_is_named() -> None:
    echoed: dict[str, Json] = {
        "role": "assistant",
        "content": "a",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    assert read(HI, echoed, HI)[2] == ()
    _, _, ignored = read(
        {"role": "user", "content": "hi", "name": "Ada"},
        {"role": "assistant", "content": "a", "reasoning_content": "hm", "audio": {"id": "x"}, "tool_calls": []},
        {"role": "user", "content": "hi", "name": "Ada"},
    )
    assert ignored == ("messages.name", "messages.reasoning_content", "messages.audio")


LEGACY = {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "param", "words"),
    [
        ([], "messages", "at least one user message"),
        ([{"role": "system", "content": "x"}], "messages", "at least one user message"),
        (["hi"], "messages[0]", "must be an object, not a string"),
        ([{"content": "hi"}], "messages[0].role", "must be one of: system, developer, user"),
        ([{"role": "model", "content": "hi"}], "messages[0].role", "must be one of"),
        ([{"role": "user"}], "messages[0].content", "must be a string or a list of parts, not null"),
        ([{"role": "system", "content": None}, HI], "messages[0].content", "must be a string or a list of parts"),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": PNG}]}, HI],
            "messages[0].content[0].type",
            "can be",
        ),
        ([{"role": "user", "content": ""}], "messages[0].content", "is blank"),
        ([{"role": "user", "content": " \n\u3000\ufeff"}], "messages[0].content", "is blank"),
        ([HI, {"role": "user", "content": [{"type": "text", "text": " "}]}], "messages[1].content", "is blank"),
        ([{"role": "user", "content": []}, {"role": "system", "content": "x"}], "messages[0].content", "is blank"),
        ([HI, {"role": "assistant", "content": " "}], "messages[1].content", "is blank"),
        ([HI, {"role": "assistant", "content": ""}], "messages[1].content", "is blank"),
        ([HI, asks(call("c1"))], "messages[1]", 'have no result: "c1"'),
        ([HI, {"role": "assistant"}, HI], "messages[1].content", "needs `content` or `tool_calls`"),
        ([HI, {"role": "assistant", "refusal": ""}, HI], "messages[1].content", "needs `content` or `tool_calls`"),
        ([HI, {"role": "assistant", "refusal": 1}, HI], "messages[1].refusal", "must be a string"),
        ([HI, asks(call("c1")), HI], "messages[1]", 'these calls have no result: "c1"'),
        ([HI, asks(call("c1"), call("c2"), call("c3")), tool("c2")], "messages[1]", 'no result: "c1", "c3"'),
        ([HI, asks(call("c1"), call("c1"))], "messages[1].tool_calls[1].id", '"c1" is used twice'),
        ([HI, tool("c9")], "messages[1].tool_call_id", '"c9" answers no open call'),
        ([HI, asks(call("c1")), tool("c1"), tool("c1")], "messages[3].tool_call_id", '"c1" answers no open call'),
        ([HI, asks(call("c1")), tool("c1"), HI, tool("c1")], "messages[4].tool_call_id", "directly and once"),
        ([HI, asks(call("c1")), tool("c2")], "messages[2].tool_call_id", '"c2" answers no open call'),
        ([HI, asks(call("c1")), {"role": "tool", "content": "3"}], "messages[2].tool_call_id", "must be a string"),
        ([HI, asks(call("c1")), tool("c1", None)], "messages[2].content", "must be a string or a list of parts"),
        ([HI, asks(call("c1")), tool("c1", cache_control=1)], "messages[2].cache_control", "must be an object"),
        ([HI, asks({"id": "c1", "type": "custom"})], "messages[1].tool_calls[0].type", 'must be "function"'),
        ([HI, asks({"id": "c1"})], "messages[1].tool_calls[0].function", "must be an object, not null"),
        ([HI, asks(call(""))], "messages[1].tool_calls[0].id", "must not be empty"),
        ([HI, asks(call("c1", ""))], "messages[1].tool_calls[0].function.name", "must not be empty"),
        (
            [HI, {"role": "assistant", "content": None, "tool_calls": {"id": "c1"}}],
            "messages[1].tool_calls",
            "must be a list",
        ),
        (
            [HI, asks(call("c1", arguments="[1]"))],
            "messages[1].tool_calls[0].function.arguments",
            "is JSON, but not an object; it must be a string that holds a JSON object",
        ),
        (
            [HI, asks({"id": "c1", "function": {"name": "f", "arguments": {}}})],
            "messages[1].tool_calls[0].function.arguments",
            "must be a string that holds a JSON object, not an object",
        ),
        ([HI, {**LEGACY, "tool_calls": [call("c1")]}], "messages[1]", "has both"),
        ([HI, {**LEGACY, "function_call": "add"}], "messages[1].function_call", "must be an object"),
        ([HI, LEGACY, HI], "messages[1]", 'no result: "call_1_add"'),
        (
            [HI, LEGACY, {"role": "function", "name": "sub", "content": "3"}],
            "messages[2].name",
            '"sub" answers no open',
        ),
        ([HI, LEGACY, {"role": "function", "content": "3"}], "messages[2].name", "must be a string"),
    ],
)
def test_a_history_that_does_not_fit_is_refused_by_its_place(messages: Any, param: str, words: str) -> None:
    with pytest.raises(TurnRefusedError) as caught:
        read(*messages)
    assert caught.value.error.param == param
    assert words in caught.value.error.message


def test_messages_have_to_be_a_list() -> None:
    with pytest.raises(TurnRefusedError, match="`messages` must be a list, not a string"):
        read_messages("hi", Notes())
