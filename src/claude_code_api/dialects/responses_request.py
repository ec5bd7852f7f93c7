"""A responses request body → `TurnRequest`, and the list of every field with what becomes of it.

Nothing is passed over in silence: a field that is present, is not `null`, does not ask for the default and is not
honoured is named in `TurnRequest.ignored`. `docs/dialects/openai-responses.md` says the same; a test compares.

What the response object has to repeat of its request goes into the turn's note, so that it can be told at another time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

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
from claude_code_api.dialects.lowering import sent_profile
from claude_code_api.dialects.openai_parameters import name_the_rest, read_temperature
from claude_code_api.dialects.responses_input import read_input
from claude_code_api.dialects.responses_tools import read_format, read_tools, tool_body
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid
from claude_code_api.turn.request import (
    ClientTool,
    Effort,
    Json,
    JsonObject,
    Limits,
    Reasoning,
    Sampling,
    TextBlock,
    TurnRequest,
)

HONOURED: Final = frozenset(
    {
        "background",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "profile",
        "project_id",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "session_id",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_p",
        "user",
    }
)

# Known and not honoured.
NAMED: Final = frozenset(
    {
        "access_programs",
        "context_management",
        "frequency_penalty",
        "image",
        "max_tool_calls",
        "moderation",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "top_logprobs",
        "truncation",
    }
)

# It is what is asked, and it is kept at OpenAI.
REFUSED: Final = frozenset({"prompt"})

# Values that ask for what happens anyway. They are not named.
DEFAULTS: Final[Mapping[str, tuple[Json, ...]]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}

ENCRYPTED: Final = "reasoning.encrypted_content"
# OpenAI's word for what the model's API calls otherwise; the tiers that it has no word for are named.
_TIERS: Final = {"auto": "auto", "default": "standard_only"}
_EFFORTS: Final = {effort.value: effort for effort in Effort}
_TURN_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_HEX_ID: Final = re.compile(r"[0-9a-f-]{32,36}")
# What this dialect calls the fields of a turn that it calls otherwise.
FIELD_NAMES: Final[Mapping[str, str]] = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "output_schema": "text.format",
    "end_user": "safety_identifier",
    "system": "instructions",
}
RESPONSE: Final = "resp_"
CONVERSATION: Final = "conv_"


def parse_request(body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
    """Read a request body, or refuse it with a sentence that says what to change."""
    notes = Notes()
    for name in sorted(REFUSED):
        if body.get(name) is not None:
            raise invalid(f"`{name}` is kept at OpenAI: send what it says in `instructions` and `input`.", param=name)
    model = required_string(body, "model")
    continues, conversation = _continued(body), _conversation(body.get("conversation"))
    if continues is not None and conversation is not None:
        raise invalid("Send either `previous_response_id` or `conversation`, not both.", param="conversation")
    session_id = conversation or optional_string(body, "session_id") or headers.get("x-session-id") or None
    system, messages = read_input(body.get("input"), notes, goes_on=continues is not None or session_id is not None)
    tools, tool_choice = read_tools(body, notes)
    text = optional_object(body, "text") or {}
    output_schema = read_format(text)
    background, stored = optional_bool(body, "background") is True, optional_bool(body, "store") is not False
    if background and not stored:
        raise invalid("`background` needs `store`: the answer is asked for later.", param="background")
    limits = Limits(max_output_tokens=optional_positive_int(body, "max_output_tokens"))
    sampling = Sampling(temperature=read_temperature(body, notes), top_p=optional_number(body, "top_p", 1))
    reasoning = _reasoning(body, notes)
    end_user = optional_string(body, "safety_identifier") or optional_string(body, "user") or None
    tier = _service_tier(body, notes)
    instructions = optional_string(body, "instructions")
    stream = _stream(body, notes)
    note: JsonObject = {"echo": _echo(body, tools), "encrypted": ENCRYPTED in _include(body, notes)}
    _name_inside(text, ("format",), {"verbosity": ("medium",)}, "text.", notes)
    name_the_rest(body, HONOURED, NAMED, DEFAULTS, notes)
    return TurnRequest(
        model=model,
        messages=messages,
        system=system,
        instructions=(TextBlock(instructions),) if instructions else (),
        tools=tools,
        tool_choice=tool_choice,
        limits=limits,
        sampling=sampling,
        reasoning=reasoning,
        output_schema=output_schema,
        end_user=end_user,
        as_is={} if tier is None else {"service_tier": tier},
        session_id=session_id,
        appends=continues is not None or conversation is not None,
        continues=continues,
        project_id=optional_string(body, "project_id") or headers.get("x-project-id") or None,
        profile=sent_profile(headers, optional_string(body, "profile")),
        background=background,
        note=note,
        stored=stored,
        stream=stream,
        stream_usage=True,
        remote_parts=tuple(notes.remote),
        ignored=notes.names(),
        field_names=FIELD_NAMES,
    )


# Where it belongs


def _continued(body: JsonObject) -> str | None:
    value = optional_string(body, "previous_response_id")
    return None if value is None else turn_id_of(value, param="previous_response_id")


def turn_id_of(response_id: str, *, param: str | None = None) -> str:
    """Read a response's id: the turn that it names."""
    turn_id = response_id.removeprefix(RESPONSE)
    if not response_id.startswith(RESPONSE) or not _TURN_ID.fullmatch(turn_id):
        raise no_such_response(param=param)
    return turn_id


