"""Composition root of the process that delivers: one thread a destination, so none waits."""

import os
import threading
from collections.abc import Callable

import structlog

from service.adapters.delivery_database import DeliveryDatabase
from service.adapters.heartbeat import beat
from service.adapters.job_database import JobDatabase
from service.adapters.result_files import JobFolders
from service.adapters.result_objects import read_objects
from service.adapters.senders import open_channel
from service.application.deliver_results import Channel, Deliverer, give_up_strays
from service.application.ports import ResultObject
from service.bootstrap.gateway import configured_destinations, utc_now
from service.bootstrap.processes import when_told_to_stop
from service.domain.delivery import Delivery
from service.domain.errors import (
    ConfigurationError,
    ResultNotAvailableError,
    ThrombolensError,
)
from service.settings import Settings

_log = structlog.get_logger(__name__)

# sysexits.h: an internal software error. Whoever started the process starts another one.
ABANDONED = 70
# A thread that sends may finish what it does for so long after the process was told to stop.
GRACE_S = 5.0
STRAYS_INTERVAL_S = 3600.0
BEAT_INTERVAL_S = 10.0


class DeliveryService:
    """Delivers to every destination of the settings until told to end.

    Raises
    ------
    ConfigurationError
        If there is no file of destinations, or it, or a file or port it names, cannot be used.
    JobDatabaseError
        If the job database cannot be opened or upgraded.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.destinations is None:
            raise ConfigurationError("THROMBOLENS_DESTINATIONS is not set: nobody to deliver to")
        self._settings = settings
        self._channels = [open_channel(each) for each in configured_destinations(settings)]
        self._folders = JobFolders(settings.uploads_dir, settings.results_dir)
        self._database = JobDatabase(settings.database_address)
        self._database.upgrade()
        self._store = DeliveryDatabase(self._database.engine)
        self._ended = threading.Event()
        self._broken = threading.Event()

    def end(self) -> None:
        """Make ``run`` return soon."""
        self._ended.set()

    def run(self) -> bool:
        """Deliver until told to end; return whether nothing went wrong that should not."""
        names = tuple(channel.destination.name for channel in self._channels)
        loops = [self._loop(channel) for channel in self._channels]
        loops += [lambda: self._give_up_strays(names), self._keep_beating]
        threads = [
            threading.Thread(target=self._guarded, args=(loop,), daemon=True) for loop in loops
        ]
        for thread in threads:
            thread.start()
        _log.info("delivery_started", pid=os.getpid(), destinations=names)
        self._ended.wait()
        for thread in threads:
            thread.join(GRACE_S)
        for channel in self._channels:
            channel.close()
        if not any(thread.is_alive() for thread in threads):
            self._database.close()
        return not self._broken.is_set()

    def _guarded(self, loop: Callable[[], None]) -> None:
        """Run a loop; one that breaks ends the process, for its destination would get nothing."""
        try:
            loop()
        except Exception:
            _log.exception("delivery_crashed")
            self._broken.set()
            raise
        finally:
            self._ended.set()

    def _loop(self, channel: Channel) -> Callable[[], None]:
        deliverer = Deliverer(
            channel=channel,
            store=self._store,
            read=self._read,
            clock=utc_now,
            lease_seconds=self._settings.lease_seconds,
            abandon=_abandon,
        )

        def loop() -> None:
            while not self._ended.is_set():
                self._try(lambda: deliverer.deliver_due(self._ended.is_set))
                self._ended.wait(self._settings.delivery_interval_seconds)

        return loop

    def _give_up_strays(self, names: tuple[str, ...]) -> None:
        while not self._ended.is_set():
            self._try(lambda: give_up_strays(self._store, names, utc_now()))
            self._ended.wait(STRAYS_INTERVAL_S)

    def _keep_beating(self) -> None:
        while not self._ended.is_set():
            self._try(self._beat)
            self._ended.wait(BEAT_INTERVAL_S)

    def _beat(self) -> None:
        """Show that the process is well: a loop that broke ends it, so the database is left."""
        self._database.check()
        beat(self._settings.heartbeat_file)

    def _try(self, step: Callable[[], object]) -> None:
        """Do something that the database may prevent for a while."""
        try:
            step()
        except ThrombolensError as exc:
            _log.warning("delivery_interrupted", code=exc.code)

    def _read(self, delivery: Delivery) -> tuple[ResultObject, ...]:
        job = self._database.get(delivery.job_id)
        if job.results_lease is None:
            raise ResultNotAvailableError(f"job {job.job_id} has no results")
        folder = self._folders.results(job.job_id, job.results_lease)
        return read_objects(folder, [each.kind for each in delivery.objects])


def run_deliveries(settings: Settings) -> int:
    """Deliver in this process until told to stop (SIGINT, SIGTERM); return its exit status."""
    service = DeliveryService(settings)
    when_told_to_stop(service.end)
    return 0 if service.run() else ABANDONED


def _abandon() -> None:
    """End this process at once: an attempt hangs, and nothing else stops a thread."""
    _log.critical("delivery_abandoned", pid=os.getpid())
    os._exit(ABANDONED)
