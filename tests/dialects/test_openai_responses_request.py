"""A responses request, read: what becomes of every field and item, and what is refused with which place."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.dialects.openai_responses import OPENAI_RESPONSES
from claude_code_api.dialects.responses_items import items_of_message
from claude_code_api.dialects.responses_request import HONOURED, NAMED, REFUSED
from claude_code_api.dialects.responses_thoughts import packed, unpacked
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import PartKind
from claude_code_api.turn.request import (
    ClientTool,
    Effort,
    Message,
    OpaqueBlock,
    OutputSchema,
    TextBlock,
    ThinkingBlock,
    ToolChoice,
    ToolChoiceKind,
    ToolResultBlock,
    ToolUseBlock,
    TurnRequest,
)
from claude_code_api.turn.result import Part

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7").decode()
TXT = "data:text/plain;base64," + base64.b64encode(b"words").decode()
ADD = {"type": "function", "name": "add", "parameters": {"type": "object"}}
NOW = {"type": "function", "name": "now"}
HI = Message("user", (TextBlock("hi"),))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def parsed(headers: dict[str, str] | None = None, **fields: Any) -> TurnRequest:
    return OPENAI_RESPONSES.parse({"model": "gpt-5", "input": "hi", **fields}, headers or {})


def refused(**fields: Any) -> tuple[str | None, str]:
    with pytest.raises(TurnRefusedError) as raised:
        parsed(**fields)
    return raised.value.error.param, raised.value.error.message


def call(call_id: str = "c1", name: str = "add", arguments: str = '{"a":1}', **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def output(call_id: str = "c1", said: Any = "3") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": said}


def user(content: Any = "hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


# The input


def test_a_string_and_a_message_are_the_same() -> None:
    part = {"type": "input_text", "text": "hi"}
    for sent in (
        "hi",
        [user()],
        [user([part])],
        [{"type": "message", "id": "msg_1", "status": "completed", **user([part])}],
    ):
        request = parsed(input=sent)
        assert request.messages == (HI,)
        assert request.ignored == ()


def test_system_and_developer_are_above_the_conversation() -> None:
    sent = [
        {"role": "developer", "content": "A"},
        user(),
        {"role": "system", "content": [{"type": "input_text", "text": "B"}]},
    ]
    request = parsed(input=sent, instructions="C")
    assert request.system == (TextBlock("A"), TextBlock("B"))
    assert request.instructions == (TextBlock("C"),)
    assert request.messages == (HI,)


def test_images_and_files() -> None:
    sent = [
        {"type": "input_image", "image_url": PNG, "detail": "auto"},
        {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
        {"type": "input_file", "file_data": TXT},
    ]
    (message,) = parsed(input=[user(sent)]).messages
    image, pdf, text = (block.body for block in message.blocks if isinstance(block, OpaqueBlock))
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": PNG.partition(",")[2]}
    assert (pdf["title"], pdf["type"]) == ("a.pdf", "document")
    assert text["source"] == {"type": "text", "media_type": "text/plain", "data": "words"}


def test_an_answer_of_several_items_is_one_message() -> None:
    thought = Part(PartKind.THINKING, "hm", signature="c2ln")
    hidden = Part(PartKind.REDACTED, "ZW5j")
    sent = [
        user(),
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": packed(thought)},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": packed(hidden)},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "let me see", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        call("c1", id="fc_1", status="completed"),
        call("c2"),
        output("c2", [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": PNG}]),
        output("c1"),
        user("and?"),
    ]
    request = parsed(input=sent)
    assert request.ignored == ()
    assert [message.role for message in request.messages] == ["user", "assistant", "user", "user"]
    assert request.messages[1].blocks == (
        ThinkingBlock("hm", "c2ln"),
        OpaqueBlock({"type": "redacted_thinking", "data": "ZW5j"}),
        TextBlock("let me see"),
        TextBlock("no"),
        ToolUseBlock("c1", "add", {"a": 1}),
        ToolUseBlock("c2", "add", {"a": 1}),
    )
    first, second = request.messages[2].blocks
    assert isinstance(first, ToolResultBlock)
    assert (first.tool_use_id, len(first.content)) == ("c2", 2)
    assert second == ToolResultBlock("c1", "3")


def test_calls_that_are_answered_one_by_one() -> None:
    request = parsed(input=[user(), call("c1"), output("c1"), call("c2"), output("c2")])
    assert [message.role for message in request.messages] == ["user", "assistant", "user", "assistant", "user"]


@given(TEXT, TEXT.filter(bool), st.booleans())
def test_a_thought_comes_back_as_it_was(thinking: str, signature: str, hidden: bool) -> None:
    kind = PartKind.REDACTED if hidden else PartKind.THINKING
    sealed = packed(Part(kind, thinking, signature=signature))
    assert sealed is not None
    assert sealed.isascii()
    wanted = (
        OpaqueBlock({"type": "redacted_thinking", "data": thinking}) if hidden else ThinkingBlock(thinking, signature)
    )
    assert unpacked(sealed) == wanted


def test_a_thought_that_cannot_be_sent_back_is_not_packed() -> None:
    assert packed(Part(PartKind.THINKING, "hm")) is None
    assert packed(Part(PartKind.THINKING, "hm", signature="x", whole=False)) is None
    assert packed(Part(PartKind.REDACTED, "hm", whole=False)) is None


@pytest.mark.parametrize(
    "sealed", ["gAAAAABother", "claude1.", "claude1.!", "claude1." + base64.b64encode(b"[1]").decode(), "", None]
)
def test_thoughts_of_others_are_named(sealed: str | None) -> None:
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}], "encrypted_content": sealed}
    request = parsed(input=[user(), reasoning, {"role": "assistant", "content": "a"}, user()])
    assert request.ignored == ("input.reasoning",)
    assert request.messages[1] == Message("assistant", (TextBlock("a"),))


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (None, "input"),
        ([], "input"),
        ("", "input[0]"),
        (" \n", "input[0]"),
        (7, "input"),
        (["x"], "input[0]"),
        ([{"type": "web_search_call", "id": "ws_1"}], "input[0].type"),
        ([{}], "input[0].type"),
        ([{"role": "tool", "content": "x"}], "input[0].role"),
        ([user(7)], "input[0].content"),
        ([user([{"type": "output_text", "text": "x"}])], "input[0].content[0].type"),
        ([user([{"type": "input_text"}])], "input[0].content[0].text"),
        ([user([{"type": "input_audio"}])], "input[0].content[0].type"),
        ([user([{"type": "input_image"}])], "input[0].content[0].image_url"),
        ([user([{"type": "input_image", "file_id": "f"}])], "input[0].content[0].file_id"),
        ([user([{"type": "input_image", "image_url": PDF}])], "input[0].content[0]"),
        ([user([{"type": "input_file", "file_url": "https://x"}])], "input[0].content[0].file_url"),
        ([{"role": "developer", "content": [{"type": "input_image", "image_url": PNG}]}], "input[0].content[0].type"),
        ([{"role": "developer", "content": "x"}], "input"),
        ([user(), call(arguments="[]")], "input[1].arguments"),
        ([user(), call(arguments=7)], "input[1].arguments"),  # type: ignore[arg-type]
        ([user(), call(name="")], "input[1].name"),
        ([user(), call()], "input[1]"),
        ([user(), call(), user()], "input[1]"),
        ([user(), call("c1"), call("c2"), output("c1"), user()], "input[2]"),
        ([user(), call("c1"), call("c2"), output("c1"), call("c3")], "input[2]"),
        ([user(), output()], "input[1].call_id"),
        ([user(), call(), output(), output()], "input[3].call_id"),
        ([user(), call(), output(said=None)], "input[2].output"),
        ([user(), {"type": "item_reference", "id": "msg_1"}], "input[1].id"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(sent: Any, param: str) -> None:
    assert refused(input=sent)[0] == param


def test_with_a_session_the_first_results_may_answer_what_it_holds() -> None:
    ways: list[dict[str, Any]] = [{"previous_response_id": "resp_1"}, {"session_id": "s"}]
    for more in ways:
        request = parsed(input=[output("c9")], **more)
        assert request.messages == (Message("user", (ToolResultBlock("c9", "3"),)),)


def test_an_images_url_is_noted() -> None:
    request = parsed(input=[user([{"type": "input_image", "image_url": "https://x/y.png"}])])
    assert request.remote_parts == ("input[0].content[0]",)


# Where it belongs


def test_where_it_belongs() -> None:
    uuid = "00000000-0000-4000-8000-000000000000"
    request = parsed(previous_response_id="resp_abc")
    assert (request.continues, request.session_id, request.appends) == ("abc", None, True)
    for conversation in (f"conv_{uuid}", {"id": f"conv_{uuid}"}):
        request = parsed(conversation=conversation)
        assert (request.continues, request.session_id, request.appends) == (None, uuid, True)
    request = parsed({"x-session-id": uuid, "x-project-id": "p"})
    assert (request.session_id, request.appends, request.project_id) == (uuid, False, "p")
    assert parsed({"x-session-id": uuid}, session_id="other").session_id == "other"


# Tools


def test_functions_and_what_is_left_out() -> None:
    tools = [
        {**ADD, "description": "Adds.", "strict": True, "cache_control": {"type": "ephemeral"}},
        NOW,
        {"type": "namespace", "name": "n", "tools": [ADD]},
        {"type": "web_search"},
        {"type": "custom", "name": "c"},
    ]
    request = parsed(tools=tools)
    assert request.tools == (
        ClientTool("add", "Adds.", {"type": "object"}, True, {"cache_control": {"type": "ephemeral"}}),
        ClientTool("now", None, {"type": "object", "properties": {}}),
    )
    assert request.ignored == ("tools.namespace", "tools.web_search", "tools.custom")


@pytest.mark.parametrize(
    ("choice", "wanted", "names"),
    [
        (None, ToolChoice(), ["add", "now"]),
        ("none", ToolChoice(ToolChoiceKind.NONE), ["add", "now"]),
        ("required", ToolChoice(ToolChoiceKind.REQUIRED), ["add", "now"]),
        ({"type": "function", "name": "now"}, ToolChoice(ToolChoiceKind.NAMED, "now"), ["add", "now"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}]},
            ToolChoice(ToolChoiceKind.REQUIRED),
            ["now"],
        ),
        (
            {"type": "allowed_tools", "tools": [{"type": "function", "name": "add"}, {"type": "web_search"}]},
            ToolChoice(),
            ["add"],
        ),
    ],
)
def test_a_choice(choice: Any, wanted: ToolChoice, names: list[str]) -> None:
    request = parsed(tools=[ADD, NOW], tool_choice=choice)
    assert request.tool_choice == wanted
    assert [tool.name for tool in request.tools] == names


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": 7}, "tool_choice"),
        ({"tool_choice": "required", "tools": []}, "tool_choice"),
        ({"tool_choice": "required", "tools": [{"type": "web_search"}]}, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tool_choice": {"type": "custom", "name": "c"}}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "nothing"}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "x", "tools": []}}, "tool_choice.mode"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "x"}]}}, "tool_choice"),
        ({"tools": [ADD, ADD]}, "tools"),
        ({"tools": [{"type": "function", "name": "a" * 513}]}, "tools[0].name"),
        ({"tools": [{"name": "x"}]}, "tools[0].type"),
        ({"tools": {}}, "tools"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"include": "x"}, "include"),
        ({"include": [7]}, "include[0]"),
        ({"metadata": []}, "metadata"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 7}, "stream_options"),
        ({"background": True, "store": False}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"model": ""}, "model"),
        ({"instructions": ["x"]}, "instructions"),
        ({"conversation": 7}, "conversation"),
        ({"conversation": {}}, "conversation.id"),
        ({"conversation": "c"}, "conversation"),
        ({"previous_response_id": "x"}, "previous_response_id"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    assert refused(**{"tools": [ADD], **fields})[0] == param


# Parameters


def test_parameters() -> None:
    request = parsed(
        text={"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}},
        reasoning={"effort": "high", "summary": "auto"},
        max_output_tokens=9,
        temperature=2,
        top_p=0.5,
        safety_identifier="s",
        user="u",
        service_tier="default",
        parallel_tool_calls=False,
        stream=True,
        include=["reasoning.encrypted_content"],
    )
    assert request.output_schema == OutputSchema("x", {"type": "object"})
    assert request.reasoning.effort is Effort.HIGH
    assert request.limits.max_output_tokens == 9
    assert (request.sampling.temperature, request.sampling.top_p) == (1.0, 0.5)
    assert (request.end_user, request.as_is, request.stream) == ("s", {"service_tier": "standard_only"}, True)
    assert not request.tool_choice.parallel
    assert request.note is not None
    assert request.note["encrypted"] is True
    assert request.ignored == ("temperature>1",)
    assert parsed(text={"format": {"type": "json_object"}}).output_schema == OutputSchema(
        "json_object", {"type": "object"}
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"truncation": "auto"}, "truncation"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        ({"reasoning": {"context": "x"}}, "reasoning.context"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"include": ["web_search_call.action.sources"]}, "include.web_search_call.action.sources"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"prompt_cache_key": "k"}, "prompt_cache_key"),
        ({"whatever": 1}, "whatever"),
        ({"tools": [{**ADD, "defer_loading": True}]}, "tools.defer_loading"),
        ({"input": [{**user(), "name": "x"}]}, "input.name"),
        ({"input": [user([{"type": "input_text", "text": "x", "y": 1}])]}, "input.content.y"),
        (
            {"input": [user([{"type": "input_image", "image_url": PNG, "detail": "low"}])]},
            "input.content.input_image.detail",
        ),
    ],
)
def test_what_is_not_honoured_is_named(fields: dict[str, Any], named: str) -> None:
    assert parsed(**fields).ignored == (named,)


def test_defaults_and_null_are_not_named() -> None:
    defaults: dict[str, Any] = {
        "truncation": "disabled",
        "text": {"verbosity": "medium", "format": {"type": "text"}},
        "reasoning": {"summary": "auto"},
        "stream_options": {"include_obfuscation": False},
        "top_logprobs": 0,
        "service_tier": "auto",
    }
    nothing: dict[str, Any] = dict.fromkeys((HONOURED | NAMED | REFUSED) - {"model", "input", *defaults})
    request = parsed(**defaults, **nothing)
    assert request.ignored == ()


# What the answer repeats


def test_the_note_is_json_and_holds_the_request() -> None:
    request = parsed(metadata={"a": "b"}, instructions="x", tools=[ADD], store=False)
    note = orjson.loads(orjson.dumps(request.note))
    assert note["echo"]["metadata"] == {"a": "b"}
    assert note["echo"]["tools"] == [{**ADD, "description": None, "strict": None}]
    assert not request.stored


@given(TEXT.filter(bool), TEXT.filter(bool))
def test_messages_as_items_are_read_as_the_same_messages(said: str, signature: str) -> None:
    messages = (
        Message(
            "user",
            (
                TextBlock(said),
                OpaqueBlock(
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PNG.partition(",")[2]},
                    }
                ),
            ),
        ),
        Message(
            "assistant",
            (
                ThinkingBlock(said, signature),
                OpaqueBlock({"type": "redacted_thinking", "data": said}),
                TextBlock(said),
                ToolUseBlock("c1", "add", {"a": said}),
            ),
        ),
        Message("user", (ToolResultBlock("c1", said),)),
        Message("assistant", (TextBlock("x" + said),)),
        Message(
            "user",
            (
                OpaqueBlock(
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "x" + said},
                        "title": "t",
                    }
                ),
            ),
        ),
    )
    items = [item for n, message in enumerate(messages) for item in items_of_message(message, str(n), encrypted=True)]
    assert len({item["id"] for item in items}) == len(items)
    assert parsed(input=orjson.loads(orjson.dumps(items))).messages == messages
