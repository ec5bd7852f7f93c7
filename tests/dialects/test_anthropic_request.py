"""What a messages request says → what is asked of the model."""

from __future__ import annotations

from typing import Any

import pytest

from claude_code_api.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from claude_code_api.dialects.anthropic_request import AS_THEY_ARE, HONOURED, NAMED, parse_count
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import (
    ClientTool,
    Limits,
    Message,
    OpaqueBlock,
    Sampling,
    TextBlock,
    ThinkingBlock,
    ToolChoice,
    ToolChoiceKind,
    ToolResultBlock,
    ToolUseBlock,
    TurnRequest,
)

USER: Any = {"role": "user", "content": "hi"}
MARK: Any = {"type": "ephemeral"}
CALL: Any = {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": [1, None]}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "t1", "content": "blue"}
TOOL: Any = {"name": "look", "input_schema": {"type": "object"}}


def parsed(*messages: Any, **fields: Any) -> TurnRequest:
    body = {"model": "m", "max_tokens": 9, "messages": list(messages or (USER,)), **fields}
    return ANTHROPIC_MESSAGES.parse(body, {})


def refusal(*messages: Any, **fields: Any) -> tuple[str | None, str]:
    with pytest.raises(TurnRefusedError) as caught:
        parsed(*messages, **fields)
    return caught.value.error.param, caught.value.error.message


def test_the_least_that_can_be_asked() -> None:
    assert parsed() == TurnRequest(
        model="m", messages=(Message("user", (TextBlock("hi"),)),), limits=Limits(9), stream_usage=True, exact=True
    )


def test_parameters() -> None:
    request = parsed(
        stop_sequences=["a", ""],
        temperature=1,
        top_p=0.5,
        top_k=0,
        metadata={"user_id": "ada"},
        stream=True,
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {}}},
        service_tier="standard_only",
        cache_control=MARK,
        inference_geo="eu",
        session_id="s",
    )
    assert request.limits == Limits(9, ("a", ""))
    assert request.sampling == Sampling(1.0, 0.5, 0)
    assert (request.end_user, request.stream, request.session_id, request.ignored) == ("ada", True, "s", ())
    assert request.as_is == {
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {}}},
        "service_tier": "standard_only",
        "cache_control": MARK,
        "inference_geo": "eu",
    }


def test_null_is_as_if_it_were_absent() -> None:
    nothing = dict.fromkeys((HONOURED | NAMED | {"thread", "odd"}) - {"model", "max_tokens", "messages"})
    assert parsed(**nothing) == parsed()
    assert set(AS_THEY_ARE) < HONOURED


def test_headers() -> None:
    headers = {"x-session-id": "s", "x-project-id": "p", "x-request-id": "r", "anthropic-beta": "one-1, two-2,"}
    request = ANTHROPIC_MESSAGES.parse({"model": "m", "max_tokens": 9, "messages": [USER]}, headers)
    assert (request.session_id, request.project_id, request.request_id) == ("s", "p", "r")
    assert request.ignored == ("anthropic-beta.one-1", "anthropic-beta.two-2")


def test_what_is_not_honoured_is_named() -> None:
    request = parsed(
        {**USER, "later": 1},
        context_management={"edits": []},
        mcp_servers=[],
        odd=1,
        metadata={"user_id": "ada", "team": "x"},
        tools=[{**TOOL, "defer_loading": True}, {"type": "web_search_20250305", "name": "web_search"}],
    )
    assert request.ignored == (
        "messages.later",
        "tools.defer_loading",
        "tools.web_search_20250305",
        "metadata.team",
        "context_management",
        "mcp_servers",
        "odd",
    )


def test_a_count_needs_no_limit() -> None:
    assert parse_count({"model": "m", "messages": [USER]}, {}).limits == Limits()
    assert refusal(max_tokens=None)[0] == "max_tokens"


# Content


def test_system_is_a_string_or_blocks() -> None:
    assert parsed(system="").system == ()
    assert parsed(system="be brief").system == (TextBlock("be brief"),)
    blocks: Any = [{"type": "text", "text": "a", "cache_control": MARK}, {"type": "text", "text": " b\n"}]
    assert parsed(system=blocks).system == (TextBlock("a", {"cache_control": MARK}), TextBlock(" b\n"))


def test_every_kind_of_block() -> None:
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    document: Any = {"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}}
    odd: Any = {"type": "brand_new", "deep": [{"er": None}]}
    found: Any = {"type": "search_result", "source": "https://x", "title": "t", "content": []}
    thought: Any = {"type": "thinking", "thinking": "", "signature": "s"}
    redacted: Any = {"type": "redacted_thinking", "data": "x"}
    said: Any = {"type": "text", "text": "so", "citations": [{"type": "char_location"}]}
    request = parsed(
        {
            "role": "user",
            "content": [{"type": "text", "text": " a ", "cache_control": MARK}, image, document, odd, found],
        },
        {"role": "assistant", "content": [thought, redacted, said, {**CALL, "cache_control": MARK}]},
        {"role": "user", "content": [{**RESULT, "content": [{"type": "text", "text": "b"}, image], "is_error": True}]},
    )
    assert [message.blocks for message in request.messages] == [
        (TextBlock(" a ", {"cache_control": MARK}), *map(OpaqueBlock, (image, document, odd, found))),
        (
            ThinkingBlock("", "s"),
            OpaqueBlock(redacted),
            TextBlock("so", {"citations": [{"type": "char_location"}]}),
            ToolUseBlock("t1", "look", {"a": [1, None]}, {"cache_control": MARK}),
        ),
        (ToolResultBlock("t1", (TextBlock("b"), OpaqueBlock(image)), is_error=True),),
    ]
    assert request.ignored == ()


def test_what_clients_echo_of_an_answer_says_nothing() -> None:
    answer: Any = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a", "citations": []}, {**CALL, "caller": {"type": "direct"}}],
    }
    _, said, _ = parsed(USER, answer, {"role": "user", "content": [{**RESULT, "content": None}]}).messages
    assert said.blocks == (TextBlock("a"), ToolUseBlock("t1", "look", {"a": [1, None]}))


