"""What clients of the OpenAI dialects send all day, and what becomes of it for each model of the table.

`python -m tests.models.habits` writes the tables of docs/dialects anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from claude_code_api.dialects.openai_chat_request import parse_request as parse_chat
from claude_code_api.dialects.openai_completions import OpenAICompletions
from claude_code_api.dialects.responses_request import parse_request as parse_response
from claude_code_api.engine.overlay import whole_request
from claude_code_api.models.capabilities import CapabilityTable
from claude_code_api.models.fit import fit
from claude_code_api.models.fitted import Fitted, RequestControl
from claude_code_api.standin.strict import Refusal, refusal
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import TurnRequest

# What the CLI says in a request of its own where nothing is laid over it.
OF_THE_CLI: Final[Mapping[str, Any]] = {"max_tokens": 32_000, "stream": True, "metadata": {"user_id": "u"}}
USER: Final = {"role": "user", "content": "Say hi."}
OPEN: Final = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
LOOK: Final[Mapping[str, Any]] = {"type": "function", "function": {"name": "look", "parameters": OPEN}}
CALL: Final = {"id": "call:1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ROUND: Final = (
    USER,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call:1", "content": "blue"},
)


def _named(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}, **function}}


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


HABITS: Final[Mapping[str, Mapping[str, Any]]] = {
    "nothing but a question": {},
    "`temperature`": {"temperature": 0.2},
    "`temperature` and `top_p`": {"temperature": 0.2, "top_p": 0.9},
    "`top_p`": {"top_p": 0.9},
    "`reasoning_effort`": {"reasoning_effort": "high"},
    "`reasoning_effort`: none": {"reasoning_effort": "none"},
    "`reasoning_effort` and `temperature`": {"reasoning_effort": "low", "temperature": 0.2},
    "`response_format`: json_object": {"response_format": {"type": "json_object"}},
    "`response_format`: an open schema with bounds": {"response_format": _schema(OPEN)},
    "`response_format`: a schema that recurs": {
        "response_format": _schema(
            {"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}}}}
        )
    },
    "`tools`": {"tools": [LOOK]},
    "`tool_choice`: required": {"tools": [LOOK], "tool_choice": "required"},
    "`tool_choice`: a function": {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}},
    "`tool_choice`: required, and `reasoning_effort`": {
        "tools": [LOOK],
        "tool_choice": "required",
        "reasoning_effort": "high",
    },
    "results of calls, and `reasoning_effort`": {"messages": [*ROUND], "tools": [LOOK], "reasoning_effort": "high"},
    "names with dots": {"tools": [_named("mcp.server/look")], "tool_choice": "required"},
    "a union at the top of a function's schema": {
        "tools": [_named("look", parameters={"anyOf": [OPEN, {"type": "object", "required": ["a"]}]})]
    },
    "a strict function": {"tools": [_named("look", parameters=OPEN, strict=True)]},
    "an answer that has begun": {"messages": [USER, {"role": "assistant", "content": "It is "}]},
    "an answer that comes first": {"messages": [{"role": "assistant", "content": "Hello."}, USER]},
    "blank texts": {
        "messages": [{"role": "system", "content": " "}, USER, {"role": "assistant", "content": "\n"}, USER]
    },
    "`stop`: a line end": {"stop": ["\n", "END"]},
    "`max_tokens` beyond every model": {"max_tokens": 1_000_000},
    "five marks for the cache": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5}
        ]
    },
    "a long `user`": {"user": "u" * 300},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a habit: what was asked of the model, and what the model's API would say."""

    fitted: Fitted | None
    body: Mapping[str, Any]
    refusal: Refusal | None
    # By us, before the model's API is asked.
    refused_field: str | None = None


AT_THE_DOOR: Final = RequestControl()
TABLE: Final = CapabilityTable()
ALL: Final = tuple(row.id for row in TABLE.rows)


def outcome(request: TurnRequest, model: str, control: RequestControl = AT_THE_DOOR) -> Outcome:
    """Fit a request, and hold what is laid over the CLI's own against the rules of the model's API."""
    try:
        fitted = fit(request, TABLE.of(model), control)
    except TurnRefusedError as refused:
        return Outcome(None, {}, None, refused.error.param or "?")
    laid = {**OF_THE_CLI, "model": TABLE.of(model).id, **whole_request(fitted.request)}
    body = {name: value for name, value in laid.items() if value is not None}
    return Outcome(fitted, body, refusal(body, {}, 0))


