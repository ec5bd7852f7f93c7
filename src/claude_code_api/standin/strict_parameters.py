"""Rules about a request's parameters that need more than one field: thinking, sampling, effort and the model itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from claude_code_api.standin.strict_request import Request
from claude_code_api.standin.strict_rows import Check, Found
from claude_code_api.standin.word_count import count_body

# Betas are named by what they add, and by a date with or without dashes.
_BETA: Final = re.compile(r"[a-z0-9-]+-20\d\d-?\d\d-?\d\d")
# With this beta, models that have less take as much.
_LONG_CONTEXT: Final = "context-1m-"
_LONG_CONTEXT_TOKENS: Final = 1_000_000
# What the API takes at once.
MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024
_LEVELS: Final = ("low", "medium", "high", "xhigh", "max")
# Below it, nucleus sampling would cut into the thoughts.
LEAST_TOP_P_WITH_THINKING: Final = 0.95

# What a body may hold, in all versions of the API that are in use.
_FIELDS: Final = frozenset(
    {"model", "messages", "max_tokens", "system", "temperature", "top_p", "top_k", "stop_sequences", "stream"}
    | {"metadata", "tools", "tool_choice", "thinking", "output_config", "output_format", "service_tier", "container"}
    | {"mcp_servers", "context_management", "speed", "inference_geo", "cache_control", "diagnostics", "compaction"}
    | {"fallbacks", "fallback_credit_token", "thread", "user_profile_id", "workspace_id"}
)


def _size(request: Request) -> Found | None:
    return {} if request.size > MAX_REQUEST_BYTES else None


def _body(request: Request) -> Found | None:
    return None if isinstance(request.body, dict) else {}


def _beta_header(request: Request) -> Found | None:
    unknown = sorted(one for one in request.betas if one and not _BETA.fullmatch(one))
    return {"found": ", ".join(unknown)} if unknown else None


def _unknown_field(request: Request) -> Found | None:
    unknown = [name for name in request.body if name not in _FIELDS]
    return {"found": unknown[0]} if unknown else None


def _unknown_model(request: Request) -> Found | None:
    return {"model": request.get("model")} if request.model is None else None


def _number(value: object) -> float | None:
    """Return what can be compared; values of another type are the business of the rule about the type."""
    return value if isinstance(value, (int, float)) else None


def _budget_below_limit(request: Request) -> Found | None:
    thinking = request.part("thinking")
    budget, most = _number(thinking.get("budget_tokens")), _number(request.get("max_tokens"))
    if thinking.get("type") != "enabled" or budget is None or most is None:
        return None
    return {"found": budget, "most": most} if budget >= most else None


def _thinks_aloud(request: Request) -> bool:
    """Whether thinking was asked for. What a model does unasked gives way to the other parameters."""
    return request.part("thinking").get("type") in ("enabled", "adaptive")


def _thinking_temperature(request: Request) -> Found | None:
    temperature = request.get("temperature")
    return {} if _thinks_aloud(request) and temperature is not None and temperature != 1 else None


def _thinking_top_p(request: Request) -> Found | None:
    top_p = _number(request.get("top_p"))
    return {} if _thinks_aloud(request) and top_p is not None and top_p < LEAST_TOP_P_WITH_THINKING else None


def _thinking_top_k(request: Request) -> Found | None:
    return {} if _thinks_aloud(request) and request.get("top_k") is not None else None


def _temperature_and_top_p(request: Request) -> Found | None:
    both = request.get("temperature") is not None and request.get("top_p") is not None
    return {} if both else None


def _effort_level(request: Request) -> Found | None:
    level = request.part("output_config").get("effort")
    levels = request.model.effort_levels if request.model is not None else ()
    if not levels or level in levels or level not in _LEVELS:
        return None
    return {"found": level, "levels": ", ".join(levels)}


def _effort_without_thinking(request: Request) -> Found | None:
    level = request.part("output_config").get("effort")
    if request.model is None or level not in request.model.efforts_only_with_thinking:
        return None
    return {"found": level} if request.part("thinking").get("type") in ("disabled", "between_tools") else None


def _max_tokens_most(request: Request) -> Found | None:
    wanted = _number(request.get("max_tokens"))
    if request.model is None or wanted is None or wanted <= request.model.max_output_tokens:
        return None
    return {"found": wanted, "most": request.model.max_output_tokens, "model": request.get("model")}


def _prompt_length(request: Request) -> Found | None:
    if request.model is None:
        return None
    longer = any(one.startswith(_LONG_CONTEXT) for one in request.betas)
    most = max(request.model.context_tokens, _LONG_CONTEXT_TOKENS if longer else 0)
    found = count_body(request.body)
    return {"found": found, "most": most} if found > most else None


def _forced_call_thinking(request: Request) -> Found | None:
    forced = request.part("tool_choice").get("type") in ("any", "tool")
    return {} if forced and _thinks_aloud(request) else None


CHECKS: Final[Mapping[str, Check]] = {
    "size": _size,
    "body": _body,
    "beta_header": _beta_header,
    "unknown_field": _unknown_field,
    "prompt_length": _prompt_length,
    "unknown_model": _unknown_model,
    "budget_below_limit": _budget_below_limit,
    "thinking_temperature": _thinking_temperature,
    "thinking_top_p": _thinking_top_p,
    "thinking_top_k": _thinking_top_k,
    "temperature_and_top_p": _temperature_and_top_p,
    "effort_level": _effort_level,
    "effort_without_thinking": _effort_without_thinking,
    "max_tokens_most": _max_tokens_most,
    "forced_call_thinking": _forced_call_thinking,
}