def test_what_the_system_says_between_the_messages() -> None:
    marked: Any = {"role": "system", "content": [{"type": "text", "text": "b", "cache_control": MARK}]}
    request = parsed(USER, marked, {"role": "assistant", "content": "ok"}, {"role": "system", "content": "c"}, USER)
    assert request.system == (TextBlock("b", {"cache_control": MARK}), TextBlock("c"))
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert request.ignored == ()


def test_a_result_that_says_that_it_is_no_error_is_a_result() -> None:
    called: Any = {"role": "assistant", "content": [CALL]}
    *_, answered = parsed(USER, called, {"role": "user", "content": [{**RESULT, "is_error": False}]}).messages
    assert answered == parsed(USER, called, {"role": "user", "content": [RESULT]}).messages[-1]
    odd: Any = {"role": "user", "content": [{**RESULT, "is_error": "no"}]}
    assert refusal(USER, called, odd)[0] == "messages[2].content[0].is_error"


def test_a_begun_answer_and_neighbours_of_one_role() -> None:
    call: Any = {"role": "assistant", "content": [CALL]}
    request = parsed(
        USER, USER, call, {"role": "user", "content": [RESULT]}, USER, {"role": "assistant", "content": "B"}
    )
    assert [message.role for message in request.messages] == ["user", "user", "assistant", "user", "user", "assistant"]


def test_parts_that_are_elsewhere_are_noted() -> None:
    there: Any = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    inside: Any = {"type": "document", "source": {"type": "content", "content": [there]}}
    request = parsed(
        {"role": "user", "content": [there, {"type": "text", "text": "a"}, inside]},
        {"role": "assistant", "content": [{**CALL, "input": {"source": {"type": "url"}}}]},
        {"role": "user", "content": [{**RESULT, "content": [there]}]},
    )
    assert request.remote_parts == (
        "messages[0].content[0]",
        "messages[0].content[2].source.content[0]",
        "messages[2].content[0].content[0]",
    )


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "tool", "content": "x"}], "messages[0].role"),
        ([{"role": "system", "content": "x"}], "messages"),
        ([{"role": "system", "content": 1}, USER], "messages[0].content"),
        ([{"role": "system", "content": [{"type": "image", "source": {}}]}, USER], "messages[0].content[0].type"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": ""}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": " \n\u2003"}], "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"text": "x"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "image", "source": "x"}]}], "messages[0].content[0].source"),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}],
            "messages[0].content[0].source",
        ),
        (
            [USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}],
            "messages[1].content[0].signature",
        ),
        ([USER, {"role": "assistant", "content": [{**CALL, "input": "{}"}]}], "messages[1].content[0].input"),
        ([{"role": "user", "content": [{**RESULT, "content": 1}]}], "messages[0].content[0].content"),
        ([{"role": "user", "content": [RESULT]}], "messages[0]"),
        ([USER, {"role": "assistant", "content": [CALL]}], "messages[1]"),
        ([USER, {"role": "assistant", "content": [CALL]}, USER], "messages[1]"),
        (
            [USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT, RESULT]}],
            "messages[2]",
        ),
    ],
)
def test_messages_that_are_refused(messages: list[Any], param: str) -> None:
    assert refusal(*messages)[0] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"system": 1}, "system"),
        ({"system": [{"type": "image", "source": {}}]}, "system[0].type"),
        ({"temperature": 1.1}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"thinking": "on"}, "thinking"),
        ({"output_config": []}, "output_config"),
        ({"stream": "yes"}, "stream"),
        ({"thread": {"type": "create"}}, "thread"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [TOOL]}, "tool_choice"),
    ],
)
def test_fields_that_are_refused(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields)[0] == param


# Tools


def test_tools_arrive_as_they_are() -> None:
    tools: Any = [
        {**TOOL, "type": "custom", "description": "d", "strict": True, "cache_control": MARK},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 5},
    ]
    assert parsed(tools=tools).tools == (
        ClientTool("look", "d", {"type": "object"}, strict=True, extra={"cache_control": MARK}),
        ClientTool(
            "str_replace_based_edit_tool", None, None, extra={"type": "text_editor_20250728", "max_characters": 5}
        ),
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(parallel=False)),
        ({"type": "none"}, ToolChoice(ToolChoiceKind.NONE)),
        ({"type": "any"}, ToolChoice(ToolChoiceKind.REQUIRED)),
        (
            {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
            ToolChoice(ToolChoiceKind.NAMED, "look", parallel=False),
        ),
    ],
)
def test_tool_choice(choice: Any, expected: ToolChoice) -> None:
    assert parsed(tools=[TOOL], tool_choice=choice).tool_choice == expected


def test_a_choice_that_forces_what_cannot_be_served_is_refused() -> None:
    search: Any = {"type": "web_search_20250305", "name": "web_search"}
    param, message = refusal(tools=[TOOL, search], tool_choice={"type": "tool", "name": "web_search"})
    assert param == "tool_choice"
    assert "web_search_20250305" in message
    assert refusal(tools=[search], tool_choice={"type": "any"})[0] == "tool_choice"
    assert parsed(tools=[search], tool_choice={"type": "auto"}).tools == ()