RESPONSES_HABITS: Final[Mapping[str, Mapping[str, Any]]] = {
    "nothing but a question": {},
    "`temperature` and `top_p`": {"temperature": 0.2, "top_p": 0.9},
    "`reasoning`": {"reasoning": {"effort": "high"}},
    "`reasoning` and `temperature`": {"reasoning": {"effort": "low"}, "temperature": 0.2},
    "`text.format`: json_object": {"text": {"format": {"type": "json_object"}}},
    "`text.format`: an open schema with bounds": {
        "text": {"format": {"type": "json_schema", "name": "x", "schema": OPEN}}
    },
    "`tool_choice`: required": {"tools": [{"type": "function", **LOOK["function"]}], "tool_choice": "required"},
    "a strict function": {"tools": [{"type": "function", "name": "look", "parameters": OPEN, "strict": True}]},
    "names with dots": {"tools": [{"type": "function", "name": "mcp.server/look", "parameters": OPEN}]},
    "an answer that has begun": {"input": [USER, {"role": "assistant", "content": "It is "}]},
    "an answer that comes first": {"input": [{"role": "assistant", "content": "Hello."}, USER]},
    "`max_output_tokens` beyond every model": {"max_output_tokens": 1_000_000},
    "a long `safety_identifier`": {"safety_identifier": "u" * 300},
}
COMPLETIONS_HABITS: Final[Mapping[str, Mapping[str, Any]]] = {
    "nothing but a prompt": {},
    "`temperature` and `top_p`": {"temperature": 0.2, "top_p": 0.9},
    "`stop`: a line end": {"stop": ["\n", "END"]},
    "`max_tokens` beyond every model": {"max_tokens": 1_000_000},
    "a long `user`": {"user": "u" * 300},
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How its requests are read, what each has at least, and what its clients send beside that."""

    parse: Callable[[Any, Any], TurnRequest]
    least: Mapping[str, Any]
    habits: Mapping[str, Mapping[str, Any]]

    def asked(self, habit: str) -> TurnRequest:
        """Read a habit's request."""
        return self.parse({"model": "m", **self.least, **self.habits[habit]}, {})


DIALECTS: Final[Mapping[str, Dialect]] = {
    "openai-chat": Dialect(parse_chat, {"messages": [USER]}, HABITS),
    "openai-responses": Dialect(parse_response, {"input": "Say hi."}, RESPONSES_HABITS),
    "openai-completions": Dialect(OpenAICompletions().parse, {"prompt": "Say hi."}, COMPLETIONS_HABITS),
}
PAGES: Final = Path(__file__).parents[2] / "docs" / "dialects"
# One of each kind, for people: the newest of it.
SHOWN: Final = (
    "claude-haiku-4-5",
    "claude-sonnet-4-6",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-haiku-5-5",
)
BEGIN: Final = "<!-- by tests/models/habits.py -->\n"
END: Final = "<!-- end -->\n"


def table_of(dialect: Dialect) -> str:
    """Write the table: habit by model, and what is named in X-Ignored-Params."""
    lines = ["| a client sends | " + " | ".join(f"`{name}`" for name in SHOWN) + " |", "|" + "---|" * (len(SHOWN) + 1)]
    for habit in dialect.habits:
        cells = [_cell(outcome(dialect.asked(habit), model)) for model in SHOWN]
        lines.append(f"| {habit} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(found: Outcome) -> str:
    if found.fitted is None:
        return f"400: `{found.refused_field}`"
    named = ", ".join(f"`{name}`" for name in found.fitted.changed)
    checked = "checked" if found.fitted.shape.json is not None else ""
    return "; ".join(word for word in (named, checked) if word) or "as sent"


def page_with_table(name: str) -> str:
    """Return a dialect's page with its table as it has to be."""
    before, _, rest = (PAGES / f"{name}.md").read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + table_of(DIALECTS[name]) + END + rest.partition(END)[2]


if __name__ == "__main__":
    for page in DIALECTS:
        (PAGES / f"{page}.md").write_text(page_with_table(page), encoding="utf-8")
