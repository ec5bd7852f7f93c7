"""GET /v1/models: which models there are, in OpenAI's shape with what more is known beside it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from claude_code_api.flow.catalogue import Catalogue, Model
from claude_code_api.http.guards import GuardedCaller
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError


def model_routes(catalogue: Catalogue) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("")
    async def list_models(_: GuardedCaller) -> dict[str, Any]:
        """List every model that a request may name."""
        return {"object": "list", "data": [_entry(model) for model in await catalogue.models()]}

    @router.get("/capabilities")
    async def list_capabilities(_: GuardedCaller) -> dict[str, Any]:
        """List what is known of each model: context, prices, what it can do."""
        return {"object": "list", "data": [_capabilities(model) for model in await catalogue.models()]}

    @router.get("/{model_id:path}")
    async def get_model(model_id: str, _: GuardedCaller) -> dict[str, Any]:
        """Describe one model, found by its id or by an alias."""
        model = await catalogue.find(model_id)
        if model is None:
            message = f"The model {model_id!r} does not exist; GET /v1/models lists the ones that do."
            raise TurnRefusedError(TurnError(ErrorKind.MODEL_NOT_FOUND, message, source="client", param="model"))
        return {**_entry(model), "id": model_id, "claude_model": model.id}

    return router


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