def no_such_response(*, param: str | None = None) -> TurnRefusedError:
    """Refuse an id that names nothing that the caller may see."""
    message = "There is no response with this id; with `store: false`, or once it is deleted, it cannot be asked for."
    return TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param=param))


def _conversation(value: Json) -> str | None:
    if isinstance(value, Mapping):
        value = required_string(value, "id", "conversation.")
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_kind(value, "conversation", "a string or an object with an id")
    session_id = value.removeprefix(CONVERSATION)
    if not value.startswith(CONVERSATION) or not _HEX_ID.fullmatch(session_id):
        message = 'There is no conversation with this id: it is "conv_" and the id of a session.'
        raise TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, message, source="client", param="conversation"))
    return session_id


# Its parameters


def _reasoning(body: JsonObject, notes: Notes) -> Reasoning:
    wanted = optional_object(body, "reasoning") or {}
    effort = optional_string(wanted, "effort", "reasoning.")
    if effort is not None and effort not in _EFFORTS:
        raise invalid(f"`reasoning.effort` must be one of: {', '.join(_EFFORTS)}.", param="reasoning.effort")
    # The thoughts are shown as they are, not in a summary of any length.
    _name_inside(wanted, ("effort",), {"summary": ("auto",), "generate_summary": ("auto",)}, "reasoning.", notes)
    return Reasoning(effort=None if effort is None else _EFFORTS[effort])


def _service_tier(body: JsonObject, notes: Notes) -> str | None:
    value = optional_string(body, "service_tier")
    if value is not None and value not in _TIERS:
        notes.add("service_tier")
    return _TIERS.get(value or "")


def _stream(body: JsonObject, notes: Notes) -> bool:
    # Padding against eavesdroppers who count bytes is TLS's or a proxy's to do.
    options = optional_object(body, "stream_options") or {}
    _name_inside(options, (), {"include_obfuscation": (False,)}, "stream_options.", notes)
    return optional_bool(body, "stream") is True


def _include(body: JsonObject, notes: Notes) -> frozenset[str]:
    value = body.get("include")
    if value is None:
        return frozenset()
    if not isinstance(value, list):
        raise wrong_kind(value, "include", "a list of strings")
    wanted = set[str]()
    for index, entry in enumerate(value):
        if not isinstance(entry, str):
            raise wrong_kind(entry, f"include[{index}]", "a string")
        wanted.add(entry)
        if entry != ENCRYPTED:
            notes.add_unknown(entry, "include.")
    return frozenset(wanted)


def _name_inside(
    fields: JsonObject, read: tuple[str, ...], defaults: Mapping[str, tuple[Json, ...]], at: str, notes: Notes
) -> None:
    for name, value in fields.items():
        if value is not None and name not in read and value not in defaults.get(name, ()):
            notes.add_unknown(name, at)


# What the answer repeats

_REPEATED: Final = (
    "background",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "top_logprobs",
    "top_p",
    "user",
)


def _echo(body: JsonObject, tools: tuple[ClientTool, ...]) -> JsonObject:
    optional_object(body, "metadata")
    for name in ("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user"):
        optional_string(body, name)
    for name in ("max_tool_calls", "top_logprobs"):
        optional_number(body, name, math.inf)
    said = {name: body[name] for name in _REPEATED if body.get(name) is not None}
    return {**said, "tools": [tool_body(tool) for tool in tools]}
