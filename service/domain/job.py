"""A job's life as values: states, the table of allowed transitions, leases, and what happened.

Every change makes a new ``Job``. The job database stores it only if nobody changed the job in
between (``revision``), so the rules below hold for any number of processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from service.domain.arrival import JobArrival
from service.domain.errors import (
    IllegalTransitionError,
    JobCancelledError,
    LeaseLostError,
    ThrombolensError,
)


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return not TRANSITIONS[self]


# A job is made QUEUED: an upload that is not complete is no job yet.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    # Back to QUEUED when the lease runs out: the worker died.
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.QUEUED, JobState.CANCELLING}
    ),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


@dataclass(frozen=True)
class Transition:
    """One change of state.

    Attributes
    ----------
    before : JobState or None
        None for the first one.
    after : JobState
    at : datetime
        UTC.
    reason : str
        Why, for people; never holds identities.
    lease : str or None
        Token of the worker's lease that made or ended it.
    """

    before: JobState | None
    after: JobState
    at: datetime
    reason: str
    lease: str | None = None


@dataclass(frozen=True)
class StageRun:
    """One stage of one attempt; times are UTC, ``finished_at`` is None while it runs."""

    attempt: int
    stage: str
    started_at: datetime
    finished_at: datetime | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class Lease:
    """The right of one worker to run a job until a time (UTC)."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Failure:
    """Why a job failed: stable code, a sentence without identities, and who can fix it."""

    code: str
    message: str
    fixed_by: str

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Describe an error; of a foreign one only its type is told, it may hold anything."""
        if isinstance(error, ThrombolensError):
            return cls(error.code, str(error), error.fixed_by)
        return cls(
            ThrombolensError.code,
            f"unexpected {type(error).__name__} while the study was analysed",
            ThrombolensError.fixed_by,
        )


@dataclass(frozen=True)
class Outcome:
    """What a succeeded job has: the study's result and the names of the files written."""

    result: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class JobLimits:
    """How long and how often a job may be tried.

    Attributes
    ----------
    lease_seconds : float
        A worker that is silent this long has lost its job.
    timeout_seconds : float
        A job that runs longer fails.
    max_attempts : int
        A job whose worker was lost this often fails.
    ring_again_seconds : float
        A job that waits longer is announced to the broker again.
    """

    lease_seconds: float
    timeout_seconds: float
    max_attempts: int
    ring_again_seconds: float

    def lease(self, token: str, now: datetime) -> Lease:
        """Return a lease that begins now."""
        return Lease(token, now + timedelta(seconds=self.lease_seconds))

    def deadline(self, job: "Job") -> datetime:
        """Return when the running attempt of a job must have ended."""
        begun = job.started_at or job.created_at
        return begun + timedelta(seconds=self.timeout_seconds)


