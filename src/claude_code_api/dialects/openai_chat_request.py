"""A chat completions request body → `TurnRequest`, and the list of every field with what becomes of it.

Nothing is passed over in silence: a field that is present, is not `null`, does not ask for the default and is not
honoured is named in `TurnRequest.ignored`. `docs/dialects/openai-chat.md` says the same in a table; a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping

from claude_code_api.dialects.fields import (
    Notes,
    optional_number,
    optional_object,
    optional_positive_int,
    optional_string,
    required_string,
)
from claude_code_api.dialects.lowering import sent_profile
from claude_code_api.dialects.openai_messages import read_messages
from claude_code_api.dialects.openai_parameters import (
    name_the_rest,
    read_answers,
    read_stop,
    read_stream,
    read_temperature,
)
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
        "metadata",
        "model",
        "n",
        "parallel_tool_calls",
        "profile",
        "project_id",
        "reasoning_effort",
        "response_format",
        "service_tier",
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
        "modalities",
        "moderation",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
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
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
}

# What this dialect calls the fields of a turn that it calls otherwise.
FIELD_NAMES: Mapping[str, str] = {
    "reasoning": "reasoning_effort",
    "output_schema": "response_format",
    "end_user": "user",
}
# OpenAI's word for what the model's API calls otherwise; the tiers that it has no word for are named.
_TIERS = {"auto": "auto", "default": "standard_only"}
_EFFORTS = {effort.value: effort for effort in Effort}


def parse_request(body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
    """Read a request body, or refuse it with a sentence that says what to change."""
    notes = Notes()
    model = required_string(body, "model")
    session_id = optional_string(body, "session_id") or headers.get("x-session-id") or None
    system, messages = read_messages(body.get("messages"), notes, goes_on=session_id is not None)
    tools, tool_choice = read_tools(body, notes)
    output_schema = read_response_format(body)
    reasoning = Reasoning(effort=_effort(body))
    limits = Limits(max_output_tokens=_max_output_tokens(body), stop=read_stop(body.get("stop")))
    sampling = Sampling(temperature=read_temperature(body, notes), top_p=optional_number(body, "top_p", 1))
    stream, stream_usage = read_stream(body, notes)
    end_user = _end_user(body, notes)
    tier = _service_tier(body, notes)
    name_the_rest(body, HONOURED, NAMED, DEFAULTS, notes)
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
        end_user=end_user,
        as_is={} if tier is None else {"service_tier": tier},
        session_id=session_id,
        project_id=optional_string(body, "project_id") or headers.get("x-project-id") or None,
        profile=sent_profile(headers, optional_string(body, "profile")),
        stream=stream,
        stream_usage=stream_usage,
        legacy_calls=bool(body.get("functions")),
        answers=read_answers(body),
        remote_parts=tuple(notes.remote),
        ignored=notes.names(),
        field_names=FIELD_NAMES,
    )


def _end_user(body: JsonObject, notes: Notes) -> str | None:
    """Read `user`, or else `metadata.user_id`: an end user is all that the model's API takes of metadata."""
    user = optional_string(body, "user") or None
    metadata = optional_object(body, "metadata") or {}
    meant = optional_string(metadata, "user_id", "metadata.") or None
    taken = "user_id" if user in (None, meant) else ""
    if any(value is not None for name, value in metadata.items() if name != taken):
        notes.add("metadata")
    return user or meant


def _service_tier(body: JsonObject, notes: Notes) -> str | None:
    value = optional_string(body, "service_tier")
    if value is not None and value not in _TIERS:
        notes.add("service_tier")
    return _TIERS.get(value or "")


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
