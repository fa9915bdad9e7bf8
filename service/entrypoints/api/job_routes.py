"""Doors for jobs: their state, their events, their results, their end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from service.bootstrap.gateway import Gateway
from service.domain.errors import ResultNotAvailableError
from service.domain.finding import StudyResult
from service.domain.job import Job
from service.domain.report import DetectionReport
from service.entrypoints.api.problems import documented
from service.entrypoints.api.schemas import JOB_ID, RESULT_LINKS, JobList, JobView
from service.entrypoints.api.study_routes import GatewayOf

router = APIRouter(prefix="/jobs", tags=["jobs"])

JobId = Annotated[str, PathParameter(description="Identifier of the job.", examples=[JOB_ID])]
# A browser that lost the stream waits this long before it asks again.
RECONNECT_MS = 2000

REPORT_EXAMPLE = {
    "application/json": {
        "example": {
            "schema_version": "1.0",
            "result": "no_thrombus_found",
            "findings": [],
            "missing_roles": ["TOF"],
            "warnings": [],
        }
    }
}


def binary(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses of a result file, and of its absence."""
    content = {
        media_type: {"schema": {"type": "string", "format": "binary"}, "example": "(binary)"}
    }
    return {200: {"description": description, "content": content}, **documented(404, 503)}


@router.get(
    "",
    summary="List jobs",
    response_description="The newest jobs, newest first",
    responses=documented(422, 503),
)
def list_jobs(
    gateway: GatewayOf,
    limit: Annotated[int, Query(ge=1, le=500, description="Most jobs to show.")] = 50,
) -> JobList:
    """Show the newest jobs, whatever their state."""
    return JobList(jobs=[JobView.of(job) for job in gateway.database.recent(limit)])


@router.get(
    "/{job_id}",
    summary="Show a job",
    response_description="State, stage, progress, timings, and the reason of a failure",
    responses=documented(404, 503),
)
def show_job(job_id: JobId, gateway: GatewayOf) -> JobView:
    """Show a job as it is at this moment, with every change of state so far."""
    return JobView.of(gateway.database.get(job_id))


@router.delete(
    "/{job_id}",
    status_code=202,
    summary="Cancel a job",
    response_description="The job: CANCELLED if it waited, CANCELLING if it runs",
    responses=documented(404, 409, 503),
)
def cancel_job(job_id: JobId, gateway: GatewayOf) -> JobView:
    """End a waiting job at once, a running one at its next stage; one that has ended stays."""
    return JobView.of(gateway.cancel(job_id))


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


async def _events(gateway: Gateway, job: Job, last_event_id: int | None) -> AsyncIterator[Any]:
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


@router.get(
    "/{job_id}/report",
    summary="Get the detection report",
    response_model=DetectionReport,
    response_class=FileResponse,
    response_description="What was found, and everything about how",
    responses={200: {"content": REPORT_EXAMPLE}, **documented(404, 503)},
)
def get_report(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the JSON report, which every succeeded job has, a negative one too."""
    return _result(gateway, job_id, "report", "application/json")


@router.get(
    "/{job_id}/segmentation",
    summary="Get the DICOM segmentation",
    response_class=FileResponse,
    responses=binary("application/dicom", "DICOM-SEG on the grid of the reference series"),
)
def get_segmentation(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the DICOM-SEG; a study without findings has none."""
    return _result(gateway, job_id, "segmentation", "application/dicom")


@router.get(
    "/{job_id}/mask",
    summary="Get the mask as NIfTI",
    response_class=FileResponse,
    responses=binary("application/gzip", "Gzipped NIfTI; each finding has its number"),
)
def get_mask(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the mask on the grid of the reference series."""
    return _result(gateway, job_id, "mask", "application/gzip")


@router.get(
    "/{job_id}/preview",
    summary="Get the key images",
    response_class=FileResponse,
    responses=binary("image/png", "One picture with the findings outlined"),
)
def get_preview(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the picture for people."""
    return _result(gateway, job_id, "preview", "image/png")


def _result(gateway: Gateway, job_id: str, link: str, media_type: str) -> FileResponse:
    job = gateway.database.get(job_id)
    name = RESULT_LINKS[link]
    path = _result_path(gateway, job, name)
    if path is None:
        raise ResultNotAvailableError(f"there is no {link}: {_why_not(job)}")
    return FileResponse(path, media_type=media_type, filename=f"{job_id}-{name}")


def _result_path(gateway: Gateway, job: Job, name: str) -> Path | None:
    if job.outcome is None or job.results_lease is None or name not in job.outcome.files:
        return None
    path = gateway.folders.results(job.job_id, job.results_lease) / name
    return path if path.is_file() else None


def _why_not(job: Job) -> str:
    if job.outcome is None:
        return f"the job is {job.state}"
    reasons: dict[str, str] = {
        StudyResult.NO_THROMBUS_FOUND: "no thrombus was found, and an empty one is never written",
        StudyResult.INSUFFICIENT_INPUT: "the study could not be analysed, its report says why",
    }
    return reasons.get(job.outcome.result, "its file was deleted")
