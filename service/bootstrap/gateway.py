"""Composition root of the light processes: receive studies, queue jobs, answer questions."""

import math
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from celery import Celery

from service.adapters.celery_queue import CeleryQueue, make_celery
from service.adapters.delivery_database import DeliveryDatabase
from service.adapters.destination_entries import AnyEntry, destination_of
from service.adapters.destination_files import read_destinations
from service.adapters.job_database import JobDatabase
from service.adapters.model_files import installed_models
from service.adapters.result_files import JobFolders
from service.adapters.upload_files import IncomingUpload
from service.application.change_job import cancel_job
from service.application.check_readiness import Readiness, check_readiness
from service.application.deliver_results import resend
from service.application.ports import Clock
from service.application.receive_study import receive_study
from service.application.recover_jobs import forget_old_jobs, recover_jobs
from service.application.sweep_orphans import discard_orphans, discard_stale_results
from service.bootstrap.arriving import Arrivals
from service.bootstrap.local_study import (
    classify_folder,
    model_name,
    site_overrides,
    upload_limits,
)
from service.bootstrap.recovery import RecoveryLoop
from service.domain.classification_report import ClassificationReport
from service.domain.delivery import Delivery
from service.domain.errors import NotDicomError, NoWorkerError, ThrombolensError
from service.domain.job import Job, JobLimits
from service.domain.model_spec import ModelSpec
from service.settings import Settings

# No upload and no writing of results takes so long.
UNFINISHED_KEPT_S = 86_400.0
DAY_S = 86_400.0
SWEEP_INTERVAL_S = 3600.0
# So long "not ready" is repeated: callers in a hurry do not queue up for the same answer.
FAILURE_KEPT_S = 2.0


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


