"""Change a stored job by a rule of the domain, again if somebody was faster."""

from collections.abc import Callable

from service.application.ports import Clock, JobStore
from service.domain.job import Job


def change_job(store: JobStore, job_id: str, change: Callable[[Job], Job]) -> Job:
    """Apply a change to the job as it is stored at that moment.

    The change may be computed several times; only one result is stored.

    Raises
    ------
    UnknownJobError
        If there is no such job.
    ThrombolensError
        Whatever ``change`` raises about the job as it now is.
    """
    while True:
        before = store.get(job_id)
        after = change(before)
        if store.replace(before, after):
            return after


def cancel_job(store: JobStore, job_id: str, clock: Clock) -> Job:
    """Ask for the end of a job: at once while it waits, at its next stage while it runs.

    Raises
    ------
    UnknownJobError
        If there is no such job.
    IllegalTransitionError
        If it has ended, or is being cancelled already.
    """
    return change_job(store, job_id, lambda job: job.cancel_requested(clock()))