@dataclass(frozen=True)
class Job:
    """One study to analyse with one model.

    Attributes
    ----------
    job_id : str
        32 hexadecimal digits.
    model : str
        ``name:version``, resolved when the job was made, so that a retry uses the same one.
    revision : int
        Grows by one with every stored change.
    attempts : int
        How often a worker claimed it.
    lease : Lease or None
        Present exactly while RUNNING or CANCELLING. After success ``results_lease`` keeps its
        token: the results of that lease, and of no other, are the job's.
    rung_at : datetime or None
        When the broker was last told about it.
    stage, progress
        The stage that runs and the fraction of the whole, 0..1, that came before it.
    arrival : JobArrival or None
        How the study arrived; None if it was sent as one upload.
    """

    job_id: str
    model: str
    created_at: datetime
    state: JobState = JobState.QUEUED
    revision: int = 0
    attempts: int = 0
    lease: Lease | None = None
    results_lease: str | None = None
    started_at: datetime | None = None
    rung_at: datetime | None = None
    stage: str | None = None
    progress: float = 0.0
    outcome: Outcome | None = None
    failure: Failure | None = None
    transitions: tuple[Transition, ...] = ()
    stages: tuple[StageRun, ...] = field(default=(), repr=False)
    arrival: JobArrival | None = None

    @classmethod
    def queued(
        cls, job_id: str, model: str, now: datetime, arrival: JobArrival | None = None
    ) -> Self:
        """Make a new job whose upload is complete."""
        reason = "received" if arrival is None else f"received, started by: {arrival.reason}"
        first = Transition(None, JobState.QUEUED, now, reason)
        return cls(job_id, model, now, transitions=(first,), arrival=arrival)

    @property
    def finished_at(self) -> datetime | None:
        """When it came to its end (UTC)."""
        return self.transitions[-1].at if self.state.terminal else None

    def moved(self, after: JobState, now: datetime, reason: str) -> "Job":
        """Change the state by the table, and note it.

        Raises
        ------
        IllegalTransitionError
            If the table does not allow it.
        """
        if after not in TRANSITIONS[self.state]:
            raise IllegalTransitionError(f"job {self.job_id} is {self.state}, it cannot be {after}")
        token = self.lease.token if self.lease else None
        step = Transition(self.state, after, now, reason, token)
        return replace(self, state=after, transitions=(*self.transitions, step))

    def rung(self, now: datetime) -> "Job":
        """Note that the broker was told."""
        return replace(self, rung_at=now)

    def claimed(self, lease: Lease, now: datetime) -> "Job":
        """Give the job to a worker."""
        running = replace(self, lease=lease, attempts=self.attempts + 1, started_at=now)
        return running.moved(JobState.RUNNING, now, f"attempt {running.attempts}")

    def renewed(self, lease: Lease) -> "Job":
        """Extend the lease.

        Raises
        ------
        LeaseLostError
            If the job is not under this lease.
        """
        self.require_lease(lease.token)
        return replace(self, lease=lease)

    def entered(self, token: str, stage: str, fraction: float, now: datetime) -> "Job":
        """Begin a stage; the one before it is finished.

        Raises
        ------
        JobCancelledError
            If the caller asked for an end.
        LeaseLostError
            If the job is not under this lease.
        """
        self.require_lease(token)
        if self.state is JobState.CANCELLING:
            raise JobCancelledError(f"job {self.job_id} was cancelled before {stage}")
        run = StageRun(self.attempts, stage, now)
        closed = self._closed_stages(now)
        return replace(self, stage=stage, progress=fraction, stages=(*closed, run))

    def succeeded(self, token: str, outcome: Outcome, now: datetime) -> "Job":
        """End with results; those written under this lease become the job's.

        Raises
        ------
        JobCancelledError
            If the caller asked for an end.
        LeaseLostError
            If the job is not under this lease.
        """
        self.require_lease(token)
        if self.state is JobState.CANCELLING:
            raise JobCancelledError(f"job {self.job_id} was cancelled before its results were kept")
        done = self._ended(JobState.SUCCEEDED, now, outcome.result)
        return replace(done, outcome=outcome, results_lease=token, progress=1.0, stage=None)

    def failed(self, failure: Failure, now: datetime) -> "Job":
        """End without results."""
        return replace(self._ended(JobState.FAILED, now, failure.code), failure=failure)

    def cancel_requested(self, now: datetime) -> "Job":
        """Ask for an end: at once while it waits, at the next stage while it runs."""
        if self.state is JobState.QUEUED:
            return self._ended(JobState.CANCELLED, now, "cancelled while waiting")
        return self.moved(JobState.CANCELLING, now, "asked for by the caller")

    def cancelled(self, now: datetime) -> "Job":
        """End because the caller asked for it."""
        return self._ended(JobState.CANCELLED, now, "cancelled while running")

    def released(self, now: datetime, reason: str) -> "Job":
        """Put back among the waiting jobs: its worker is gone."""
        waiting = self._ended(JobState.QUEUED, now, reason)
        return replace(waiting, stage=None, progress=0.0, started_at=None, rung_at=None)

    def require_lease(self, token: str) -> None:
        """Check that the job is under this lease.

        Raises
        ------
        LeaseLostError
            If it is not.
        """
        if self.lease is None or self.lease.token != token:
            raise LeaseLostError(f"job {self.job_id} is not under the lease of this worker")

    def _closed_stages(self, now: datetime) -> tuple[StageRun, ...]:
        if not self.stages or self.stages[-1].finished_at is not None:
            return self.stages
        return (*self.stages[:-1], replace(self.stages[-1], finished_at=now))

    def _ended(self, after: JobState, now: datetime, reason: str) -> "Job":
        """Move to a state in which no worker has the job."""
        moved = self.moved(after, now, reason)
        return replace(moved, lease=None, stages=self._closed_stages(now))