class Gateway:
    """Everything a door needs that does not run the network.

    Parameters
    ----------
    settings : Settings
    clock : callable, optional
        What arrivals are timed by.

    Raises
    ------
    InvalidOverridesError, InvalidDestinationsError, InvalidSourcesError
        If the file of site overrides, of destinations or of sources cannot be understood.
    JobDatabaseError
        If the job database cannot be opened or upgraded.
    """

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings = settings
        self._overrides = site_overrides(settings)
        self.folders = JobFolders(settings.uploads_dir, settings.results_dir)
        self.destinations = configured_destinations(settings)
        self.database = JobDatabase(
            settings.database_address, [destination_of(each) for each in self.destinations]
        )
        self.database.upgrade()
        self.deliveries = DeliveryDatabase(self.database.engine)
        self.celery = build_celery(settings)
        self.queue = CeleryQueue(self.celery)
        self.arrivals = Arrivals(
            settings,
            jobs=self.database,
            folders=self.folders,
            queue=self.queue,
            clock=clock,
            overrides=self._overrides,
        )
        self.limits = job_limits(settings)
        self._answer: Readiness | ThrombolensError = NoWorkerError("no worker was asked yet")
        self._answered = -math.inf
        self._checking = threading.Lock()
        self._next_sweep = -math.inf

    def recovery(self) -> RecoveryLoop:
        """Return the loop that looks for jobs that were left behind."""
        return RecoveryLoop(self.recover, self.settings.recovery_interval_seconds)

    def close(self) -> None:
        """Close the connections."""
        self.celery.close()
        self.database.close()

    def incoming(self) -> IncomingUpload:
        """Return a place for an upload to arrive at."""
        return IncomingUpload(self.folders.uploads, upload_limits(self.settings))

    def models(self) -> tuple[ModelSpec, ...]:
        """Return the specifications of all installed models."""
        return installed_models(self.settings.models_dir)

    def model_name(self, wanted: str | None) -> str:
        """Return ``name:version`` of the wanted model, or of the default one.

        Raises
        ------
        UnknownModelError
            If it is not installed.
        """
        return model_name(self.settings, wanted)

    def receive(self, upload: Path, model: str) -> Job:
        """Make a job of a complete upload; see ``receive_study``."""
        return receive_study(
            upload,
            model,
            store=self.database,
            queue=self.queue,
            shelf=self.folders,
            clock=utc_now,
        )

    def classify(self, upload: Path, *, with_pixels: bool) -> ClassificationReport:
        """Say what would be used of an upload.

        Raises
        ------
        NotDicomError
            If no file is DICOM: what was sent is no study.
        InputError
            As for ``classify_folder``.
        """
        report = classify_folder(self.settings, upload, self._overrides, with_pixels=with_pixels)
        if not report.series and not report.damaged_files:
            raise NotDicomError(f"none of {report.ignored_files} files is a DICOM instance")
        return report

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job; see ``cancel_job``."""
        return cancel_job(self.database, job_id, utc_now)

    def resend(self, job_id: str, delivery_id: str) -> Delivery:
        """Begin a delivery once more; see ``resend``."""
        return resend(self.deliveries, job_id, delivery_id, utc_now)

    def readiness(self) -> Readiness:
        """Ask a worker for a tiny inference, or repeat an answer that is young enough.

        Raises
        ------
        NoWorkerError, BrokerUnavailableError, JobDatabaseError
            If the service is not ready.
        """
        asked = time.monotonic()
        with self._checking:
            if not self._answer_holds(asked):
                self._answer = self._check()
                self._answered = time.monotonic()
            answer = self._answer
        if isinstance(answer, ThrombolensError):
            raise answer.with_traceback(None)
        return answer

    def _answer_holds(self, asked: float) -> bool:
        """Whether the last answer is young, or was found while this caller waited for it."""
        failed = isinstance(self._answer, ThrombolensError)
        kept = FAILURE_KEPT_S if failed else self.settings.ready_cache_seconds
        return self._answered >= asked or time.monotonic() - self._answered <= kept

    def _check(self) -> Readiness | ThrombolensError:
        timeout = self.settings.ready_timeout_seconds
        try:
            return check_readiness(self.database, self.queue, utc_now, time.sleep, timeout)
        except ThrombolensError as exc:
            return exc

    def recover(self) -> None:
        """Help jobs that were left behind, forget old ones, sweep what crashes left."""
        recover_jobs(self.database, self.queue, self.limits, utc_now)
        self.arrivals.start_due()
        days = self.settings.retention_days
        if days is not None:
            forget_old_jobs(self.database, self.folders, utc_now, days)
            self.arrivals.forget_old(days)
        if time.monotonic() >= self._next_sweep:
            self._sweep(days)
            self._next_sweep = time.monotonic() + SWEEP_INTERVAL_S

    def _sweep(self, days: float | None) -> None:
        """Walk through all folders, which is too slow to be done all the time."""
        self.folders.sweep(UNFINISHED_KEPT_S)
        orphans_kept_s = None if days is None else max(UNFINISHED_KEPT_S, days * DAY_S)
        self.arrivals.sweep(UNFINISHED_KEPT_S, orphans_kept_s)
        discard_stale_results(self.database, self.folders, UNFINISHED_KEPT_S)
        if orphans_kept_s is not None:
            discard_orphans(self.database, self.folders, orphans_kept_s)


def configured_destinations(settings: Settings) -> tuple[AnyEntry, ...]:
    """Return the destinations of the file in the settings, none without one.

    Raises
    ------
    InvalidDestinationsError
        If the file cannot be understood.
    """
    return () if settings.destinations is None else read_destinations(settings.destinations)


def build_celery(settings: Settings) -> Celery:
    """Return the Celery application that the settings ask for."""
    broker = settings.broker_url
    return make_celery(
        broker.get_secret_value() if broker else None,
        broker_dir=settings.broker_dir,
        polling_seconds=settings.broker_polling_seconds,
        visibility_seconds=2 * settings.job_timeout_seconds,
    )


def job_limits(settings: Settings) -> JobLimits:
    """Return the limits of jobs that the settings ask for."""
    return JobLimits(
        lease_seconds=settings.lease_seconds,
        timeout_seconds=settings.job_timeout_seconds,
        max_attempts=settings.max_attempts,
        ring_again_seconds=settings.ring_again_seconds,
    )
