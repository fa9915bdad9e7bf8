"""Folders that no job stands for: left by a process that died between the disk and the database."""

from typing import Protocol

import structlog

from service.application.ports import JobStore
from service.domain.errors import UnknownJobError
from service.domain.job import Job

_log = structlog.get_logger(__name__)


class JobShelf(Protocol):
    """Where uploads and results lie, one folder a job."""

    def job_ids(self, older_than_s: float) -> tuple[str, ...]:
        """Return the jobs whose folders were last changed so long ago."""
        ...

    def discard(self, job_id: str) -> None:
        """Delete upload and results of a job."""
        ...

    def keep_only_results(self, job_id: str, lease: str | None) -> None:
        """Delete the results of a job that were written under any other lease."""
        ...


def discard_stale_results(store: JobStore, shelf: JobShelf, older_than_s: float) -> None:
    """Delete results of workers whose jobs ended with another's.

    Raises
    ------
    JobDatabaseError
        If the database cannot be reached.
    """
    for job_id in shelf.job_ids(older_than_s):
        job = _known(store, job_id)
        if job is not None and job.state.terminal:
            shelf.keep_only_results(job_id, job.results_lease)


def discard_orphans(store: JobStore, shelf: JobShelf, older_than_s: float) -> None:
    """Delete folders that no job stands for.

    Only for installations that delete old studies anyway: where another database was connected
    to an old folder, all of it looks like this.

    Raises
    ------
    JobDatabaseError
        If the database cannot be reached.
    """
    for job_id in shelf.job_ids(older_than_s):
        if _known(store, job_id) is None:
            shelf.discard(job_id)
            _log.warning("orphan_discarded", job_id=job_id)


def _known(store: JobStore, job_id: str) -> Job | None:
    try:
        return store.get(job_id)
    except UnknownJobError:
        return None
