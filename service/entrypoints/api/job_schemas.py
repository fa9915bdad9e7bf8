"""A job as the API shows it."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.domain.job import Job, JobState
from service.domain.report import RESEARCH_USE_NOTICE
from service.domain.result_file import ResultFile
from service.entrypoints.api.arrival_schemas import JobArrivalView

JOB_ID = "4f0c9b1e7a5d4c0f8a3b2d1e6f7a8b9c"
MOMENT = "2026-11-22T18:00:00Z"
JOB_EXAMPLE: dict[str, Any] = {
    "job_id": JOB_ID,
    "state": "RUNNING",
    "model": "upattllstm-thrombus:1.0.0",
    "stage": "INFER",
    "progress": 0.5,
    "attempts": 1,
    "result": None,
    "failure": None,
    "created_at": MOMENT,
    "started_at": MOMENT,
    "finished_at": None,
    "timings": {
        "waited_s": 0.2,
        "ran_s": None,
        "stages": [{"attempt": 1, "stage": "READ", "started_at": MOMENT, "seconds": 1.2}],
    },
    "transitions": [{"before": None, "after": "QUEUED", "at": MOMENT, "reason": "received"}],
    "arrival": None,
    "links": {
        "self": f"/jobs/{JOB_ID}",
        "events": f"/jobs/{JOB_ID}/events",
        "deliveries": f"/jobs/{JOB_ID}/deliveries",
    },
    "research_use_notice": RESEARCH_USE_NOTICE,
}


class FailureView(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    fixed_by: str


class StageView(BaseModel):
    """One stage of one attempt; ``seconds`` is null while it runs."""

    attempt: int
    stage: str
    started_at: datetime
    seconds: float | None


class TimingsView(BaseModel):
    """Where the time went, in seconds; null while it still goes."""

    waited_s: float | None = Field(description="From the upload's end to the last start.")
    ran_s: float | None = Field(description="From the last start to the end.")
    stages: list[StageView]


class TransitionView(BaseModel):
    """One change of state."""

    before: JobState | None
    after: JobState
    at: datetime
    reason: str


class JobView(BaseModel):
    """A job as it is at this moment."""

    model_config = ConfigDict(json_schema_extra={"examples": [JOB_EXAMPLE]})

    job_id: str
    state: JobState
    model: str = Field(description="name:version of the network.")
    stage: str | None = Field(description="The stage that runs, or ran last.")
    progress: float = Field(ge=0, le=1, description="Fraction of the whole that is done.")
    attempts: int = Field(description="How often a worker began it.")
    result: str | None = Field(description="The study's result, once the job succeeded.")
    failure: FailureView | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    timings: TimingsView
    transitions: list[TransitionView]
    arrival: JobArrivalView | None = Field(
        description="How the study arrived; null if it was sent as one upload."
    )
    links: dict[str, str] = Field(description="Where to find the job, its events and results.")
    research_use_notice: str = RESEARCH_USE_NOTICE

    @classmethod
    def of(cls, job: Job) -> Self:
        """Show a job."""
        failure = job.failure
        return cls(
            job_id=job.job_id,
            state=job.state,
            model=job.model,
            stage=job.stage,
            progress=job.progress,
            attempts=job.attempts,
            result=job.outcome.result if job.outcome else None,
            failure=FailureView.model_validate(failure, from_attributes=True) if failure else None,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            timings=_timings(job),
            transitions=[
                TransitionView.model_validate(step, from_attributes=True)
                for step in job.transitions
            ],
            arrival=JobArrivalView.of(job.arrival) if job.arrival else None,
            links=_links(job),
        )


class JobList(BaseModel):
    """The newest jobs, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [JOB_EXAMPLE]}]})

    jobs: list[JobView]


def _timings(job: Job) -> TimingsView:
    started, finished = job.started_at, job.finished_at
    return TimingsView(
        waited_s=(started - job.created_at).total_seconds() if started else None,
        ran_s=(finished - started).total_seconds() if started and finished else None,
        stages=[StageView.model_validate(run, from_attributes=True) for run in job.stages],
    )


def _links(job: Job) -> dict[str, str]:
    base = f"/jobs/{job.job_id}"
    written = job.outcome.files if job.outcome else ()
    results = {file.link: f"{base}/{file.link}" for file in ResultFile if file in written}
    if ResultFile.REPORT in written:
        # Made from the report when it is asked for.
        results["fhir"] = f"{base}/fhir"
    own = {"self": base, "events": f"{base}/events", "deliveries": f"{base}/deliveries"}
    return {**own, **results}
