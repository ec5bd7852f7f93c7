"""The rules that differ from model to model: thinking, sampling, effort, forced calls, begun answers, schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from claude_code_api.standin.strict_messages import blocks_of
from claude_code_api.standin.strict_models import Traits
from claude_code_api.standin.strict_rules import Body, Breach
from claude_code_api.standin.strict_schemas import check_enforced

_LOWEST_TOP_P: Final = 0.95
_THOUGHTS: Final = ("thinking", "redacted_thinking")


def check_for_model(body: Body, model: Traits, *, counting: bool) -> None:
    """Hold a body against what its model accepts."""
    limit = body.get("max_tokens")
    if limit is not None and limit > model.max_output_tokens:
        raise Breach("max_tokens_most", found=limit, most=model.max_output_tokens, model=body["model"])
    thinking = body.get("thinking") or {}
    _check_thinking(body, thinking, model, counting=counting)
    thinks = thinking.get("type", "adaptive" if model.thinks_unless_told else "disabled") != "disabled"
    _check_sampling(body, model, thinks=thinks)
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        if not model.forced_calls:
            raise Breach("forced_call")
        if thinks:
            raise Breach("forced_call_thinking")
    _check_end(body, model, thinks=thinks, budget=thinking.get("type") == "enabled")
    _check_output(body, model, thinking)


def _check_thinking(body: Body, thinking: Mapping[str, Any], model: Traits, *, counting: bool) -> None:
    kind = thinking.get("type")
    if kind is None:
        return
    if not model.thinking:
        if kind != "disabled":
            raise Breach("thinking_none")
        return
    if kind not in model.thinking:
        raise Breach(f"thinking_{kind}")
    if kind == "enabled":
        if "budget_tokens" not in thinking:
            raise Breach("budget_required")
        if not counting and thinking["budget_tokens"] >= body["max_tokens"]:
            raise Breach("budget_below_limit")


def _check_sampling(body: Body, model: Traits, *, thinks: bool) -> None:
    temperature, top_p, top_k = (body.get(name) for name in ("temperature", "top_p", "top_k"))
    if temperature is not None and (model.temperature == "none" or (model.temperature == "one" and temperature != 1)):
        raise Breach("temperature_deprecated")
    if top_p is not None and not model.top_p:
        raise Breach("top_p_deprecated")
    if top_k is not None and not model.top_k:
        raise Breach("top_k_deprecated")
    if temperature is not None and top_p is not None and not model.temperature_with_top_p:
        raise Breach("temperature_and_top_p")
    if not thinks:
        return
    if temperature not in (None, 1):
        raise Breach("thinking_temperature")
    if top_p is not None and top_p < _LOWEST_TOP_P:
        raise Breach("thinking_top_p")
    if top_k is not None:
        raise Breach("thinking_top_k")


def _check_end(body: Body, model: Traits, *, thinks: bool, budget: bool) -> None:
    messages = body["messages"]
    last = messages[-1]
    if last["role"] == "assistant":
        if not model.prefill:
            raise Breach("prefill")
        if thinks:
            raise Breach("prefill_thinking", index=len(messages) - 1)
    elif budget and len(messages) > 1 and any(block["type"] == "tool_result" for block in blocks_of(last)):
        first = blocks_of(messages[-2])[0]["type"]
        if first not in _THOUGHTS:
            raise Breach("thinking_first", index=len(messages) - 2, found=first)


def _check_output(body: Body, model: Traits, thinking: Mapping[str, Any]) -> None:
    config = body.get("output_config") or {}
    effort = config.get("effort")
    if effort is not None:
        if not model.effort_levels:
            raise Breach("effort_unsupported")
        if effort not in model.effort_levels:
            raise Breach("effort_level", found=effort, levels=", ".join(model.effort_levels))
        if thinking.get("type") == "disabled" and effort in model.efforts_only_with_thinking:
            raise Breach("effort_disabled", found=effort)
    form = config.get("format")
    if form is not None:
        if not model.json_schema:
            raise Breach("output_unsupported")
        if any(block.get("citations") for message in body["messages"] for block in blocks_of(message)):
            raise Breach("output_citations")
        check_enforced(form["schema"])
