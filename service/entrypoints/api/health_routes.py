"""Doors for those who operate the service: health and metrics."""

from fastapi import APIRouter, Response

from service.entrypoints.api.health_schemas import LiveView, ReadyView
from service.entrypoints.api.metrics import CONTENT_TYPE, exposition, measure
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_routes import GatewayOf

router = APIRouter(tags=["operation"])


@router.get(
    "/health/live",
    summary="Is the process alive?",
    response_description="It is",
    responses=documented(),
)
async def live() -> LiveView:
    """Answer without looking at anything else, and without waiting for a thread."""
    return LiveView()


@router.get(
    "/health/ready",
    summary="Is there a worker that can analyse?",
    response_description="There is, and how that is known",
    responses=documented(503),
)
def ready(gateway: GatewayOf) -> ReadyView:
    """Have a worker run a tiny inference; the answer holds for some seconds."""
    return ReadyView.model_validate(gateway.readiness(), from_attributes=True)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "The text format of Prometheus",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'thrombolens_jobs{state="QUEUED"} 2.0\n',
                }
            },
        },
        **documented(503),
    },
)
def metrics(gateway: GatewayOf) -> Response:
    """Count jobs by state, age of the oldest waiting one, stages' seconds, failures, requests."""
    return Response(exposition(measure(gateway)), media_type=CONTENT_TYPE)
