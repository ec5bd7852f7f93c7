"""Any request that a client could make up, for every model: accepted by the model's API, or refused by us by name."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_code_api.dialects.openai_chat_request import parse_request as parse_chat
from claude_code_api.dialects.responses_request import parse_request as parse_response
from claude_code_api.models.fitted import RequestControl
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import TurnRequest
from tests.models.habits import ALL, AT_THE_DOOR, outcome

BESIDE = RequestControl(removes_fields=False, marks=1)
TEXTS = st.sampled_from(["", " ", "\n", "\u3000", "hi", "a ", "\ttext\n", "ü\u2028\x00", "x" * 2_000])
IDS = st.sampled_from(["call_1", "functions.look:0", "a b", "toolu_01", "ü", "x" * 200])
NAMES = st.sampled_from(["look", "mcp.server/look", "mcp_server_look", "a b", "ü", "n" * 300, "look-2", "$web"])
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 40).decode()
MARK = st.sampled_from([{}, {}, {"cache_control": {"type": "ephemeral"}}])


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a", "b", "items", "required", "$ref", "ü"])
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["object", ["object", "null"]])},
            optional={
                "properties": st.dictionaries(names, inner, max_size=4),
                "required": st.lists(names, max_size=2, unique=True),
                "additionalProperties": st.one_of(st.booleans(), inner),
                "minProperties": st.just(1),
            },
        ),
        st.fixed_dictionaries(
            {"type": st.just("array")},
            optional={
                "items": inner,
                "minItems": st.integers(0, 3),
                "maxItems": st.just(5),
                "uniqueItems": st.just(True),
            },
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)}, optional={"type": st.just("object")}),
    )


LEAVES = st.one_of(
    st.just({}),
    st.just(True),
    st.just({"$ref": "#"}),
    st.just({"$ref": "#/$defs/A"}),
    st.just({"enum": ["x", None, 1, {"y": 1}]}),
    st.just({"const": 1}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "null", ["string", "null"]])},
        optional={
            "minimum": st.just(1),
            "exclusiveMinimum": st.sampled_from([1, True]),
            "maxLength": st.just(3),
            "pattern": st.just("^a"),
            "format": st.sampled_from(["date", "uri-template"]),
            "description": TEXTS,
            "nullable": st.booleans(),
            "default": st.none(),
        },
    ),
)
SCHEMAS = st.builds(
    lambda schema, more: {**schema, **more} if isinstance(schema, dict) else {},
    st.recursive(LEAVES, _keywords, max_leaves=8),
    st.sampled_from([{}, {"$defs": {"A": {"type": "object", "properties": {"n": {"$ref": "#/$defs/A"}}}}}]),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["user", "user", "assistant", "system", "round", "parts"]))
        if kind == "round":
            ids = draw(st.lists(IDS, min_size=1, max_size=2, unique=True))
            calls = [
                {"id": id_, "type": "function", "function": {"name": draw(NAMES), "arguments": '{"a": 1}'}}
                for id_ in ids
            ]
            messages.append({"role": "assistant", "content": draw(TEXTS), "tool_calls": calls})
            messages += [{"role": "tool", "tool_call_id": id_, "content": draw(TEXTS)} for id_ in ids]
        elif kind == "parts":
            url = {"url": f"data:image/{draw(st.sampled_from(['png', 'webp', 'tiff']))};base64,{PIXEL}"}
            parts = [{"type": "text", "text": draw(TEXTS), **draw(MARK)}, {"type": "image_url", "image_url": url}]
            messages.append({"role": "user", "content": draw(st.lists(st.sampled_from(parts), min_size=1, max_size=4))})
        else:
            messages.append({"role": kind, "content": draw(TEXTS)})
    return messages


FUNCTIONS = st.fixed_dictionaries(
    {"name": NAMES}, optional={"parameters": SCHEMAS, "description": TEXTS, "strict": st.booleans()}
)
SHARED: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.sampled_from([0, 0.3, 1, 1.7, 2]),
    "top_p": st.sampled_from([0, 0.5, 0.95, 1]),
    "user": st.sampled_from(["ada", "u" * 300]),
    "parallel_tool_calls": st.booleans(),
    "service_tier": st.sampled_from(["auto", "default", "flex"]),
}
EFFORTS = st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"])


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    functions = draw(st.lists(FUNCTIONS, max_size=3, unique_by=lambda function: function["name"]))
    more: dict[str, Any] = {}
    if functions:
        named = {"type": "function", "function": {"name": functions[0]["name"]}}
        choice = draw(st.sampled_from(["auto", "none", "required", named, None]))
        more = {"tools": [{"type": "function", "function": function, **draw(MARK)} for function in functions]}
        more |= {} if choice is None else {"tool_choice": choice}
    form = st.one_of(
        st.just({"type": "json_object"}),
        st.builds(lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, SCHEMAS),
    )
    optional = {
        **SHARED,
        "reasoning_effort": EFFORTS,
        "max_tokens": st.sampled_from([1, 1_024, 1_025, 3_000, 10**6]),
        "stop": st.lists(st.sampled_from(["\n", " ", "END"]), max_size=3),
        "response_format": form,
    }
    return {
        "model": "m",
        "messages": draw(conversations()),
        **more,
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }


@st.composite
def responses(draw: st.DrawFn) -> dict[str, Any]:
    chat = draw(chats())
    items: list[dict[str, Any]] = []
    for message in chat["messages"]:
        if message["role"] == "tool":
            items.append(
                {"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}
            )
            continue
        if isinstance(message["content"], str):
            items.append({"role": message["role"], "content": message["content"]})
        items += [
            {"type": "function_call", "call_id": call["id"], **call["function"]}
            for call in message.get("tool_calls", ())
        ]
    more = {name: chat[name] for name in SHARED if name in chat}
    if "tools" in chat:
        more["tools"] = [{"type": "function", **tool["function"]} for tool in chat["tools"]]
    if "reasoning_effort" in chat:
        more["reasoning"] = {"effort": chat["reasoning_effort"]}
    if chat.get("response_format", {}).get("type") == "json_schema":
        more["text"] = {"format": {"type": "json_schema", **chat["response_format"]["json_schema"]}}
    return {"model": "m", "input": items or "hi", **more}


def _try(parse: Callable[..., TurnRequest], body: dict[str, Any]) -> None:
    request, named = None, None
    try:
        request = parse(body, {})
    except TurnRefusedError as refused:
        named = refused.error.param
    if request is None:
        # By us, and by name.
        assert named
        return
    for model in ALL:
        for control in (AT_THE_DOOR, BESIDE):
            found = outcome(request, model, control)
            assert found.refusal is None, (model, control, found.refusal, found.body)
            assert found.fitted is not None or found.refused_field != "?"


LAX = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


# Each is tried for every model, in two ways: more than forty cases.
@settings(max_examples=60, suppress_health_check=LAX)
@given(chats())
def test_made_up_chats(body: dict[str, Any]) -> None:
    _try(parse_chat, body)


@settings(max_examples=40, suppress_health_check=LAX)
@given(responses())
def test_made_up_responses(body: dict[str, Any]) -> None:
    _try(parse_response, body)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@settings(max_examples=2_000, suppress_health_check=LAX)
@given(chats())
def test_thousands_of_made_up_chats(body: dict[str, Any]) -> None:
    _try(parse_chat, body)
