"""What the stand-in knows of models: `models.json`, kept apart from the gateway's own table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

_LEVELS: Final = ("low", "medium", "high", "xhigh", "max")
_SUFFIX: Final = re.compile(r"(-\d{8}|-latest)?(\[[^\[\]]*\])?$")


@dataclass(frozen=True, slots=True)
class Traits:
    """One model."""

    id: str
    family: str
    thinking: tuple[str, ...]
    thinks_unless_told: bool
    temperature: str
    top_p: bool
    top_k: bool
    temperature_with_top_p: bool
    effort_levels: tuple[str, ...]
    efforts_only_with_thinking: tuple[str, ...]
    prefill: bool
    json_schema: bool
    forced_calls: bool
    context_tokens: int
    max_output_tokens: int


@cache
def models() -> Mapping[str, Traits]:
    """Return all models by their names, the newest of a family last."""
    data = orjson.loads(resources.files(__package__).joinpath("models.json").read_bytes())
    names = [field.name for field in fields(Traits)]
    rows = [Traits(**{name: _value(row[name]) for name in names}) for row in data["models"]]
    return {row.id: row for row in rows}


def _value(value: Any) -> Any:  # noqa: ANN401 - JSON
    return tuple(value) if isinstance(value, list) else value


def traits_of(name: str) -> Traits | None:
    """Return what is known of a model. An unknown one of a known family is like its newest; else there is none."""
    base = _SUFFIX.sub("", name)
    if base in models():
        return models()[base]
    words = base.split("-")
    of_family = [row for row in models().values() if words[0] == "claude" and row.family in words]
    return of_family[-1] if of_family else None


def model_object(model: Traits) -> dict[str, Any]:
    """Say a model as the API's list of models has it."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": "Stand-in for " + " ".join(word.capitalize() for word in model.id.split("-")),
        "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
        "capabilities": {
            "effort": {
                "supported": bool(model.effort_levels),
                **{level: {"supported": level in model.effort_levels} for level in _LEVELS},
            },
            "structured_outputs": {"supported": model.json_schema},
            "thinking": {
                "supported": bool(model.thinking),
                "types": {
                    "adaptive": {"supported": "adaptive" in model.thinking},
                    "enabled": {"supported": "enabled" in model.thinking},
                },
            },
        },
    }


def model_list() -> dict[str, Any]:
    """List all models, the newest first."""
    data = [model_object(model) for model in reversed(list(models().values()))]
    return {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
