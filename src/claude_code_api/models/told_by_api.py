"""What the model's API says of a model at `GET /v1/models/{id}` → its row. Pure.

Every field may be missing: what is not said stays as it was known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from claude_code_api.models.capabilities import ADAPTIVE, DISABLED, ENABLED, Capabilities
from claude_code_api.turn.request import Effort

_LEVELS: Final = tuple(effort.value for effort in Effort)


def joined_with_api(row: Capabilities, told: Mapping[str, Any]) -> Capabilities:
    """Take over what the API says."""
    abilities = _mapping(told.get("capabilities"))
    return replace(
        row,
        context_tokens=_tokens(told.get("max_input_tokens"), row.context_tokens),
        max_output_tokens=_tokens(told.get("max_tokens"), row.max_output_tokens),
        thinking=_thinking(row, _mapping(abilities.get("thinking"))),
        effort_levels=_levels(row, _mapping(abilities.get("effort"))),
        json_schema=_is_supported(abilities.get("structured_outputs"), otherwise=row.json_schema),
    )


def _thinking(row: Capabilities, told: Mapping[str, Any]) -> tuple[str, ...]:
    if not _is_supported(told, otherwise=True):
        return ()
    types = _mapping(told.get("types"))
    kinds = set(row.thinking)
    for kind in (DISABLED, ADAPTIVE, ENABLED):
        if kind in types:
            kinds = kinds | {kind} if _is_supported(types[kind], otherwise=False) else kinds - {kind}
    # In the order of the table, and what it does not have at the end.
    return (*(kind for kind in row.thinking if kind in kinds), *sorted(kinds - set(row.thinking)))


def _levels(row: Capabilities, told: Mapping[str, Any]) -> tuple[str, ...]:
    if not told:
        return row.effort_levels
    return tuple(_supported_levels(told)) if _is_supported(told, otherwise=True) else ()


def _supported_levels(told: Mapping[str, Any]) -> Iterator[str]:
    return (level for level in _LEVELS if _is_supported(told.get(level), otherwise=False))


def _is_supported(told: object, *, otherwise: bool) -> bool:
    supported = told.get("supported") if isinstance(told, Mapping) else None
    return supported if isinstance(supported, bool) else otherwise


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tokens(told: object, known: int | None) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) and told > 0 else known
