"""What a request asks for → the fields that are laid over the CLI's own request."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from claude_code_api.engine.overlay import (
    IDENTITY,
    NothingToLayOverError,
    conversation_fields,
    lay_over,
    parameter_fields,
    system_fields,
    system_prompt,
    whole_request,
)
from claude_code_api.turn.request import (
    ClientTool,
    Json,
    JsonObject,
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

SCHEMA: dict[str, Json] = {"type": "object", "oneOf": [{"required": ["b"]}, {"required": ["a"]}], "$defs": {"z": {}}}
LOOK = ClientTool("Read", "looks", SCHEMA)


def asked(**fields: Any) -> TurnRequest:
    return TurnRequest("m", (), **fields)


def test_nothing_asked_for_is_nothing_laid_over() -> None:
    assert parameter_fields(asked()) == {}


def test_every_parameter_is_a_field_zeros_too() -> None:
    request = asked(limits=Limits(7, ("a", "\n")), sampling=Sampling(0.0, 1.0, 0), end_user="ü\u2028'\"")
    assert parameter_fields(request) == {
        "max_tokens": 7,
        "stop_sequences": ["a", "\n"],
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "metadata": {"user_id": "ü\u2028'\""},
    }


def test_functions_arrive_in_the_clients_order_and_words() -> None:
    bare = ClientTool("a.b", None, {}, strict=True)
    fields = parameter_fields(asked(tools=(LOOK, bare)))
    assert fields == {
        "tools": [
            {"name": "Read", "description": "looks", "input_schema": SCHEMA},
            {"name": "a.b", "input_schema": {}, "strict": True},
        ]
    }


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        (ToolChoice(), None),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolChoiceKind.NONE), {"type": "none"}),
        (ToolChoice(ToolChoiceKind.NONE, parallel=False), {"type": "none"}),
        (ToolChoice(ToolChoiceKind.REQUIRED), {"type": "any"}),
        (ToolChoice(ToolChoiceKind.REQUIRED, parallel=False), {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolChoiceKind.NAMED, "Read"), {"type": "tool", "name": "Read"}),
    ],
)
def test_the_wish_about_functions(choice: ToolChoice, field: Json) -> None:
    assert parameter_fields(asked(tools=(LOOK,), tool_choice=choice)).get("tool_choice") == field
    # Without functions there is nothing to choose from, and the model's API would refuse a choice.
    assert "tool_choice" not in parameter_fields(asked(tool_choice=choice))


# The conversation


def said(*messages: Message) -> Json:
    return conversation_fields(messages)["messages"]


MARK: Json = {"type": "ephemeral"}


def test_every_kind_of_block_arrives_and_the_end_is_marked() -> None:
    image = OpaqueBlock({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}})
    call = ToolUseBlock("toolu_1", "look", {"at": "sea"})
    result = ToolResultBlock("toolu_1", (TextBlock("blue"), image), is_error=True)
    assert said(
        Message("assistant", (TextBlock("first"),)),
        Message("user", (TextBlock(" a\n"), image)),
        Message("user", (TextBlock(" "),)),
        Message("assistant", (ThinkingBlock("hm", "sig"), call)),
        Message("user", (result,)),
    ) == [
        {"role": "assistant", "content": [{"type": "text", "text": "first"}]},
        {"role": "user", "content": [{"type": "text", "text": " a\n"}, image.body]},
        {"role": "user", "content": [{"type": "text", "text": " "}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sea"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "blue"}, image.body],
                    "is_error": True,
                    "cache_control": MARK,
                }
            ],
        },
    ]


def test_a_client_that_marks_for_the_cache_gets_no_mark_of_ours() -> None:
    marked = TextBlock("long", {"cache_control": {"type": "ephemeral", "ttl": "1h"}})
    request = TurnRequest("m", (Message("user", (marked,)), Message("user", (TextBlock("q"),))))
    fields = whole_request(request)
    assert fields["system"] == [IDENTITY]
    assert fields["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
    ]


def test_thoughts_cannot_be_marked() -> None:
    assert said(Message("assistant", (ThinkingBlock("hm", "sig"),))) == [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "sig"}]}
    ]


def test_a_message_without_blocks_is_none() -> None:
    assert said(Message("user", (TextBlock("a"),)), Message("assistant", ())) == [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": MARK}]}
    ]


# The system prompt, and what comes as it is


def test_the_system_prompt_comes_after_the_clis_own_line() -> None:
    request = replace(asked(), system=(TextBlock("be brief"),))
    system = [IDENTITY, {"type": "text", "text": "be brief", "cache_control": MARK}]
    assert whole_request(request)["system"] == system
    assert system_fields(request) == {"system": system}


@pytest.mark.parametrize("system", [(), (TextBlock(""),)])
def test_without_a_system_prompt_the_clis_own_line_stands(system: tuple[TextBlock, ...]) -> None:
    assert "system" not in whole_request(replace(asked(), system=system))


def test_several_system_blocks_stay_several() -> None:
    request = replace(asked(), system=(TextBlock("one"), TextBlock("two")))
    assert whole_request(request)["system"] == [
        IDENTITY,
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two", "cache_control": MARK},
    ]
    assert system_prompt(request) == "one\n\ntwo"


@pytest.mark.parametrize(
    "marked",
    [
        replace(asked(), system=(TextBlock("s", {"cache_control": MARK}),)),
        replace(asked(), tools=(ClientTool("look", None, {}, extra={"cache_control": MARK}),)),
        replace(asked(), as_is={"cache_control": MARK}),
        replace(asked(), messages=(Message("user", (OpaqueBlock({"type": "image", "cache_control": MARK}),)),)),
        replace(
            asked(),
            messages=(Message("user", (ToolResultBlock("t", (TextBlock("r", {"cache_control": MARK}),)),)),),
        ),
        replace(asked(), messages=(Message("user", (ToolUseBlock("t", "n", {}, {"cache_control": MARK}),)),)),
    ],
    ids=["system", "tool", "whole", "image", "inside a result", "call"],
)
def test_wherever_the_client_marks_no_other_mark_is_set(marked: TurnRequest) -> None:
    fields = whole_request(marked)
    assert str(fields).count("cache_control") == 1


def test_what_comes_as_it_is_wins() -> None:
    thinking: JsonObject = {"type": "adaptive", "display": "omitted"}
    request = replace(asked(), as_is={"thinking": thinking, "service_tier": "auto"})
    assert parameter_fields(request) == {"thinking": thinking, "service_tier": "auto"}


def test_none_takes_away_what_the_cli_says_and_not_what_the_client_says() -> None:
    request = replace(asked(sampling=Sampling(0.5)), as_is={"temperature": None, "top_p": None, "thinking": None})
    fields = parameter_fields(request)
    assert fields == {"temperature": 0.5, "top_p": None, "thinking": None}
    own = own_request(".", temperature=1, top_p=0.9, thinking={"type": "adaptive"})
    laid = json.loads(lay_over(own, fields))
    assert (laid["temperature"], "top_p" in laid, "thinking" in laid) == (0.5, False, False)


def test_a_tool_that_the_models_api_defines_has_no_schema() -> None:
    tool = ClientTool("bash", None, None, extra={"type": "bash_20250124", "cache_control": MARK})
    assert parameter_fields(asked(tools=(tool,)))["tools"] == [
        {"name": "bash", "type": "bash_20250124", "cache_control": MARK}
    ]


# On the way out


def own_request(*texts: str, **more: Json) -> bytes:
    content = [{"type": "text", "text": text, "cache_control": MARK} for text in texts]
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 32000,
        "stream": True,
        **more,
    }
    return json.dumps(body).encode()


def test_fields_take_the_place_of_the_clis_own_and_nothing_else_changes() -> None:
    messages: Json = [{"role": "user", "content": "2^63 = 9223372036854775807, 1.0 \x00 \u2028 \U0001f600"}]
    laid = lay_over(own_request(".", tools=[]), {"messages": messages, "max_tokens": 7, "top_k": 2})
    assert list(json.loads(laid).items()) == [
        ("model", "m"),
        ("messages", messages),
        ("max_tokens", 7),
        ("stream", True),
        ("tools", []),
        ("top_k", 2),
    ]


def test_a_request_to_another_model_is_not_touched() -> None:
    assert json.loads(lay_over(own_request("."), {"messages": []}, "m"))["messages"] == []
    for body in (own_request("."), own_request(".").replace(b'"model"', b'"modal"')):
        with pytest.raises(NothingToLayOverError):
            lay_over(body, {"messages": []}, "n")


def test_parameters_are_laid_over_any_conversation() -> None:
    assert json.loads(lay_over(own_request("hello"), {"max_tokens": 7}))["max_tokens"] == 7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        own_request("Hi"),
        own_request(".", "."),
        own_request(),
        own_request(".").replace(b'"user"', b'"assistant"'),
        json.dumps({"messages": [{"role": "user", "content": "."}] * 2}).encode(),
        json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode(),
    ],
)
def test_a_request_that_is_not_the_turns_is_not_touched(body: bytes) -> None:
    with pytest.raises(NothingToLayOverError):
        lay_over(body, {"messages": []})
