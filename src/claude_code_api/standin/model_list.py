"""The API's list of models: the rows of the table in the shape of `GET /v1/models`, page by page. Knows no HTTP."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from claude_code_api.standin import sse
from claude_code_api.standin.model_table import Model, model_named, models

Answer: TypeAlias = tuple[int, Mapping[str, object]]

PATH: Final = "/v1/models"
# The API's own page, and the largest that may be asked for.
PAGE: Final = 20
LARGEST_PAGE: Final = 1000

_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_SUPPORTED: Final = {"supported": True}
_THINKING: Final = ("adaptive", "between_tools", "disabled", "enabled")


def answer(path: str, query: str, request_id: str) -> Answer:
    """Answer `GET /v1/models` or `GET /v1/models/{id}`."""
    if path == PATH:
        return _page(query, request_id)
    name = urllib.parse.unquote(path.removeprefix(PATH).removeprefix("/"))
    model = model_named(name)
    if model is None:
        return 404, sse.error_body("not_found_error", f"model: {name}", request_id)
    return 200, {**shown(model), "id": model.id}


def _page(query: str, request_id: str) -> Answer:
    asked = dict(urllib.parse.parse_qsl(query))
    limit = asked.get("limit", str(PAGE))
    if not limit.isdecimal() or not 1 <= int(limit) <= LARGEST_PAGE:
        problem = f"limit: Input should be between 1 and {LARGEST_PAGE}"
        return 400, sse.error_body("invalid_request_error", problem, request_id)
    newest_first = sorted(models(), key=lambda model: model.created_at, reverse=True)
    names = [model.id for model in newest_first]
    for cursor in ("after_id", "before_id"):
        if cursor in asked and asked[cursor] not in names:
            problem = f"{cursor}: no such model: {asked[cursor]}"
            return 400, sse.error_body("invalid_request_error", problem, request_id)
    return 200, _listed(newest_first, names, asked, int(limit))


def _listed(all_of_them: Sequence[Model], names: list[str], asked: Mapping[str, str], limit: int) -> dict[str, object]:
    if "before_id" in asked:
        end = names.index(asked["before_id"])
        start, more = max(0, end - limit), end > limit
    else:
        start = names.index(asked["after_id"]) + 1 if "after_id" in asked else 0
        end, more = start + limit, start + limit < len(names)
    page = [shown(model) for model in all_of_them[start:end]]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": more, "first_id": first, "last_id": last}


def shown(model: Model) -> dict[str, Any]:
    """Return a model in the API's shape."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": model.created_at,
        "deprecated_at": None,
        "retires_at": None,
        "lifecycle": "active",
        "line": model.family,
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
        "capabilities": _capabilities(model),
    }


def _capabilities(model: Model) -> dict[str, Any]:
    thinks = any(kind in model.thinking for kind in ("adaptive", "enabled"))
    return {
        "batch": _SUPPORTED,
        "citations": _SUPPORTED,
        "code_execution": _supported(model.json_schema),
        "context_management": {
            "supported": thinks,
            "clear_thinking_20251015": _supported(thinks),
            "clear_tool_uses_20250919": _supported(thinks),
            "compact_20260112": _supported("adaptive" in model.thinking),
        },
        "effort": {
            "supported": bool(model.effort_levels),
            **{level: _supported(level in model.effort_levels) for level in _EFFORTS},
        },
        "image_input": _SUPPORTED,
        "pdf_input": _SUPPORTED,
        "server_tools": {
            "supported": True,
            "code_execution": _supported(model.json_schema),
            "web_search": _SUPPORTED,
        },
        "structured_outputs": _supported(model.json_schema),
        "thinking": {"supported": thinks, "types": {kind: _supported(kind in model.thinking) for kind in _THINKING}},
    }


def _supported(supported: bool) -> dict[str, bool]:  # noqa: FBT001 - the one thing that is said
    return {"supported": supported}
