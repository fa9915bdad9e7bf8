"""Studies that are complete by the policy of their source become jobs, once."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from service.application.arrival_ports import ArrivalStore, InstanceShelf
from service.application.ports import Clock, JobQueue, JobStore
from service.application.receive_study import UploadShelf, keep_job
from service.domain.arrival import (
    Arrival,
    JobArrival,
    RolesFilled,
    Start,
    StartReason,
    due_start,
    fetched_start,
)
from service.domain.errors import StudyNotFoundError, ThrombolensError
from service.domain.job import Job, JobState
from service.domain.sequence import Role

_log = structlog.get_logger(__name__)

# After these, somebody who asks for a study wants it to be tried again.
_FRUITLESS = (JobState.FAILED, JobState.CANCELLED)


class RoundOverError(ThrombolensError):
    """Somebody else ended the round, or the study was not quiet after all."""

    code = "ROUND_OVER"
    fixed_by = "nobody"


@dataclass(frozen=True)
class StudyStarter:
    """Starts studies; any number of processes may do so at the same time.

    Parameters
    ----------
    uploads : UploadShelf
        Where the job's study lies.
    model : callable
        Returns ``name:version`` of the model for a new job.
    roles_of : callable
        Returns the roles that files fill, by their headers alone.
    """

    arrivals: ArrivalStore
    jobs: JobStore
    instances: InstanceShelf
    uploads: UploadShelf
    queue: JobQueue
    clock: Clock
    model: Callable[[], str]
    roles_of: Callable[[Sequence[Path]], frozenset[Role]]
    # What was looked at in vain, by study: series and how much of them.
    _looked: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict, init=False)

    def start_due(self) -> tuple[Job, ...]:
        """Start every study whose time has come; return the new jobs.

        A study that cannot be started does not hold up the others.

        Raises
        ------
        JobDatabaseError
            If the arrivals cannot be read.
        """
        collecting = self.arrivals.collecting()
        known = {arrival.study_instance_uid for arrival in collecting}
        for study in self._looked.keys() - known:
            # Another thread of this process may look after the same.
            self._looked.pop(study, None)
        found = (self._try(arrival) for arrival in collecting)
        return tuple(job for job in found if job is not None)

    def start_fetched(self, study_instance_uid: str) -> Job:
        """Start a study that somebody asked for; one of which a job has everything has it already.

        Raises
        ------
        StudyNotFoundError
            If nothing of it that can be analysed ever came.
        StorageError, JobDatabaseError
            If the job cannot be kept.
        """
        while True:
            arrival = self.arrivals.get(study_instance_uid)
            if arrival is None or not arrival.instances:
                raise StudyNotFoundError("there is no MR image of this study")
            unanalysed = arrival.new or arrival.ignored
            if not unanalysed and arrival.job_id is not None:
                job = self.jobs.get(arrival.job_id)
                if job.state not in _FRUITLESS:
                    return job
            try:
                return self._start(fetched_start(arrival))
            except RoundOverError:
                continue

    def _try(self, arrival: Arrival) -> Job | None:
        try:
            start = due_start(arrival, self.clock(), self._roles_filled(arrival))
            return None if start is None else self._start(start)
        except RoundOverError:
            return None
        except ThrombolensError as exc:
            _log.warning("study_not_started", source=arrival.source.name, code=exc.code)
            return None
        except Exception:  # noqa: BLE001 - it is logged, and the other studies are started
            _log.exception("study_not_started", source=arrival.source.name)
            return None

    def _start(self, start: Start) -> Job:
        now = self.clock()
        study = start.arrival.study_instance_uid
        job = Job.queued(uuid.uuid4().hex, self.model(), now, JobArrival.of(start)).rung(now)
        upload = self.instances.gather(study, self.arrivals.instances(start))

        def add(new: Job) -> None:
            if not self.arrivals.end_round(start, new):
                raise RoundOverError("the round of the study is over")

        keep_job(upload, job, add=add, queue=self.queue, shelf=self.uploads)
        _log.info(
            "study_started",
            job_id=job.job_id,
            source=start.arrival.source.name,
            reason=start.reason.value,
            instances=start.instances,
        )
        return job

    def _roles_filled(self, arrival: Arrival) -> RolesFilled:
        """Return what looks at the headers of complete series, once for what there is of them."""

        def filled(series: tuple[str, ...], roles: tuple[Role, ...]) -> bool:
            sizes = {each.series_instance_uid: each.instances for each in arrival.series}
            seen = tuple((uid, sizes[uid]) for uid in series)
            if self._looked.get(arrival.study_instance_uid) == seen:
                return False
            complete = Start(arrival, StartReason.EARLY, series)
            uids = self.arrivals.instances(complete)
            paths = [self.instances.path(arrival.study_instance_uid, uid) for uid in uids]
            if self.roles_of(paths) >= set(roles):
                return True
            # Only now: what could not be read, or not be started, is looked at again.
            self._looked[arrival.study_instance_uid] = seen
            return False

        return filled


def forget_old_arrivals(
    store: ArrivalStore, shelf: InstanceShelf, clock: Clock, days: float
) -> None:
    """Delete what arrived of studies whose jobs are forgotten, and to which nothing came since."""
    moment = clock() - timedelta(days=days)
    for study in store.idle_since(moment):
        # Something may have come since the look; then it is no longer idle.
        store.forget(study, moment, partial(shelf.bury, study))
    shelf.discard_buried()
