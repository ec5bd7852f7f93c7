"""The demo model: what a newcomer sees when nothing is scripted."""

from __future__ import annotations

from typing import Any

import jsonschema
import orjson
import pytest

from claude_code_api.standin.demo_model import DemoModel
from claude_code_api.standin.demo_schema import SchemaFiller
from claude_code_api.standin.script import Answer, Text, Thinking, ToolUse
from claude_code_api.standin.word_count import count_words
from tests.standin.conftest import Api, joined, request

MODEL = DemoModel(0)
WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"enum": ["celsius", "kelvin"]},
            "days": {"type": "integer", "minimum": 2},
            "note": {"type": "string"},
        },
        "required": ["city", "unit", "days"],
    },
}
OTHER = {"name": "add_note", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}


def text_of(answer: Answer) -> str:
    return "".join(step.whole for step in answer.steps if isinstance(step, Text))


def call_of(answer: Answer) -> tuple[str, Any]:
    (call,) = [step for step in answer.steps if isinstance(step, ToolUse)]
    assert isinstance(call.pieces, tuple)
    return call.name, orjson.loads("".join(piece for piece in call.pieces if isinstance(piece, str)))


def test_it_says_what_it_is_and_shows_what_markdown_can_do(api: Api) -> None:
    text = joined(api.stream("What is the weather?"))
    for part in ("stand-in", "no account, no network", "What is the weather?", "\n- ", "|---|", "```python"):
        assert part in text
    assert joined(api.stream("What is the weather?")) == text
    assert api.final("What is the weather?")["content"][0]["text"] == text


def test_it_varies_with_what_was_asked() -> None:
    answers = {asked: text_of(MODEL.answer(request(asked))) for asked in ("a long story", "briefly", "a table", "code")}
    assert count_words(answers["a long story"]) > 300
    assert count_words(answers["briefly"]) < 30
    assert "|---|" in answers["a table"]
    assert "```" not in answers["a table"]
    assert "```" in answers["code"]


def test_it_quotes_a_person_and_not_the_reminders_around() -> None:
    content = [{"type": "text", "text": "<system-reminder>x</system-reminder>"}, {"type": "text", "text": "hi you"}]
    body = request() | {"messages": [{"role": "user", "content": content}]}
    assert "“hi you”" in text_of(MODEL.answer(body))
    assert "no text" in text_of(MODEL.answer(request(" ")))


def test_it_calls_a_tool_and_quotes_the_result(api: Api) -> None:
    fields: dict[str, Any] = {"tools": [OTHER, WEATHER]}
    found = api.stream("The weather in Oslo please", **fields)
    assert found[-2][1]["delta"]["stop_reason"] == "tool_use"
    call = api.final("The weather in Oslo please", **fields)["content"][-1]
    assert (call["name"], call["input"]) == ("get_weather", {"city": "Oslo", "unit": "celsius", "days": 2})
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "18 C, windy"}]}
    messages = [
        {"role": "user", "content": "The weather in Oslo please"},
        {"role": "assistant", "content": [call, {**call, "id": "x"}]},
        {"role": "user", "content": [result, {"type": "tool_result", "tool_use_id": "x"}]},
    ]
    answer = api.final(messages=messages, **fields)
    assert answer["stop_reason"] == "end_turn"
    assert "> 18 C, windy\n> (empty)" in answer["content"][0]["text"]


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"type": "auto"}, "add_note"),
        ({"type": "any"}, "add_note"),
        ({"type": "tool", "name": "get_weather"}, "get_weather"),
    ],
)
def test_the_tool_choice_counts(choice: dict[str, str], name: str) -> None:
    answer = MODEL.answer(request("hello", tools=[OTHER, WEATHER], tool_choice=choice))
    assert call_of(answer)[0] == name
    assert bool(text_of(answer)) == (choice["type"] == "auto")


def test_no_call_without_need() -> None:
    none = MODEL.answer(request("hello", tools=[OTHER], tool_choice={"type": "none"}))
    server_tool = MODEL.answer(request("hello", tools=[{"type": "web_search_20250305", "name": "web_search"}]))
    assert none.stop_reason == server_tool.stop_reason == "end_turn"
    bash = {"name": "Bash", "input_schema": {"type": "object", "required": ["command"]}}
    assert call_of(MODEL.answer(request("hello", tools=[bash, OTHER])))[0] == "add_note"
    named = call_of(MODEL.answer(request("use bash", tools=[bash, OTHER])))
    assert named == ("Bash", {"command": "echo 'hello from the stand-in'"})


def test_call_ids_differ_between_requests() -> None:
    body = request("hello", tools=[OTHER])
    ids = {step.id for n in (1, 2) for step in MODEL.answer(body, n).steps if isinstance(step, ToolUse)}
    assert len(ids) == 2
    assert MODEL.answer(body, 1) == MODEL.answer(body, 1)


@pytest.mark.parametrize("limit", [1, 5, 40])
def test_max_tokens_cuts_after_so_many_words(api: Api, limit: int) -> None:
    answer = api.final(max_tokens=limit)
    assert answer["stop_reason"] == "max_tokens"
    assert count_words(answer["content"][0]["text"]) == answer["usage"]["output_tokens"] == limit


def test_thoughts_and_arguments_count_as_tokens_too() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    answer = MODEL.answer(request(max_tokens=3, thinking=thinking))
    assert (len(answer.steps), answer.stop_reason) == (2, "max_tokens")
    answer = MODEL.answer(request("use bash", max_tokens=1, tools=[WEATHER], tool_choice={"type": "any"}))
    assert answer.stop_reason in ("tool_use", "max_tokens")


def test_the_earliest_stop_sequence_ends_the_text(api: Api) -> None:
    answer = api.final("say banana bread", stop_sequences=["never there", "bread", "anana"])
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "anana")
    assert answer["content"][0]["text"].endswith("say b")
    early = MODEL.answer(request("x", stop_sequences=["You"], max_tokens=100))
    assert early.steps[1:] == (Text(pieces=()),)


def test_thinking_comes_first_when_wanted() -> None:
    answer = MODEL.answer(request(thinking={"type": "adaptive"}))
    assert [type(step) for step in answer.steps[1:]] == [Thinking, Text]
    hidden = MODEL.answer(request(thinking={"type": "adaptive", "display": "omitted"}))
    assert hidden.steps[1] == Thinking()
    assert not any(isinstance(step, Thinking) for step in MODEL.answer(request(thinking={"type": "disabled"})).steps)


SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 30}, "b": {"type": ["null", "number"]}}},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date"}}, "required": ["when", "extra"]},
    {"type": "array", "items": {"type": "integer", "exclusiveMinimum": 4, "multipleOf": 3}, "minItems": 3},
    {"type": "array", "prefixItems": [{"const": 7}, {"type": "boolean"}], "items": False},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
    {"type": "integer", "maximum": -5},
    {"type": "number", "exclusiveMaximum": 0},
    {"type": "string", "maxLength": 2},
    {"enum": ["x", "y"]},
    {"type": "null"},
    {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}]},
    {"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"default": 2}}}]},
    {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name", "kids"],
                "additionalProperties": False,
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_values_fit_their_schema(schema: dict[str, Any]) -> None:
    for only_required in (False, True):
        jsonschema.validate(SchemaFiller(schema, {}, only_required=only_required).value(), schema)
    wanted = request("hi", output_config={"format": {"type": "json_schema", "schema": schema}})
    jsonschema.validate(orjson.loads(text_of(MODEL.answer(wanted))), schema)
