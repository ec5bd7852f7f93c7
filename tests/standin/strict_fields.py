"""Examples of the rules about the fields at the top of a request: their presence, their types and their ranges."""

from __future__ import annotations

from typing import Final

from tests.standin.strict_bodies import Example, body, closed, said, user, without

_MIB: Final = 1024 * 1024
_EXTRA: Final = "Extra inputs are not permitted"
_CONTEXT: Final = (("anthropic-beta", "other-2026-01-01, context-management-2025-06-27"),)
_SERVERS: Final = [{"type": "url", "url": "https://example.com/mcp", "name": "far"}]
_OBJECT: Final = "Input should be a valid dictionary"
_THINKING_TAGS: Final = (
    "thinking: Input tag 'on' found using 'type' does not match any of the expected tags: "
    "'adaptive', 'between_tools', 'disabled', 'enabled'"
)

_BUDGET: Final = {"type": "enabled", "budget_tokens": 1024}
_ADAPTIVE: Final = {"type": "adaptive"}
_FORM: Final = {"type": "json_schema", "schema": closed()}

REQUEST: Final = [
    Example("body", [], "The request body is not valid JSON: a JSON object is expected", body()),
    Example("unknown_field", body(n=1), f"n: {_EXTRA}", body(top_k=1)),
    Example("model_required", without("model"), "model: Field required", body()),
    Example("model_type", body(model=1), "model: Input should be a valid string", body()),
    Example("model_empty", body(model=""), "model: String should have at least 1 character", body()),
    Example("model_length", body(model="m" * 257), "model: String should have at most 256 characters", body()),
    Example("unknown_model", body(model="gpt-4o"), "model: gpt-4o", body(model="claude-sonnet-9-20271231")),
    Example("messages_required", without("messages"), "messages: Field required", body()),
    Example("messages_type", body(messages="hi"), "messages: Input should be a valid list", body()),
    Example("messages_empty", said(), "messages: at least one message is required", body()),
    Example(
        "messages_count",
        said(*[user("hi")] * 100_001),
        "messages: List should have at most 100000 items after validation, not 100001",
        said(user("hi"), user("hi")),
    ),
    Example("max_tokens_required", without("max_tokens"), "max_tokens: Field required", body()),
    Example("max_tokens_type", body(max_tokens="9"), "max_tokens: Input should be a valid integer", body(max_tokens=9)),
    Example(
        "max_tokens_least",
        body(max_tokens=0),
        "max_tokens: Input should be greater than or equal to 1",
        body(max_tokens=1),
    ),
]

SIZES: Final = [
    Example("size", body(), "Request exceeds the maximum size", body(), size=32 * _MIB + 1),
]

BETAS: Final = [
    Example(
        "context_management_beta",
        body(context_management={"edits": []}),
        f"context_management: {_EXTRA}",
        body(context_management={"edits": []}),
        headers=_CONTEXT,
    ),
    Example(
        "mcp_servers_beta",
        body(mcp_servers=_SERVERS),
        f"mcp_servers: {_EXTRA}",
        body(mcp_servers=_SERVERS),
        headers=(("anthropic-beta", "mcp-client-2025-11-20"),),
    ),
]

PARAMETERS: Final = [
    Example(
        "temperature_type",
        body(temperature="1"),
        "temperature: Input should be a valid number",
        body(temperature=0.5),
    ),
    Example("temperature_least", body(temperature=-0.1), "temperature: range: 0..1", body(temperature=0)),
    Example("temperature_most", body(temperature=1.5), "temperature: range: 0..1", body(temperature=1)),
    Example("top_p_type", body(top_p=True), "top_p: Input should be a valid number", body(top_p=0.5)),
    Example("top_p_least", body(top_p=-1), "top_p: Input should be greater than or equal to 0", body(top_p=0)),
    Example("top_p_most", body(top_p=1.1), "top_p: Input should be less than or equal to 1", body(top_p=1)),
    Example("top_k_type", body(top_k=1.5), "top_k: Input should be a valid integer", body(top_k=5)),
    Example("top_k_least", body(top_k=-1), "top_k: Input should be greater than or equal to 0", body(top_k=0)),
    Example("stream_type", body(stream="yes"), "stream: Input should be a valid boolean", body(stream=True)),
    Example(
        "stop_type",
        body(stop_sequences="END"),
        "stop_sequences: Input should be a valid list",
        body(stop_sequences=["END"]),
    ),
    Example(
        "stop_entry_type",
        body(stop_sequences=["END", 1]),
        "stop_sequences.1: Input should be a valid string",
        body(stop_sequences=[]),
    ),
    Example(
        "stop_blank",
        body(stop_sequences=["END", "\n"]),
        "stop_sequences: each stop sequence must contain non-whitespace",
        body(stop_sequences=["\nEND"]),
    ),
    Example("metadata_type", body(metadata="me"), f"metadata: {_OBJECT}", body(metadata={})),
    Example("metadata_fields", body(metadata={"user": "me"}), f"metadata.user: {_EXTRA}", body(metadata=None)),
    Example(
        "end_user_type",
        body(metadata={"user_id": 7}),
        "metadata.user_id: Input should be a valid string",
        body(metadata={"user_id": None}),
    ),
    Example(
        "end_user_length",
        body(metadata={"user_id": "u" * 257}),
        "metadata.user_id: String should have at most 256 characters",
        body(metadata={"user_id": "u" * 256}),
    ),
    Example(
        "service_tier",
        body(service_tier="flex"),
        "service_tier: Input should be 'auto' or 'standard_only'",
        body(service_tier="auto"),
    ),
    Example("speed", body(speed="slow"), "speed: Input should be 'standard' or 'fast'", body(speed="fast")),
]

