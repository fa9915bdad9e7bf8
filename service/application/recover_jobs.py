"""Jobs that were left behind: queued again, failed with a reason, or announced again."""

from datetime import datetime, timedelta

import structlog

from service.application.ports import Clock, JobFiles, JobQueue, JobStore
from service.application.receive_study import ring
from service.domain.job import Failure, Job, JobLimits, JobState

_log = structlog.get_logger(__name__)

WORKER_LOST = "WORKER_LOST"
TIMEOUT = "TIMEOUT"
OPERATOR = "operator of the service"


def recover_jobs(store: JobStore, queue: JobQueue, limits: JobLimits, clock: Clock) -> None:
    """Look at every job that has not ended, and help those that nobody works on.

    Any number of processes may do this at the same time: each change is stored once.

    Raises
    ------
    JobDatabaseError
        If the database cannot be reached.
    """
    for job in store.unfinished():
        helped = helped_job(job, limits, clock())
        if helped is None or not store.replace(job, helped):
            continue
        if helped.state is JobState.QUEUED:
            ring(queue, job.job_id)
        if helped.state is not job.state:
            _log.warning("job_recovered", job_id=job.job_id, state=helped.state)


def helped_job(job: Job, limits: JobLimits, now: datetime) -> Job | None:
    """Return the job as it should be, or None if it is in good hands."""
    if job.state is JobState.QUEUED:
        return job.rung(now) if _bell_is_old(job, limits, now) else None
    if job.lease is None or job.lease.expires_at > now:
        return None
    if job.state is JobState.CANCELLING:
        return job.cancelled(now)
    # When recovery looks says nothing: it may have been stopped too. A worker that lived until the
    # deadline renewed its lease up to it.
    if job.lease.expires_at >= limits.deadline(job):
        return job.failed(_timed_out(limits), now)
    if job.attempts >= limits.max_attempts:
        return job.failed(_worker_lost(job), now)
    return job.released(now, "the worker was lost").rung(now)


def forget_old_jobs(store: JobStore, files: JobFiles, clock: Clock, days: float) -> None:
    """Delete jobs that ended so many days ago, with their uploads and results."""
    for job_id in store.ended_before(clock() - timedelta(days=days)):
        files.discard(job_id)
        store.forget(job_id)
        _log.info("job_forgotten", job_id=job_id)


def _bell_is_old(job: Job, limits: JobLimits, now: datetime) -> bool:
    patience = timedelta(seconds=limits.ring_again_seconds)
    return job.rung_at is None or now - job.rung_at >= patience


def _timed_out(limits: JobLimits) -> Failure:
    return Failure(TIMEOUT, f"the analysis took longer than {limits.timeout_seconds:g} s", OPERATOR)


def _worker_lost(job: Job) -> Failure:
    return Failure(WORKER_LOST, f"the worker was lost in each of {job.attempts} attempts", OPERATOR)
