"""A request → what the real model's API would refuse in it, before any model sees it.

The rules stand in `rules.json`, the models in `models.json`. The first rule that is broken answers.
"""

from __future__ import annotations

from typing import Any, Final

from claude_code_api.standin.strict_messages import check_marks, check_messages, check_system
from claude_code_api.standin.strict_model_rules import check_for_model
from claude_code_api.standin.strict_models import traits_of
from claude_code_api.standin.strict_rules import Body, Breach, Refusal, check_fields
from claude_code_api.standin.strict_tools import check_tools

MAX_BYTES: Final = 32 * 1024 * 1024
_FIELDS: Final = frozenset(
    {"model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "temperature", "top_p", "top_k"}
    | {"stop_sequences", "stream", "metadata", "service_tier", "container", "context_management", "mcp_servers"}
    | {"output_config", "output_format", "inference_geo", "speed", "cache_control", "diagnostics", "fallbacks"}
)
# These may be null, and then are as if they were absent.
_NULLABLE: Final = frozenset({"container", "cache_control", "context_management", "speed", "inference_geo"})


def judge(body: Any, size: int, *, counting: bool = False) -> Refusal | None:  # noqa: ANN401 - JSON
    """Return what the API would answer instead of asking a model; None: it would ask. `counting`: tokens alone."""
    try:
        _judge(body, size, counting=counting)
    except Breach as breach:
        return breach.told()
    return None


def _judge(body: Any, size: int, *, counting: bool) -> None:  # noqa: ANN401 - JSON
    if size > MAX_BYTES:
        raise Breach("size")
    if not isinstance(body, dict):
        raise Breach("body")
    _check_names(body)
    check_fields(body, counting=counting)
    model = traits_of(body["model"])
    if model is None:
        raise Breach("unknown_model", model=body["model"])
    check_system(body)
    check_messages(body)
    check_tools(body)
    check_marks(body)
    check_for_model(body, model, counting=counting)


def _check_names(body: Body) -> None:
    for name, value in body.items():
        if name not in _FIELDS:
            raise Breach("unknown_field", place=name)
        if value is None and name not in _NULLABLE:
            raise Breach("null_field", place=name)
