"""The whole request: every field is honoured, named or refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.dialects.openai_chat_request import DEFAULTS, HONOURED, NAMED
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import (
    ClientTool,
    Effort,
    Json,
    Limits,
    Message,
    OutputSchema,
    Reasoning,
    Sampling,
    TextBlock,
    ToolChoice,
    ToolChoiceKind,
    TurnRequest,
)

BARE: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
SCHEMA: dict[str, Json] = {"type": "object", "properties": {"a": {"type": "number"}}}
ADD = {"type": "function", "function": {"name": "add", "description": "d", "parameters": SCHEMA, "strict": True}}
NOW = {"type": "function", "function": {"name": "now"}}
NO_PARAMETERS: dict[str, Json] = {"type": "object", "properties": {}}


def parse(**fields: Any) -> TurnRequest:
    return OPENAI_CHAT.parse({**BARE, **fields}, {})


def refusal(**fields: Any) -> tuple[str | None, str]:
    with pytest.raises(TurnRefusedError) as caught:
        parse(**fields)
    assert caught.value.error.source == "client"
    return caught.value.error.param, caught.value.error.message


def test_the_least_request() -> None:
    assert parse() == TurnRequest(model="gpt-4o", messages=(Message("user", (TextBlock("hi"),)),))


def test_what_is_honoured_arrives() -> None:
    request = parse(
        max_tokens=10,
        max_completion_tokens=20,
        stop=["a", "b", "c", "d", "e"],
        temperature=0.5,
        top_p=1,
        user="ada",
        n=3,
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        session_id="s",
        project_id="p",
    )
    assert request.limits == Limits(20, ("a", "b", "c", "d", "e"))
    assert request.sampling == Sampling(0.5, 1.0)
    assert (request.end_user, request.session_id, request.project_id) == ("ada", "s", "p")
    assert request.answers == 3
    assert request.stream
    assert request.stream_usage
    assert request.ignored == ()
    assert parse(max_tokens=10, stop="x").limits == Limits(10, ("x",))


def test_ids_may_come_in_headers_and_the_body_wins() -> None:
    headers = {"x-session-id": "hs", "x-project-id": "hp"}
    request = OPENAI_CHAT.parse({**BARE, "session_id": "bs", "project_id": ""}, headers)
    assert (request.session_id, request.project_id) == ("bs", "hp")


def test_a_temperature_that_the_model_does_not_have_is_its_highest_and_named() -> None:
    assert parse(temperature=1).ignored == ()
    request = parse(temperature=1.7)
    assert request.sampling.temperature == 1.0
    assert request.ignored == ("temperature>1",)


def test_tools_and_choice() -> None:
    request = parse(
        tools=[ADD, NOW, {"type": "web_search"}, {"type": "custom", "custom": {}}],
        tool_choice={"type": "function", "function": {"name": "now"}},
        parallel_tool_calls=False,
    )
    assert request.tools == (
        ClientTool("add", "d", SCHEMA, strict=True),
        ClientTool("now", None, NO_PARAMETERS),
    )
    assert request.tool_choice == ToolChoice(ToolChoiceKind.NAMED, "now", parallel=False)
    assert request.ignored == ("tools.web_search", "tools.custom")


@pytest.mark.parametrize("word", ["auto", "none", "required"])
def test_choice_by_word(word: str) -> None:
    assert parse(tools=[NOW], tool_choice=word).tool_choice == ToolChoice(ToolChoiceKind(word))


def test_legacy_functions() -> None:
    request = parse(functions=[ADD["function"]], function_call={"name": "add"})
    assert request.tools == (ClientTool("add", "d", SCHEMA, strict=True),)
    # An answer in this form has room for one call.
    assert request.tool_choice == ToolChoice(ToolChoiceKind.NAMED, "add", parallel=False)
    assert request.legacy_calls
    assert request.ignored == ()
    assert not parse(functions=[], tools=[NOW]).legacy_calls
    assert parse(functions=[NOW["function"]], function_call="none").tool_choice.kind is ToolChoiceKind.NONE


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, OutputSchema("json_object", {"type": "object"})),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, OutputSchema("n", SCHEMA)),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, OutputSchema("n", {})),
    ],
)
def test_response_formats(wanted: Json, schema: OutputSchema | None) -> None:
    request = parse(response_format=wanted)
    assert request.output_schema == schema
    assert request.ignored == ()


@pytest.mark.parametrize("effort", Effort, ids=lambda effort: effort.value)
def test_efforts(effort: Effort) -> None:
    request = parse(reasoning_effort=effort.value)
    assert request.reasoning == Reasoning(effort)
    assert request.ignored == ()


@pytest.mark.parametrize(
    "fields",
    [{"tools": []}, {"functions": []}, {"parallel_tool_calls": True}, {"tool_choice": "none"}, {"tool_choice": "auto"}],
)
def test_what_says_nothing_about_tools_asks_for_nothing(fields: dict[str, Any]) -> None:
    request = parse(**fields)
    assert (request.tools, request.ignored, request.legacy_calls) == ((), (), False)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"model": None}, "model", "must be a string, not null"),
        ({"model": ""}, "model", "must not be empty"),
        ({"messages": None}, "messages", "must be a list, not null"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_completion_tokens": 5, "max_tokens": "5"}, "max_tokens", "must be a whole number"),
        ({"temperature": 2.1}, "temperature", "between 0 and 2"),
        ({"top_p": -1}, "top_p", "between 0 and 1"),
        ({"stop": 1}, "stop", "a string or a list of strings"),
        ({"stop": ""}, "stop", "must not be empty"),
        ({"stop": ["a", ""]}, "stop[1]", "must not be empty"),
        ({"stop": ["a", None]}, "stop[1]", "must be a string, not null"),
        ({"stream": "yes"}, "stream", "must be true or false"),
        ({"stream_options": True}, "stream_options", "must be an object"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "must be true or false"),
        ({"user": 7}, "user", "must be a string"),
        ({"session_id": 7}, "session_id", "must be a string"),
        ({"n": 0}, "n", "at least 1"),
        ({"n": True}, "n", "whole number"),
        ({"n": 9}, "n", "at most 8"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "must be one of: none, minimal, low"),
        ({"reasoning_effort": 1}, "reasoning_effort", "must be a string"),
        ({"response_format": "json"}, "response_format", "must be an object"),
        ({"response_format": {"type": "xml"}}, "response_format.type", '"json_schema"'),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "must be an object"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name", "string"),
        ({"tools": {}}, "tools", "must be a list"),
        ({"tools": [{}]}, "tools[0].type", "must be a string"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "must be an object"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name", "empty"),
        ({"tools": [{"type": "function", "function": {"name": "a" * 513}}]}, "tools[0].function.name", "512"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": "{}"}}]},
            "tools[0].function.parameters",
            "must be an object",
        ),
        ({"tools": [NOW, NOW]}, "tools", '"now" is offered twice'),
        ({"tools": [NOW], "functions": [NOW["function"]]}, "functions", "not both"),
        ({"tools": [NOW], "tool_choice": "any"}, "tool_choice", '"auto", "none", "required"'),
        ({"tools": [NOW], "tool_choice": 1}, "tool_choice", "an object that names a function"),
        ({"tools": [NOW], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.type", "offer only those"),
        ({"tools": [NOW], "tool_choice": {"type": "function"}}, "tool_choice.function", "must be an object"),
        (
            {"tools": [NOW], "tool_choice": {"type": "function", "function": {"name": "add"}}},
            "tool_choice",
            '"add", which is not offered',
        ),
        ({"tool_choice": "required"}, "tool_choice", "no function is offered"),
        ({"functions": [NOW["function"]], "function_call": {"name": "x"}}, "function_call", "not offered"),
        ({"functions": "f"}, "functions", "must be a list"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls", "must be true or false"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(fields: dict[str, Any], param: str, words: str) -> None:
    named, message = refusal(**fields)
    assert named == param
    assert words in message


def test_the_lists_are_disjoint_and_defaults_belong_to_fields_that_are_not_honoured() -> None:
    assert len(HONOURED | NAMED) == len(HONOURED) + len(NAMED)
    assert set(DEFAULTS) <= NAMED


@pytest.mark.parametrize("name", sorted(NAMED | HONOURED - {"model", "messages"}))
def test_null_is_as_if_absent(name: str) -> None:
    assert parse(**{name: None}) == parse()


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_asking_for_the_default_is_not_named(name: str) -> None:
    for value in DEFAULTS[name]:
        assert parse(**{name: value}).ignored == ()


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_is_known_and_not_honoured_is_named(name: str) -> None:
    assert parse(**{name: 7}).ignored == (name,)


def test_what_is_unknown_is_named() -> None:
    request = parse(top_k=5, thinking=None, stream_options={"x": 1})
    assert request.ignored == ("stream_options.x", "top_k")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.dictionaries(st.sampled_from(sorted(HONOURED | NAMED | {"other"})), JSON, max_size=4)
KEYS = ["role", "content", "tool_calls", "tool_call_id", "name", "function_call", "refusal", "cache_control", "type"]
ROLE = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
MESSAGE = st.builds(
    lambda role, rest: {**rest, "role": role}, ROLE, st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4)
)


@given(FIELDS, st.none() | st.lists(MESSAGE, max_size=4))
def test_no_body_breaks_the_reader(fields: dict[str, Any], messages: Any) -> None:
    body = {**BARE, **fields} if messages is None else {**BARE, **fields, "messages": messages}
    try:
        OPENAI_CHAT.parse(body, {})
    except TurnRefusedError as refused:
        assert refused.error.message.isprintable()  # noqa: PT017 (both outcomes are right)


@pytest.mark.parametrize(
    ("fields", "user", "named"),
    [
        ({"metadata": {"user_id": "ada"}}, "ada", ()),
        ({"metadata": {"user_id": "ada"}, "user": "ada"}, "ada", ()),
        ({"metadata": {"user_id": "ada"}, "user": "bob"}, "bob", ("metadata",)),
        ({"metadata": {"user_id": "ada", "team": "x"}}, "ada", ("metadata",)),
        ({"metadata": {"team": "x"}, "user": "bob"}, "bob", ("metadata",)),
        ({"metadata": {"team": None}}, None, ()),
        ({"metadata": {}}, None, ()),
    ],
)
def test_of_metadata_the_end_user_is_taken(fields: dict[str, Any], user: str | None, named: tuple[str, ...]) -> None:
    request = OPENAI_CHAT.parse({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}, {})
    assert (request.end_user, request.ignored) == (user, named)


@pytest.mark.parametrize(
    ("tier", "as_is", "named"),
    [
        ("auto", {"service_tier": "auto"}, ()),
        ("default", {"service_tier": "standard_only"}, ()),
        ("flex", {}, ("service_tier",)),
        ("priority", {}, ("service_tier",)),
        (None, {}, ()),
    ],
)
def test_tiers_that_the_models_api_has(tier: str | None, as_is: dict[str, str], named: tuple[str, ...]) -> None:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "service_tier": tier}
    request = OPENAI_CHAT.parse(body, {})
    assert (request.as_is, request.ignored) == (as_is, named)
