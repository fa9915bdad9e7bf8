"""The door for those who follow a job."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.concurrency import run_in_threadpool
from sse_starlette import EventSourceResponse, ServerSentEvent

from service.bootstrap.gateway import Gateway
from service.domain.job import Job
from service.entrypoints.api.job_routes import JobId
from service.entrypoints.api.job_schemas import JobView
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_routes import GatewayOf

router = APIRouter(prefix="/jobs", tags=["jobs"])

# A browser that lost the stream waits this long before it asks again.
RECONNECT_MS = 2000


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_description="A server-sent event `job` with each change, until the job has ended",
    response_class=EventSourceResponse,
    responses={
        200: {
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: 7\nevent: job\ndata: {"state": "RUNNING", ...}\n\n',
                }
            }
        },
        204: {"description": "The job has ended, and its last event was received before."},
        **documented(404, 422, 503),
    },
)
async def follow_job(
    job_id: JobId,
    gateway: GatewayOf,
    last_event_id: Annotated[
        int | None, Header(description="The last event received, when a stream is taken up again.")
    ] = None,
) -> Response:
    """Send the job as it is now and after each change. The last event shows how it ended."""
    job = await run_in_threadpool(gateway.database.get, job_id)
    if job.state.terminal and last_event_id == job.revision:
        return Response(status_code=204)
    return EventSourceResponse(_events(gateway, job, last_event_id))


async def _events(
    gateway: Gateway, job: Job, last_event_id: int | None
) -> AsyncIterator[ServerSentEvent]:
    sent = None if last_event_id != job.revision else JobView.of(job)
    while True:
        view = JobView.of(job)
        # A renewed lease is a new revision, but no news.
        if view != sent:
            yield ServerSentEvent(
                view.model_dump_json(), event="job", id=str(job.revision), retry=RECONNECT_MS
            )
            sent = view
        if job.state.terminal:
            return
        await asyncio.sleep(gateway.settings.event_interval_seconds)
        job = await run_in_threadpool(gateway.database.get, job.job_id)
