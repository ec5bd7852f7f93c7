"""One small request for each kind of thing that the table says of a model: accepted or refused. Pure.

A person with an account can send them (`doctor --live`), and sees which row of the table is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from claude_code_api.models.capabilities import ADAPTIVE, DISABLED, ENABLED, Capabilities
from claude_code_api.models.thinking import MIN_BUDGET
from claude_code_api.turn.request import Json, JsonObject

# Enough for a word; thinking by budget needs more than its budget.
ANSWER_TOKENS: Final = 16
# What such a request has of its own, a function's schema included.
_INPUT_TOKENS: Final = 600
_LEVELS: Final = ("low", "medium", "high", "xhigh", "max")
_MILLION: Final = 1_000_000
_TOOL: Final[JsonObject] = {
    "name": "look",
    "description": "Looks at a place.",
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}
_CLOSED: Final[JsonObject] = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Probe:
    """A request, and what the table says of it. `cell`: what of the row it tries."""

    cell: str
    body: JsonObject
    accepted: bool

    @property
    def most_tokens(self) -> int:
        """The most that its answer can have."""
        limit = self.body["max_tokens"]
        return limit if isinstance(limit, int) else 0


def probes_of(row: Capabilities) -> tuple[Probe, ...]:
    """Return the requests that try a row."""
    return tuple(_probes(row))


def most_usd(row: Capabilities, probes: tuple[Probe, ...]) -> float | None:
    """Say what they cost at most; None: the prices are not known."""
    if row.input_usd is None or row.output_usd is None:
        return None
    paid = [probe for probe in probes if probe.accepted]
    output = sum(probe.most_tokens for probe in paid)
    return (len(paid) * _INPUT_TOKENS * row.input_usd + output * row.output_usd) / _MILLION


def _probes(row: Capabilities) -> Iterator[Probe]:
    yield _probe(row, "a plain request", accepted=True)
    yield from _of_thinking(row)
    yield from _of_sampling(row)
    for level in _LEVELS:
        config: Json = {"effort": level}
        yield _probe(row, f"effort_levels: {level}", accepted=level in row.effort_levels, output_config=config)
    begun: Json = [_user("Say hi."), {"role": "assistant", "content": "H"}]
    yield _probe(row, "prefill", accepted=row.prefill, messages=begun, **_quiet(row))
    form: Json = {"format": {"type": "json_schema", "schema": _CLOSED}}
    yield _probe(row, "json_schema", accepted=row.json_schema, output_config=form)
    forced = row.forced_calls and row.can_be_quiet
    yield _probe(row, "forced_calls", accepted=forced, tools=[_TOOL], tool_choice={"type": "any"}, **_quiet(row))
    if row.max_output_tokens is not None:
        yield _probe(row, "max_output_tokens", accepted=False, max_tokens=row.max_output_tokens + 1)
    yield from _always_refused(row)


def _of_thinking(row: Capabilities) -> Iterator[Probe]:
    for kind in (DISABLED, ADAPTIVE):
        thinking: Json = {"type": kind}
        yield _probe(row, f"thinking: {kind}", accepted=kind in row.thinking, thinking=thinking)
    budget: Json = {"type": ENABLED, "budget_tokens": MIN_BUDGET}
    limit = MIN_BUDGET + ANSWER_TOKENS
    yield _probe(row, f"thinking: {ENABLED}", accepted=ENABLED in row.thinking, thinking=budget, max_tokens=limit)


def _of_sampling(row: Capabilities) -> Iterator[Probe]:
    quiet = _quiet(row)
    yield _probe(row, "temperature: any", accepted=row.temperature == "any", temperature=0.5, **quiet)
    yield _probe(row, "temperature: one", accepted=row.temperature != "none", temperature=1, **quiet)
    yield _probe(row, "top_p", accepted=row.top_p, top_p=0.9, **quiet)
    yield _probe(row, "top_k", accepted=row.top_k, top_k=5, **quiet)
    both = row.temperature_with_top_p and row.top_p
    yield _probe(row, "temperature_with_top_p", accepted=both, temperature=0.5, top_p=0.9, **quiet)


def _always_refused(row: Capabilities) -> Iterator[Probe]:
    """What this gateway mends for every model: a table cannot say it, and rules may be given up."""
    union: Json = {"name": "look", "input_schema": {"type": "object", "anyOf": [{"required": ["a"]}]}}
    yield _probe(row, "tools: a union at the top", accepted=False, tools=[union])
    dotted: Json = {**_TOOL, "name": "look.at"}
    yield _probe(row, "tools: a dot in a name", accepted=False, tools=[dotted])
    yield _probe(row, "messages: a blank text", accepted=False, messages=[_user(" ")])
    first: Json = [{"role": "assistant", "content": "Hello."}, _user("Say hi.")]
    yield _probe(row, "messages: an answer first", accepted=False, messages=first)
    yield _probe(row, "stop_sequences: a blank one", accepted=False, stop_sequences=["\n"])
    marked: Json = {"type": "text", "text": "Say hi.", "cache_control": {"type": "ephemeral"}}
    yield _probe(row, "cache_control: five", accepted=False, messages=[{"role": "user", "content": [marked] * 5}])
    form: Json = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    yield _probe(row, "output_config: an open schema", accepted=False, output_config=form)


def _quiet(row: Capabilities) -> dict[str, Json]:
    return {"thinking": dict(row.quiet)} if row.quiet is not None else {}


def _user(text: str) -> JsonObject:
    return {"role": "user", "content": text}


def _probe(row: Capabilities, cell: str, *, accepted: bool, **fields: Json) -> Probe:
    body: JsonObject = {"model": row.id, "max_tokens": ANSWER_TOKENS, "messages": [_user("Say hi.")], **fields}
    return Probe(cell, body, accepted)
