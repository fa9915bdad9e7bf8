"""What the API answers with, as pydantic models made from domain values."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.domain.job import Job, JobState
from service.domain.model_spec import ModelSpec
from service.domain.report import RESEARCH_USE_NOTICE
from service.domain.sequence import Role, SequenceLabel
from service.domain.study import ClassifiedVolume, DetectedSequences, StudyFacts

JOB_ID = "4f0c9b1e7a5d4c0f8a3b2d1e6f7a8b9c"
MOMENT = "2026-11-22T18:00:00Z"
JOB_EXAMPLE: dict[str, Any] = {
    "job_id": JOB_ID,
    "state": "RUNNING",
    "model": "upattllstm-thrombus:0.1.0",
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
    "links": {"self": f"/jobs/{JOB_ID}", "events": f"/jobs/{JOB_ID}/events"},
    "research_use_notice": RESEARCH_USE_NOTICE,
}
VOLUME_EXAMPLE: dict[str, Any] = {
    "volume_id": "1.2.826.0.1.3680043.8.498.1#magnitude",
    "series_instance_uid": "1.2.826.0.1.3680043.8.498.1",
    "series_number": 4,
    "series_description": "SWI",
    "split": {},
    "slices": 64,
    "label": "SWI",
    "confidence": 0.97,
    "evidence": [
        {
            "rule_id": "swi-image-type",
            "attribute": "ImageType",
            "value": "ORIGINAL\\PRIMARY\\M\\SWI",
            "label": "SWI",
            "weight": 4.0,
        }
    ],
    "role": "SUSC",
    "role_reason": "the only susceptibility-weighted volume",
    "rejection_code": None,
    "rejection_detail": None,
}
# Names of result files, and under which link they are found.
RESULT_LINKS = {
    "report": "report.json",
    "segmentation": "segmentation.dcm",
    "mask": "mask.nii.gz",
    "preview": "preview.png",
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
            links=_links(job),
        )


class JobList(BaseModel):
    """The newest jobs, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [JOB_EXAMPLE]}]})

    jobs: list[JobView]


class ModelView(BaseModel):
    """An installed model."""

    name: str
    version: str
    sha256: str
    roles: list[Role]
    threshold: float
    min_volume_mm3: float
    default: bool = Field(description="Used when a request names no model.")
    intended_use: str
    training_data: str
    expected_performance: dict[str, Any]

    @classmethod
    def of(cls, spec: ModelSpec, *, default: bool) -> Self:
        """Show a model."""
        return cls(
            name=spec.name,
            version=spec.version,
            sha256=spec.sha256,
            roles=list(spec.input.roles),
            threshold=spec.threshold,
            min_volume_mm3=spec.min_volume_mm3,
            default=default,
            intended_use=spec.intended_use,
            training_data=spec.training_data,
            expected_performance=dict(spec.expected_performance),
        )


class ModelList(BaseModel):
    """All installed models, by name and version."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "models": [
                        {
                            "name": "upattllstm-thrombus",
                            "version": "0.1.0",
                            "sha256": "0" * 64,
                            "roles": ["SUSC", "PHASE", "DWI", "ADC", "FLAIR", "TOF"],
                            "threshold": 0.5,
                            "min_volume_mm3": 5.0,
                            "default": True,
                            "intended_use": "research",
                            "training_data": "simulated studies",
                            "expected_performance": {},
                        }
                    ]
                }
            ]
        }
    )

    models: list[ModelView]


class EvidenceView(BaseModel):
    """One vote of the sequence detector."""

    rule_id: str
    attribute: str
    value: str
    label: SequenceLabel
    weight: float


class ClassifiedVolumeView(BaseModel):
    """One volume, what it is, and what it would be used for or why not."""

    volume_id: str
    series_instance_uid: str
    series_number: int | None
    series_description: str
    split: dict[str, str]
    slices: int
    label: SequenceLabel
    confidence: float
    evidence: list[EvidenceView]
    role: Role | None
    role_reason: str
    rejection_code: str | None
    rejection_detail: str | None

    @classmethod
    def of(cls, found: ClassifiedVolume) -> Self:
        """Show a classified volume."""
        volume, classification, rejection = found.volume, found.classification, found.rejection
        return cls(
            volume_id=volume.volume_id,
            series_instance_uid=volume.series.series_instance_uid,
            series_number=volume.series.series_number,
            series_description=volume.series.description,
            split=dict(volume.split),
            slices=len(volume.planes),
            label=classification.label,
            confidence=classification.confidence,
            evidence=[
                EvidenceView.model_validate(vote, from_attributes=True)
                for vote in classification.evidence
            ],
            role=found.role,
            role_reason=found.role_reason,
            rejection_code=rejection.code if rejection else None,
            rejection_detail=rejection.detail if rejection else None,
        )


class ClassificationView(BaseModel):
    """What would be used of a study, and why; nothing was analysed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "study_instance_uid": "1.2.826.0.1.3680043.8.498.9",
                    "volumes": [VOLUME_EXAMPLE],
                    "derived_roles": {},
                    "missing_roles": ["PHASE", "TOF"],
                    "ignored_files": 1,
                    "duplicate_instances": 0,
                    "research_use_notice": RESEARCH_USE_NOTICE,
                }
            ]
        }
    )

    study_instance_uid: str
    volumes: list[ClassifiedVolumeView]
    derived_roles: dict[Role, list[str]] = Field(
        description="Roles computed from several volumes, and the identifiers of these."
    )
    missing_roles: list[Role]
    ignored_files: int = Field(description="Files that are not DICOM.")
    duplicate_instances: int
    research_use_notice: str = RESEARCH_USE_NOTICE

    @classmethod
    def of(cls, study: StudyFacts, detected: DetectedSequences) -> Self:
        """Show a classified study."""
        return cls(
            study_instance_uid=study.study_instance_uid,
            volumes=[ClassifiedVolumeView.of(found) for found in detected.volumes],
            derived_roles={
                role: [found.volume.volume_id for found in sources]
                for role, sources in detected.derived_roles.items()
            },
            missing_roles=list(detected.missing_roles),
            ignored_files=study.ignored_files,
            duplicate_instances=study.duplicate_instances,
        )


class LiveView(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "live"}]})

    status: str = "live"


class ReadyView(BaseModel):
    """A worker analyses studies."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ready",
                    "evidence": "inference",
                    "execution_provider": "CPUExecutionProvider",
                    "checked_at": MOMENT,
                }
            ]
        }
    )

    status: str = "ready"
    evidence: str = Field(description="`inference`, or `running_job` where all workers are busy.")
    execution_provider: str | None
    checked_at: datetime


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
    results = {link: f"{base}/{link}" for link, name in RESULT_LINKS.items() if name in written}
    return {"self": base, "events": f"{base}/events", **results}
