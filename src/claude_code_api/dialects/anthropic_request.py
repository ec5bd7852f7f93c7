"""A messages request body → `TurnRequest`, and the list of every field with what becomes of it.

Nothing is passed over in silence: a field that is present, is not `null` and is not honoured is named in
`TurnRequest.ignored`. `docs/dialects/anthropic-messages.md` says the same in a table; a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping

from claude_code_api.dialects.anthropic_content import read_conversation, read_system
from claude_code_api.dialects.anthropic_tools import read_tools
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
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Json, JsonObject, Limits, Sampling, TurnRequest

# These go to the model's API as they came, because they are its own words.
AS_THEY_ARE = frozenset({"cache_control", "inference_geo", "output_config", "service_tier", "thinking"})

HONOURED = AS_THEY_ARE | frozenset(
    {
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "profile",
        "project_id",
        "session_id",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)

# Known and not honoured: they belong to betas, and a beta is the CLI's to choose.
NAMED = frozenset({"betas", "container", "context_management", "diagnostics", "fallbacks", "mcp_servers", "speed"})

# A client that believes its conversation to be kept would send only what is new of it.
REFUSED = frozenset({"thread"})

_TIERS = ("auto", "standard_only")


def parse_request(body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
    """Read a request body, or refuse it with a sentence that says what to change."""
    limit = optional_positive_int(body, "max_tokens")
    if limit is None:
        raise invalid("`max_tokens` is required: the most tokens that the answer may have.", param="max_tokens")
    return _parsed(body, headers, limit)


def parse_count(body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
    """Read a request whose input is to be counted; it has no answer and so needs no limit for it."""
    return _parsed(body, headers, optional_positive_int(body, "max_tokens"))


def _parsed(body: JsonObject, headers: Mapping[str, str], limit: int | None) -> TurnRequest:
    notes = Notes()
    for name in sorted(REFUSED):
        if body.get(name) is not None:
            raise invalid(f"`{name}` is not served: leave it out, and send the whole conversation.", param=name)
    model = required_string(body, "model")
    session_id = optional_string(body, "session_id") or headers.get("x-session-id") or None
    system, messages = read_conversation(body.get("messages"), notes, goes_on=session_id is not None)
    tools, tool_choice = read_tools(body, notes)
    end_user = _end_user(body, notes)
    as_is = _as_they_are(body)
    _name_the_rest(body, headers, notes)
    return TurnRequest(
        model=model,
        messages=messages,
        system=(*read_system(body.get("system")), *system),
        tools=tools,
        tool_choice=tool_choice,
        limits=Limits(max_output_tokens=limit, stop=_stop_sequences(body.get("stop_sequences"))),
        sampling=Sampling(
            temperature=optional_number(body, "temperature", 1),
            top_p=optional_number(body, "top_p", 1),
            top_k=_top_k(body.get("top_k")),
        ),
        as_is=as_is,
        end_user=end_user,
        session_id=session_id,
        project_id=optional_string(body, "project_id") or headers.get("x-project-id") or None,
        profile=sent_profile(headers, optional_string(body, "profile")),
        stream=optional_bool(body, "stream") is True,
        stream_usage=True,
        remote_parts=tuple(notes.remote),
        ignored=notes.names(),
        exact=True,
        request_id=headers.get("x-request-id"),
    )


def _stop_sequences(value: Json) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong_kind(value, "stop_sequences", "a list of strings")
    for index, entry in enumerate(value):
        if not isinstance(entry, str):
            raise wrong_kind(entry, f"stop_sequences[{index}]", "a string")
    return tuple(value)


def _top_k(value: Json) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_kind(value, "top_k", "a whole number")
    if value < 0:
        raise invalid("`top_k` must not be negative.", param="top_k")
    return value


def _end_user(body: JsonObject, notes: Notes) -> str | None:
    metadata = optional_object(body, "metadata") or {}
    for name, value in metadata.items():
        if name != "user_id" and value is not None:
            notes.add_unknown(name, "metadata.")
    return optional_string(metadata, "user_id", "metadata.") or None


def _as_they_are(body: JsonObject) -> JsonObject:
    """Take over the model's own words; their inside is the model's API's to judge."""
    for name in ("cache_control", "output_config", "thinking"):
        optional_object(body, name)
    optional_string(body, "inference_geo")
    if optional_string(body, "service_tier") not in (None, *_TIERS):
        raise invalid(f"`service_tier` must be one of: {', '.join(_TIERS)}.", param="service_tier")
    return {name: body[name] for name in sorted(AS_THEY_ARE) if body.get(name) is not None}


def _name_the_rest(body: JsonObject, headers: Mapping[str, str], notes: Notes) -> None:
    for name, value in body.items():
        if value is None or name in HONOURED:
            continue
        if name in NAMED:
            notes.add(name)
        else:
            notes.add_unknown(name)
    for beta in headers.get("anthropic-beta", "").split(","):
        if beta.strip():
            notes.add_unknown(beta.strip(), "anthropic-beta.")
