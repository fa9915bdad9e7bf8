"""A complete upload becomes a job, once."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from service.application.ports import Clock, JobQueue, JobStore
from service.domain.errors import BrokerUnavailableError
from service.domain.job import Job

_log = structlog.get_logger(__name__)


class UploadShelf(Protocol):
    """Where complete uploads are kept."""

    def accept(self, upload: Path, job_id: str) -> None:
        """Move a complete upload to its job's folder, in one step."""
        ...

    def discard(self, job_id: str) -> None:
        """Delete whatever is kept for a job."""
        ...


def receive_study(
    upload: Path, model: str, *, store: JobStore, queue: JobQueue, shelf: UploadShelf, clock: Clock
) -> Job:
    """Keep the upload, store a queued job, ring the workers.

    A broker that cannot be reached does not fail the request: the job is in the database, and
    the bell is rung again later.

    Parameters
    ----------
    upload : Path
        Folder that holds all files of the upload; it is moved.
    model : str
        ``name:version`` of an installed model.

    Raises
    ------
    JobDatabaseError
        If the job cannot be stored; the upload is deleted then.
    """
    now = clock()
    job = Job.queued(uuid.uuid4().hex, model, now).rung(now)
    keep_job(upload, job, add=store.add, queue=queue, shelf=shelf)
    return job


def keep_job(
    upload: Path, job: Job, *, add: Callable[[Job], None], queue: JobQueue, shelf: UploadShelf
) -> None:
    """Keep an upload and its new job, both or none, and ring the workers.

    Parameters
    ----------
    add : callable
        Stores the job; if it raises, the upload is deleted.
    """
    shelf.accept(upload, job.job_id)
    kept = False
    try:
        add(job)
        kept = True
    finally:
        if not kept:
            shelf.discard(job.job_id)
    ring(queue, job.job_id)
    _log.info("job_queued", job_id=job.job_id, model=job.model)


def ring(queue: JobQueue, job_id: str) -> None:
    """Ring for a job; a broker that does not answer is noted, not raised."""
    try:
        queue.ring(job_id)
    except BrokerUnavailableError:
        _log.warning("broker_unavailable", job_id=job_id)
