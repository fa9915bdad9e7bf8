"""Doors for jobs: their state and their end."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter

from service.entrypoints.api.job_schemas import JOB_ID, JobList, JobView
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_routes import GatewayOf

router = APIRouter(prefix="/jobs", tags=["jobs"])

JobId = Annotated[str, PathParameter(description="Identifier of the job.", examples=[JOB_ID])]


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
