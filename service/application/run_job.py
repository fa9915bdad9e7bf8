"""Run one job under a lease: claim, analyse, keep the results, or say why not."""

import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from service.application.background import Background
from service.application.change_job import change_job
from service.application.ports import Clock, JobFiles, JobStore, StudyAnalysis
from service.domain.errors import (
    IllegalTransitionError,
    JobCancelledError,
    JobDatabaseError,
    JobTimeoutError,
    LeaseLostError,
    ThrombolensError,
    UnknownJobError,
)
from service.domain.job import Failure, Job, JobLimits, JobState

_log = structlog.get_logger(__name__)


class JobRunner:
    """Runs jobs of one worker, one at a time.

    Parameters
    ----------
    analyse : StudyAnalysis
        The clinical path.
    abandon : callable
        Ends this process. Called when an analysis went on for a lease's time after its deadline:
        nothing else can stop a thread that hangs.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        files: JobFiles,
        analyse: StudyAnalysis,
        clock: Clock,
        limits: JobLimits,
        abandon: Callable[[], None],
    ) -> None:
        self._store = store
        self._files = files
        self._analyse = analyse
        self._clock = clock
        self._limits = limits
        self._abandon = abandon

    def run(self, job_id: str) -> None:
        """Run a job if it waits; do nothing if it does not, for the bell may ring twice.

        Raises
        ------
        Exception
            An error that is not ours, after the job was marked as failed.
        """
        job = self._claim(job_id)
        if job is None or job.lease is None:
            return
        holder = LeaseHolder(job, job.lease.token, self._store, self._clock, self._limits)
        with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=job.attempts):
            _log.info("job_started", model=job.model)
            try:
                with Heartbeat(holder, self._abandon):
                    self._attempt(job, holder)
            finally:
                self._tidy(job_id, holder.token)

    def _claim(self, job_id: str) -> Job | None:
        now = self._clock()
        lease = self._limits.lease(uuid.uuid4().hex, now)
        try:
            return change_job(self._store, job_id, lambda job: job.claimed(lease, now))
        except (IllegalTransitionError, UnknownJobError) as exc:
            _log.info("job_not_claimed", job_id=job_id, code=exc.code)
            return None

    def _attempt(self, job: Job, holder: "LeaseHolder") -> None:
        """Analyse, and end the job in one of the ways there are."""
        upload = self._files.upload(job.job_id)
        results = self._files.results(job.job_id, holder.token)
        try:
            earlier = self._earlier(job)
            outcome = self._analyse(upload, job.model, results, holder, earlier)
            holder.change(lambda held, now: held.succeeded(holder.token, outcome, now))
            _log.info("job_succeeded", result=outcome.result)
        except JobCancelledError:
            holder.change(lambda held, now: held.cancelled(now))
            _log.info("job_cancelled")
        except (LeaseLostError, JobDatabaseError) as exc:
            # Not ours to end: the recovery of some process decides when the lease runs out.
            _log.warning("job_left", code=exc.code)
        except ThrombolensError as exc:
            self._fail(holder, exc)
        except Exception as exc:
            self._fail(holder, exc)
            raise

    def _earlier(self, job: Job) -> Path | None:
        """Return the newest results that those of this job supersede, if there are any.

        A job in between may have failed, or may not have ended.
        """
        while job.arrival is not None and job.arrival.supersedes is not None:
            try:
                job = self._store.get(job.arrival.supersedes)
            except UnknownJobError:
                # Deleted as an old one, and those before it are older.
                return None
            if job.results_lease is not None:
                return self._files.results(job.job_id, job.results_lease)
        return None

    def _fail(self, holder: "LeaseHolder", error: Exception) -> None:
        failure = Failure.of(error)
        try:
            holder.fail(failure)
            _log.warning("job_failed", code=failure.code)
        except LeaseLostError as exc:
            _log.warning("job_left", code=exc.code)

    def _tidy(self, job_id: str, token: str) -> None:
        """Delete what this lease wrote unless it became the job's results."""
        if self._store.get(job_id).results_lease != token:
            self._files.discard_results(job_id, token)


class LeaseHolder:
    """The worker's side of a lease; also what the analysis tells its progress to."""

    def __init__(
        self, job: Job, token: str, store: JobStore, clock: Clock, limits: JobLimits
    ) -> None:
        self.token = token
        self.job_id = job.job_id
        self.clock = clock
        self.limits = limits
        self._store = store
        self.deadline: datetime = limits.deadline(job)

    def stage(self, stage: str, fraction: float) -> None:
        """Begin a stage; see ``StageProgress``."""
        self.change(lambda job, now: job.entered(self.token, str(stage), fraction, now))

    def renew(self) -> None:
        """Hold the job for one lease's time more."""
        self.change(lambda job, now: job.renewed(self.limits.lease(self.token, now)))

    def fail(self, failure: Failure) -> None:
        """End the job as failed, or as cancelled if that was asked for."""

        def ended(job: Job, now: datetime) -> Job:
            if job.state is JobState.CANCELLING:
                return job.cancelled(now)
            return job.failed(failure, now)

        self.change(ended)

    def change(self, rule: Callable[[Job, datetime], Job]) -> None:
        """Change the job now, if it is still under this lease.

        Raises
        ------
        LeaseLostError
            If it is not.
        """

        def guarded(job: Job) -> Job:
            job.require_lease(self.token)
            return rule(job, self.clock())

        change_job(self._store, self.job_id, guarded)


class Heartbeat(Background):
    """Renews a lease from a thread until the deadline; then fails the job.

    The analysis meets ``LeaseLostError`` at its next stage. If it does not come to one within a
    lease's time, the process is abandoned.
    """

    def __init__(self, holder: LeaseHolder, abandon: Callable[[], None]) -> None:
        super().__init__("heartbeat")
        self._holder = holder
        self._abandon = abandon

    def run(self) -> None:
        """Renew until the deadline."""
        while not self.ended.wait(self._pause()):
            if self._holder.clock() >= self._holder.deadline:
                self._time_out()
                return
            try:
                self._holder.renew()
            except LeaseLostError:
                return
            except JobDatabaseError as exc:
                _log.warning("lease_not_renewed", job_id=self._holder.job_id, code=exc.code)

    def _pause(self) -> float:
        """Seconds to the next renewal or to the deadline, whichever comes first."""
        left = (self._holder.deadline - self._holder.clock()).total_seconds()
        return max(0.0, min(self._holder.limits.lease_seconds / 3, left))

    def _time_out(self) -> None:
        limit = self._holder.limits.timeout_seconds
        failure = Failure.of(JobTimeoutError(f"the analysis took longer than {limit:g} s"))
        try:
            self._holder.fail(failure)
        except (LeaseLostError, JobDatabaseError) as exc:
            _log.warning("timeout_not_stored", job_id=self._holder.job_id, code=exc.code)
        _log.error("job_timed_out", job_id=self._holder.job_id)
        if not self.ended.wait(self._holder.limits.lease_seconds):
            self._abandon()
