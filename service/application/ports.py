"""What the use cases need from the world, as protocols."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydicom.dataset import Dataset

from service.domain.arrival import (
    Arrival,
    ArrivalLimits,
    ArrivedInstance,
    Receipt,
    Source,
    Start,
)
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


class ArrivalStore(Protocol):
    """The truth about what arrived."""

    def holds(self, study_instance_uid: str, sop_instance_uid: str) -> bool:
        """Whether an instance of a study came before."""
        ...

    def record(
        self, instance: ArrivedInstance, source: Source, limits: ArrivalLimits, now: datetime
    ) -> Receipt:
        """Note an instance; say what it is to its study.

        Raises
        ------
        LimitExceededError
            If the study would be larger than allowed; nothing is noted then.
        """
        ...

    def record_refusal(self, source: str, code: str) -> None:
        """Count an instance that was refused."""
        ...

    def collecting(self) -> tuple[Arrival, ...]:
        """Return the arrivals that have something new."""
        ...

    def get(self, study_instance_uid: str) -> Arrival | None:
        """Return an arrival, or None if nothing of that study came."""
        ...

    def instances(self, start: Start) -> tuple[str, ...]:
        """Return the SOP Instance UIDs of what a start puts into its job."""
        ...

    def end_round(self, start: Start, job: Job) -> bool:
        """Keep the new job of a start and end the round, all or nothing.

        Returns
        -------
        bool
            False if somebody else ended the round, or if the study is not quiet after all.
        """
        ...

    def idle_since(self, moment: datetime) -> tuple[str, ...]:
        """Return studies of which nothing is new, nor came after a moment, nor has a job."""
        ...

    def forget(self, study_instance_uid: str) -> None:
        """Delete all that is known about what arrived of a study."""
        ...


class Incoming(Protocol):
    """Where several instances come to, piece by piece, before they are received."""

    def begin_file(self) -> None:
        """Begin a file; the one before it is complete."""
        ...

    def write(self, chunk: bytes) -> None:
        """Append to the file that was begun last.

        Raises
        ------
        LimitExceededError
            If more comes than is allowed.
        """
        ...

    def files(self) -> tuple[Path, ...]:
        """Complete the last file and return all."""
        ...


class InstanceShelf(Protocol):
    """Where the files of arrived instances lie."""

    def free_bytes(self) -> int:
        """Return how much room the disk has."""
        ...

    def keep(self, file: Path, instance: ArrivedInstance) -> None:
        """Move a complete file to its place, for good: on disk when this returns.

        Raises
        ------
        StorageError
            If the disk does not take it.
        """
        ...

    def remove(self, instance: ArrivedInstance) -> None:
        """Delete the file of an instance that was kept, if there is one."""
        ...

    def path(self, study_instance_uid: str, sop_instance_uid: str) -> Path:
        """Return where an instance lies."""
        ...

    def gather(self, study_instance_uid: str, sop_instance_uids: Sequence[str]) -> Path:
        """Return a new folder with these instances; they are not copied.

        Raises
        ------
        StorageError
            If the disk does not take it.
        """
        ...

    def discard(self, study_instance_uid: str) -> None:
        """Delete all instances of a study."""
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
