"""The REST API as an ASGI application."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import __version__
from service.bootstrap.gateway import Gateway
from service.domain.report import RESEARCH_USE_NOTICE
from service.entrypoints.api import (
    arrival_routes,
    delivery_routes,
    event_routes,
    health_routes,
    job_routes,
    openapi,
    problems,
    result_routes,
    stow_routes,
    study_routes,
)
from service.entrypoints.api.metrics import request_seconds

_log = structlog.get_logger(__name__)


def create_app(gateway: Gateway) -> FastAPI:
    """Return the application; while it runs it also looks for jobs that were left behind."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with gateway.recovery():
            yield
        gateway.close()

    app = FastAPI(
        title="Thrombolens",
        version=__version__,
        summary="Finds and outlines stroke thrombi on brain MR studies.",
        description=f"{RESEARCH_USE_NOTICE} DICOM in; DICOM-SEG and a JSON report out.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
    )
    app.state.gateway = gateway
    problems.install(app)
    for door in (
        study_routes,
        stow_routes,
        arrival_routes,
        job_routes,
        event_routes,
        result_routes,
        delivery_routes,
        health_routes,
    ):
        app.include_router(door.router)
    app.add_middleware(RequestLog)
    openapi.install(app)
    return app


class RequestLog:
    """Writes one log record and one measurement a request, by route, never by path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            _note(scope, status, time.perf_counter() - begun)


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unknown")
    method = scope["method"]
    request_seconds.labels(method, route, str(status)).observe(seconds)
    _log.info("request", method=method, route=route, status=status, seconds=round(seconds, 3))
