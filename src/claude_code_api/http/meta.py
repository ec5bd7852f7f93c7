"""What the gateway says of itself: `/`, `/healthz`, `/health`, `/readyz`, `/docs`, `/openapi.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from claude_code_api import __version__
from claude_code_api.flow.ledger import store_refusal
from claude_code_api.flow.ports import Engine, EngineOffer, Store, StoreError
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.http.docs_page import docs_page
from claude_code_api.http.guards import AnyCaller, MonitorCaller
from claude_code_api.turn.errors import TurnRefusedError

# The page is text and style, nothing of it runs.
_DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


@dataclass(frozen=True, slots=True)
class Health:
    """Looks at the parts of the gateway."""

    engine: Engine
    runner: TurnRunner
    store: Store

    async def offer(self) -> tuple[EngineOffer | None, str | None]:
        """Ask the engine; its offer, or what is wrong."""
        try:
            return await self.engine.offer(), None
        except TurnRefusedError as refusal:
            return None, refusal.error.message

    async def _database(self) -> str:
        """Say which kind it is, or what is wrong with it."""
        try:
            await self.store.check()
        except StoreError as error:
            return store_refusal(error).error.message
        return self.store.name

    async def report(self) -> dict[str, Any]:
        """Describe everything, for somebody with a key."""
        offer, problem = await self.offer()
        credentials = self.engine.credentials
        if problem is None and credentials is None:
            problem = "No credentials for the model: set ANTHROPIC_API_KEY, or log in with `claude`."
        database = await self._database()
        if problem is None and database != self.store.name:
            problem = database
        status = "draining" if self.runner.draining else "degraded" if problem else "ok"
        return {
            "status": status,
            "version": __version__,
            "claude_version": offer.version if offer else None,
            "credentials": credentials,
            "database": database,
            "active_sessions": self.runner.admission.running,
            "waiting_requests": self.runner.admission.waiting,
            "problem": problem,
        }


def meta_routes(health: Health) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["gateway"])

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> Response:
        """Say one word: `ok` or `draining`. The only route without a key."""
        if health.runner.draining:
            return PlainTextResponse("draining", status_code=503)
        return PlainTextResponse("ok")

    @router.get("/readyz")
    async def readyz(_: AnyCaller) -> Response:
        """Say whether turns can be answered now, and if not, why."""
        report = await health.report()
        ready = report["status"] == "ok"
        return JSONResponse({"ready": ready, "problem": report["problem"]}, status_code=200 if ready else 503)

    @router.get("/health")
    async def get_health(_: MonitorCaller) -> dict[str, Any]:
        """Describe the gateway and the CLI behind it."""
        return await health.report()

    @router.get("/")
    async def index(request: Request, _: AnyCaller) -> dict[str, Any]:
        """List what there is."""
        app: FastAPI = request.app
        return {"name": "claude-code-api", "version": __version__, "documentation": "/docs", "endpoints": _routes(app)}

    @router.get("/openapi.json")
    async def openapi(request: Request, _: AnyCaller) -> dict[str, Any]:
        """Describe the endpoints in OpenAPI's terms."""
        app: FastAPI = request.app
        return app.openapi()

    @router.get("/docs", response_class=HTMLResponse)
    async def docs(request: Request, _: AnyCaller) -> Response:
        """Show the endpoints to a person."""
        app: FastAPI = request.app
        page = docs_page(app.openapi(), str(request.headers.get("host", "")))
        return HTMLResponse(page, headers={"content-security-policy": _DOCS_POLICY})

    return router


def _routes(app: FastAPI) -> list[str]:
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
