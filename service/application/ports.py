"""What the use cases need from the world, as protocols."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydicom.dataset import Dataset

from service.domain.delivery import Answer, Delivery
from service.domain.destination import ObjectKind
from service.domain.job import Job, Outcome
from service.domain.study import StudyFacts

# Returns the present time in UTC.
Clock = Callable[[], datetime]


class JobStore(Protocol):
    """The truth about jobs."""

    def add(self, job: Job) -> None:
        """Keep a new job."""
        ...

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises
        ------
        UnknownJobError
            If there is none of this identifier.
        """
        ...

    def recent(self, limit: int) -> tuple[Job, ...]:
        """Return the newest jobs, newest first."""
        ...

    def unfinished(self) -> tuple[Job, ...]:
        """Return all jobs that have not ended, oldest first."""
        ...

    def ended_before(self, moment: datetime) -> tuple[str, ...]:
        """Return identifiers of jobs that ended before a moment (UTC), their deliveries too."""
        ...

    def forget(self, job_id: str) -> None:
        """Delete a job and all that is known about it."""
        ...

    def replace(self, before: Job, after: Job) -> bool:
        """Store a change if the stored job still has the revision of ``before``.

        What must be delivered because of this change is stored with it, or not at all.

        Returns
        -------
        bool
            False if somebody else changed the job in between; nothing is stored then.
        """
        ...


class DeliveryStore(Protocol):
    """The truth about deliveries."""

    def get(self, delivery_id: str) -> Delivery:
        """Return a delivery.

        Raises
        ------
        UnknownDeliveryError
            If there is none of this identifier.
        """
        ...

    def of_job(self, job_id: str) -> tuple[Delivery, ...]:
        """Return the deliveries of a job."""
        ...

    def due(self, destination: str, now: datetime, limit: int) -> tuple[Delivery, ...]:
        """Return what may be sent to a destination now, longest due first.

        Those whose sender's lease ran out are among them.
        """
        ...

    def open_elsewhere(self, known: tuple[str, ...]) -> tuple[Delivery, ...]:
        """Return open deliveries to any other destination than these."""
        ...

    def replace(self, before: Delivery, after: Delivery) -> bool:
        """Store a change if the stored delivery still has the revision of ``before``."""
        ...


@dataclass(frozen=True)
class ResultObject:
    """One object as it is sent.

    Attributes
    ----------
    content : bytes
        The whole file: DICOM (PS3.10), or JSON for the report.
    sop_class_uid : str or None
        None for the report, which is no DICOM object.
    sop_instance_uid : str
        For the report, that of the structured report that says the same.
    """

    kind: ObjectKind
    content: bytes = field(repr=False)
    sop_class_uid: str | None
    sop_instance_uid: str
    series_instance_uid: str | None
    study_instance_uid: str


@dataclass(frozen=True)
class Parcel:
    """Objects of one delivery that are sent together."""

    delivery_id: str
    job_id: str
    objects: tuple[ResultObject, ...]


class ResultSender(Protocol):
    """Knows how to send to one destination; every call ends, whatever the receiver does."""

    def send(self, parcel: Parcel) -> tuple[Answer, ...]:
        """Send objects; return what the receiver said about each of them.

        Raises
        ------
        DeliveryError
            If it said nothing about any.
        """
        ...


class ResultConfirmer(Protocol):
    """Knows how to ask a destination what it holds; every call ends."""

    def confirm(self, objects: Sequence[ResultObject]) -> tuple[Answer, ...]:
        """Ask whether the receiver holds objects that it took; REFUSED means it does not.

        An object without an answer remains what it was.

        Raises
        ------
        DeliveryError
            If it cannot be asked, or does not answer in time.
        """
        ...


class JobQueue(Protocol):
    """The doorbell of the workers."""

    def ring(self, job_id: str) -> None:
        """Tell a worker that a job waits.

        Raises
        ------
        BrokerUnavailableError
            If the broker cannot be reached.
        """
        ...


@dataclass(frozen=True)
class CanaryAnswer:
    """What a worker said to a canary: the provider that ran it, or why it could not."""

    execution_provider: str | None
    failure_code: str | None


class CanaryStore(Protocol):
    """Where questions for a sign of life, and the answers, are kept."""

    def ask_canary(self, canary_id: str, now: datetime) -> None:
        """Note that a worker was asked."""
        ...

    def answer_canary(self, canary_id: str, answer: CanaryAnswer, now: datetime) -> None:
        """Note a worker's answer."""
        ...

    def canary_answer(self, canary_id: str) -> CanaryAnswer | None:
        """Return what a worker answered, or None if none did yet."""
        ...


class CanaryQueue(Protocol):
    """The doorbell, for canaries."""

    def ring_canary(self, canary_id: str, expires_s: float) -> None:
        """Ask any worker for a tiny inference, within some seconds.

        Raises
        ------
        BrokerUnavailableError
            If the broker cannot be reached.
        """
        ...


class StageProgress(Protocol):
    """What an analysis tells while it runs."""

    def stage(self, stage: str, fraction: float) -> None:
        """Say that a stage begins and which fraction of the whole, 0..1, lies before it.

        Raises
        ------
        JobCancelledError, JobTimeoutError, LeaseLostError
            If the analysis must end.
        """
        ...


class StudyAnalysis(Protocol):
    """Analyses one uploaded study and leaves the results in a folder."""

    def __call__(
        self,
        upload: Path,
        model: str,
        results: Path,
        progress: StageProgress,
        earlier: Path | None = None,
    ) -> Outcome:
        """Read files under ``upload``, use ``name:version``, write the new folder ``results``.

        ``earlier`` is the folder of results, of less of the same study, that these supersede.
        """
        ...


class JobFiles(Protocol):
    """Where uploads and results of jobs lie."""

    def upload(self, job_id: str) -> Path:
        """Return the folder of a job's upload."""
        ...

    def results(self, job_id: str, lease: str) -> Path:
        """Return the folder of the results written under one lease."""
        ...

    def discard_results(self, job_id: str, lease: str) -> None:
        """Delete the results written under one lease, if there are any."""
        ...

    def discard(self, job_id: str) -> None:
        """Delete upload and results of a job."""
        ...


class Study(Protocol):
    """A study that was read: header facts, and data sets on demand."""

    @property
    def facts(self) -> StudyFacts:
        """Header facts of all series."""
        ...

    @property
    def conflicting_duplicates(self) -> int:
        """Instances that came more than once with different contents."""
        ...

    def datasets(self, series_instance_uid: str) -> list[Dataset]:
        """Return the instances of one series with their pixels."""
        ...
