"""Arriving studies, and how the study of a job arrived, as the API shows them."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.domain.arrival import (
    Arrival,
    ArrivalPolicy,
    ArrivalState,
    JobArrival,
    LateSeries,
    StartReason,
)
from service.domain.sequence import Role

MOMENT = "2026-11-22T18:00:00Z"
OLDER, NEWER = "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "4f0c9b1e7a5d4c0f8a3b2d1e6f7a8b9c"
POLICY_EXAMPLE: dict[str, Any] = {
    "series_quiet_seconds": 60.0,
    "study_quiet_seconds": 300.0,
    "deadline_seconds": 3600.0,
    "early_start": ["SUSC", "DWI"],
    "late_series": "rerun",
}
ARRIVAL_EXAMPLE: dict[str, Any] = {
    "study_instance_uid": "1.2.826.0.1.3680043.8.498.9",
    "source": "scanner",
    "state": "COLLECTING",
    "policy": POLICY_EXAMPLE,
    "instances": 212,
    "new": 40,
    "duplicates": 3,
    "rounds": 1,
    "first_new_at": MOMENT,
    "last_seen_at": MOMENT,
    "starts_at": MOMENT,
    "job_id": OLDER,
}


class PolicyView(BaseModel):
    """How long a study is waited for."""

    series_quiet_seconds: float = Field(description="After which a series counts as complete.")
    study_quiet_seconds: float = Field(description="After which a study is started.")
    deadline_seconds: float = Field(description="After which it is started in any case.")
    early_start: list[Role] = Field(description="Roles that start it when they are complete.")
    late_series: LateSeries

    @classmethod
    def of(cls, policy: ArrivalPolicy) -> Self:
        """Show a policy."""
        return cls.model_validate(policy, from_attributes=True)


class JobArrivalView(BaseModel):
    """How the study of a job arrived, and why it was started when it was."""

    study_instance_uid: str
    source: str = Field(description="Name in the file of sources.")
    policy: PolicyView = Field(description="As it was when the study arrived.")
    reason: StartReason
    round: int = Field(description="1 for the first job of a study.")
    instances: int = Field(description="What this job analyses.")
    duplicates: int = Field(description="Instances that came once more, after the start too.")
    late: int = Field(description="Instances that came too late for this job.")
    supersedes: str | None = Field(description="The job before this one, of fewer instances.")
    superseded_by: str | None = Field(description="The job after this one, of more instances.")

    @classmethod
    def of(cls, arrival: JobArrival) -> Self:
        """Show the arrival of a job."""
        return cls.model_validate(arrival, from_attributes=True)


class ArrivalView(BaseModel):
    """What came of one study, at this moment."""

    model_config = ConfigDict(json_schema_extra={"examples": [ARRIVAL_EXAMPLE]})

    study_instance_uid: str
    source: str = Field(description="Who opened the round, by its name in the file of sources.")
    state: ArrivalState = Field(description="COLLECTING while there is something new.")
    policy: PolicyView
    instances: int = Field(description="Different MR images that came.")
    new: int = Field(description="Those of them that no job has.")
    duplicates: int
    rounds: int = Field(description="How often the study was started.")
    first_new_at: datetime | None
    last_seen_at: datetime | None
    starts_at: datetime | None = Field(description="When it starts if nothing more comes.")
    job_id: str | None = Field(description="The job of the last start.")

    @classmethod
    def of(cls, arrival: Arrival) -> Self:
        """Show an arrival."""
        return cls(
            study_instance_uid=arrival.study_instance_uid,
            source=arrival.source.name,
            state=arrival.state,
            policy=PolicyView.of(arrival.source.policy),
            instances=arrival.instances,
            new=arrival.new,
            duplicates=arrival.duplicates,
            rounds=arrival.rounds,
            first_new_at=arrival.first_new_at,
            last_seen_at=arrival.last_seen_at,
            starts_at=arrival.due_at(),
            job_id=arrival.job_id,
        )


class ArrivalList(BaseModel):
    """The arrivals to which something came last, the last one first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"arrivals": [ARRIVAL_EXAMPLE]}]})

    arrivals: list[ArrivalView]


FETCH_EXAMPLE: dict[str, Any] = {
    "dicomweb": "archive",
    "study_instance_uid": "1.2.826.0.1.3680043.8.498.9",
}


class FetchRequest(BaseModel):
    """A study that is to be fetched from an archive and analysed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [FETCH_EXAMPLE]})

    dicomweb: str = Field(description="Name of a source of kind dicomweb.")
    # Components of digits (PS3.5 section 9.1), so that it is no step in a path.
    study_instance_uid: Annotated[str, Field(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$")]