THINKING: Final = [
    Example("thinking_type", body(thinking="on"), f"thinking: {_OBJECT}", body(thinking=None)),
    Example(
        "thinking_tag_required",
        body(thinking={}),
        "thinking: Unable to extract tag using discriminator 'type'",
        body(thinking={"type": "disabled"}),
    ),
    Example("thinking_tag", body(thinking={"type": "on"}), _THINKING_TAGS, body(thinking=_BUDGET)),
    Example(
        "thinking_display",
        body(thinking={**_BUDGET, "display": "full"}),
        "thinking.display: Input should be 'summarized' or 'omitted'",
        body(thinking={**_BUDGET, "display": "summarized"}),
    ),
    Example(
        "thinking_disabled_fields",
        body(thinking={"type": "disabled", "display": "omitted"}),
        f"thinking.disabled.display: {_EXTRA}",
        body(thinking={"type": "disabled"}),
    ),
    Example(
        "thinking_between_tools_fields",
        body(model="claude-sonnet-5-5", thinking={"type": "between_tools", "display": "omitted"}),
        f"thinking.between_tools.display: {_EXTRA}",
        body(model="claude-sonnet-5-5", thinking={"type": "between_tools"}),
    ),
    Example(
        "thinking_adaptive_fields",
        body(model="claude-opus-4-6", thinking={**_ADAPTIVE, "budget_tokens": 2000}),
        f"thinking.adaptive.budget_tokens: {_EXTRA}",
        body(model="claude-opus-4-6", thinking={**_ADAPTIVE, "display": "omitted"}),
    ),
    Example(
        "thinking_enabled_fields",
        body(thinking={**_BUDGET, "effort": "low"}),
        f"thinking.enabled.effort: {_EXTRA}",
        body(thinking=_BUDGET),
    ),
    Example(
        "budget_required",
        body(thinking={"type": "enabled"}),
        "thinking.enabled.budget_tokens: Field required",
        body(thinking=_BUDGET),
    ),
    Example(
        "budget_type",
        body(thinking={"type": "enabled", "budget_tokens": 1500.5}),
        "thinking.enabled.budget_tokens: Input should be a valid integer",
        body(thinking={"type": "enabled", "budget_tokens": 1500}),
    ),
    Example(
        "budget_least",
        body(thinking={"type": "enabled", "budget_tokens": 1023}),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        body(thinking=_BUDGET),
    ),
]

OUTPUT_CONFIG: Final = [
    Example("output_config_type", body(output_config="low"), f"output_config: {_OBJECT}", body(output_config=None)),
    Example(
        "output_config_fields",
        body(output_config={"verbosity": "low"}),
        f"output_config.verbosity: {_EXTRA}",
        body(output_config={}),
    ),
    Example(
        "effort_word",
        body(model="claude-opus-5", output_config={"effort": "minimal"}),
        "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
        body(model="claude-opus-5", output_config={"effort": "low"}),
    ),
    Example(
        "output_form_type",
        body(output_config={"format": "json"}),
        f"output_config.format: {_OBJECT}",
        body(output_config={"format": None}),
    ),
    Example(
        "output_form_tag",
        body(output_config={"format": {**_FORM, "type": "json_object"}}),
        "output_config.format.type: Input should be 'json_schema'",
        body(output_config={"format": _FORM}),
    ),
    Example(
        "output_form_fields",
        body(output_config={"format": {**_FORM, "name": "answer"}}),
        f"output_config.format.name: {_EXTRA}",
        body(output_config={"format": _FORM}),
    ),
    Example(
        "output_schema_required",
        body(output_config={"format": {"type": "json_schema"}}),
        "output_config.format.schema: Field required",
        body(output_config={"format": _FORM}),
    ),
    Example(
        "output_schema_type",
        body(output_config={"format": {**_FORM, "schema": "{}"}}),
        f"output_config.format.schema: {_OBJECT}",
        body(output_config={"format": _FORM}),
    ),
]

SYSTEM: Final = [
    Example("system_type", body(system=7), "system: Input should be a valid list", body(system="be kind")),
    Example(
        "system_entry_type",
        body(system=["be kind"]),
        "system.0: Input should be a valid dictionary or object to extract fields from",
        body(system=[{"type": "text", "text": "be kind"}]),
    ),
    Example(
        "system_text_only",
        body(system=[{"type": "image", "text": "be kind"}]),
        "system.0.type: Input should be 'text'",
        body(system=[]),
    ),
    Example(
        "system_text_type",
        body(system=[{"type": "text", "text": "a"}, {"type": "text"}]),
        "system.1.text: Input should be a valid string",
        body(system=[{"type": "text", "text": "a"}]),
    ),
    Example(
        "system_fields",
        body(system=[{"type": "text", "text": "a", "role": "system"}]),
        f"system.0.role: {_EXTRA}",
        body(system=[{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
    ),
    Example(
        "system_empty",
        body(system=[{"type": "text", "text": ""}]),
        "system: text content blocks must be non-empty",
        body(system=""),
    ),
    Example(
        "system_blank",
        body(system=[{"type": "text", "text": " \n"}]),
        "system: text content blocks must contain non-whitespace text",
        body(system=[{"type": "text", "text": " a"}]),
    ),
]

EXAMPLES: Final = [*REQUEST, *SIZES, *BETAS, *PARAMETERS, *THINKING, *OUTPUT_CONFIG, *SYSTEM]
