"""GET /v1/models: which models there are, in OpenAI's shape with what more is known beside it, or in Anthropic's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request

from claude_code_api.dialects.fields import shown
from claude_code_api.flow.access import Caller
from claude_code_api.flow.catalogue import Catalogue, Model
from claude_code_api.http.errors import from_anthropics_client
from claude_code_api.http.guards import TurnCaller
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid

# Anthropic's own.
_DEFAULT_PAGE: Final = 20
_LARGEST_PAGE: Final = 1000


def model_routes(catalogue: Catalogue) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("")
    async def list_models(request: Request, caller: TurnCaller) -> dict[str, Any]:
        """List every model that a request may name; in pages where `anthropic-version` is sent."""
        models = await _models(catalogue, caller)
        if from_anthropics_client(request.scope):
            return _anthropic_page(models, request)
        return {"object": "list", "data": [_entry(model) for model in models]}

    @router.get("/capabilities")
    async def list_capabilities(caller: TurnCaller) -> dict[str, Any]:
        """List what is known of each model: context, prices, what it can do."""
        return {"object": "list", "data": [_capabilities(model) for model in await _models(catalogue, caller)]}

    @router.get("/{model_id:path}")
    async def get_model(model_id: str, request: Request, caller: TurnCaller) -> dict[str, Any]:
        """Describe one model, found by its id or by an alias."""
        model = await catalogue.find(model_id)
        if model is None or model not in await _models(catalogue, caller):
            message = f"The model {model_id!r} does not exist; GET /v1/models lists the ones that do."
            raise TurnRefusedError(TurnError(ErrorKind.MODEL_NOT_FOUND, message, source="client", param="model"))
        if from_anthropics_client(request.scope):
            return _anthropic_entry(model)
        return {**_entry(model), "id": model_id, "claude_model": model.id}

    return router


async def _models(catalogue: Catalogue, caller: Caller) -> tuple[Model, ...]:
    """The ones that the caller may use."""
    return await (catalogue.models() if caller.models is None else catalogue.among(caller.models))


def _entry(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_s,
        "owned_by": "anthropic",
        "display_name": model.name,
        "aliases": list(model.aliases),
        "context_window": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "pricing": {"input_usd_per_mtok": model.input_usd, "output_usd_per_mtok": model.output_usd},
    }


def _capabilities(model: Model) -> dict[str, Any]:
    return {
        **_entry(model),
        "capabilities": {
            "streaming": True,
            "vision": True,
            "thinking": model.thinking,
            "effort_levels": list(model.effort_levels),
        },
    }


# Anthropic's shape


def _anthropic_entry(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": datetime.fromtimestamp(model.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
    }


def _anthropic_page(models: Sequence[Model], request: Request) -> dict[str, Any]:
    limit = _limit(request.query_params.get("limit"))
    before, after = request.query_params.get("before_id"), request.query_params.get("after_id")
    if before and after:
        raise invalid("Send `before_id` or `after_id`, not both.", param="before_id")
    if before:
        candidates = models[: _place(models, before, "before_id")]
        page = candidates[-limit:]
    else:
        candidates = models[_place(models, after, "after_id") + 1 :] if after else models
        page = candidates[:limit]
    return {
        "data": [_anthropic_entry(model) for model in page],
        "has_more": len(candidates) > len(page),
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_PAGE
    # More digits than the limit has are not worth converting.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_LARGEST_PAGE))):
        raise invalid(f"`limit` must be a number from 1 to {_LARGEST_PAGE}.", param="limit")
    limit = int(text)
    if not 1 <= limit <= _LARGEST_PAGE:
        raise invalid(f"`limit` must be a number from 1 to {_LARGEST_PAGE}.", param="limit")
    return limit


def _place(models: Sequence[Model], id_: str, field: str) -> int:
    for index, model in enumerate(models):
        if model.id == id_:
            return index
    raise invalid(f'`{field}` names no model of the list: "{shown(id_)}".', param=field)
