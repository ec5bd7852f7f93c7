"""A chat completions request body → `TurnRequest`, and the list of every field with what becomes of it.

Nothing is passed over in silence: a field that is present, is not `null`, does not ask for the default and is not
honoured is named in `TurnRequest.ignored`. `docs/dialects/openai-chat.md` says the same in a table; a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping

from claude_code_api.dialects.fields import (
    Notes,
    optional_bool,
    optional_number,
    optional_object,
    optional_positive_int,
    optional_string,
    required_string,
    wrong_kind,
)
from claude_code_api.dialects.openai_messages import read_messages
from claude_code_api.dialects.openai_tools import read_response_format, read_tools
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Effort, Json, JsonObject, Limits, Reasoning, Sampling, TurnRequest

HONOURED = frozenset(
    {
        "function_call",
        "functions",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "project_id",
        "reasoning_effort",
        "response_format",
        "session_id",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
        "user",
    }
)

# Known and not honoured.
NAMED = frozenset(
    {
        "audio",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "metadata",
        "modalities",
        "moderation",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    }
)

# Values that ask for what happens anyway. They are not named.
DEFAULTS: Mapping[str, tuple[Json, ...]] = {
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "metadata": ({},),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
}

_EFFORTS = {effort.value: effort for effort in Effort}
# OpenAI's range ends at 2, the model's at 1.
_HIGHEST_TEMPERATURE = 2
_MODEL_HIGHEST_TEMPERATURE = 1
_MOST_ANSWERS = 8


def parse_request(body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
    """Read a request body, or refuse it with a sentence that says what to change."""
    notes = Notes()
    model = required_string(body, "model")
    system, messages = read_messages(body.get("messages"), notes)
    tools, tool_choice = read_tools(body, notes)
    output_schema = read_response_format(body)
    reasoning = Reasoning(effort=_effort(body))
    limits = Limits(max_output_tokens=_max_output_tokens(body), stop=_stop(body.get("stop")))
    sampling = Sampling(temperature=_temperature(body, notes), top_p=optional_number(body, "top_p", 1))
    stream, stream_usage = _stream(body, notes)
    _name_the_rest(body, notes)
    return TurnRequest(
        model=model,
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=tool_choice,
        limits=limits,
        sampling=sampling,
        reasoning=reasoning,
        output_schema=output_schema,
        end_user=optional_string(body, "user") or None,
        session_id=optional_string(body, "session_id") or headers.get("x-session-id") or None,
        project_id=optional_string(body, "project_id") or headers.get("x-project-id") or None,
        stream=stream,
        stream_usage=stream_usage,
        legacy_calls=bool(body.get("functions")),
        answers=_answers(body),
        remote_parts=tuple(notes.remote),
        ignored=notes.names(),
    )


def _name_the_rest(body: JsonObject, notes: Notes) -> None:
    for name, value in body.items():
        if value is None or name in HONOURED or value in DEFAULTS.get(name, ()):
            continue
        if name in NAMED:
            notes.add(name)
        else:
            notes.add_unknown(name)


def _effort(body: JsonObject) -> Effort | None:
    value = optional_string(body, "reasoning_effort")
    if value is None:
        return None
    if value not in _EFFORTS:
        raise invalid(f"`reasoning_effort` must be one of: {', '.join(_EFFORTS)}.", param="reasoning_effort")
    return _EFFORTS[value]


def _max_output_tokens(body: JsonObject) -> int | None:
    # `max_tokens` is the older name; both are checked, the newer one wins.
    older, newer = optional_positive_int(body, "max_tokens"), optional_positive_int(body, "max_completion_tokens")
    return older if newer is None else newer


def _answers(body: JsonObject) -> int:
    wanted = optional_positive_int(body, "n") or 1
    if wanted > _MOST_ANSWERS:
        raise invalid(f"`n` must be at most {_MOST_ANSWERS}: each answer is a turn of its own.", param="n")
    return wanted


def _stop(value: Json) -> tuple[str, ...]:
    if value is None:
        return ()
    wanted = [value] if isinstance(value, str) else value
    if not isinstance(wanted, list):
        raise wrong_kind(value, "stop", "a string or a list of strings")
    found = []
    for index, entry in enumerate(wanted):
        path = f"stop[{index}]" if wanted is value else "stop"
        if not isinstance(entry, str):
            raise wrong_kind(entry, path, "a string")
        if not entry:
            raise invalid(f"`{path}` must not be empty: an empty string stops nothing.", param=path)
        found.append(entry)
    return tuple(found)


def _temperature(body: JsonObject, notes: Notes) -> float | None:
    value = optional_number(body, "temperature", _HIGHEST_TEMPERATURE)
    if value is not None and value > _MODEL_HIGHEST_TEMPERATURE:
        notes.add("temperature>1")
        return float(_MODEL_HIGHEST_TEMPERATURE)
    return value


def _stream(body: JsonObject, notes: Notes) -> tuple[bool, bool]:
    stream = optional_bool(body, "stream") is True
    options = optional_object(body, "stream_options") or {}
    usage = optional_bool(options, "include_usage", "stream_options.") is True
    for name, value in options.items():
        if name != "include_usage" and value not in (None, False):
            notes.add_unknown(name, "stream_options.")
    return stream, usage
