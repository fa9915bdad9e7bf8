"""Composition root of the process that listens for studies and starts those that are complete."""

import os
import threading

import structlog

from service.adapters.commitment_scp import CommitmentReporter
from service.adapters.store_scp import StoreScp
from service.application.ports import Clock
from service.bootstrap.gateway import Gateway, utc_now
from service.bootstrap.processes import when_told_to_stop
from service.bootstrap.recovery import RecoveryLoop
from service.domain.errors import ConfigurationError
from service.domain.job import Job
from service.settings import Settings

_log = structlog.get_logger(__name__)


class ListenerService:
    """Listens for C-STORE, where there is a listener, and starts studies of every source.

    Raises
    ------
    ConfigurationError
        If there is no file of sources, or it or a file it names cannot be used, or if there is no
        model to start studies with.
    JobDatabaseError
        If the job database cannot be opened or upgraded.
    """

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        if settings.sources is None:
            raise ConfigurationError("THROMBOLENS_SOURCES is not set: nobody to listen to")
        self.gateway = Gateway(settings, clock)
        self.gateway.model_name(None)
        self._settings = settings
        self._scp = self._store_scp()
        self._ended = threading.Event()

    def _store_scp(self) -> StoreScp | None:
        arrivals = self.gateway.arrivals
        if arrivals.sources.listener is None:
            return None
        return StoreScp(
            arrivals.sources.listener,
            arrivals.sources,
            arrivals.receiver,
            reporter=CommitmentReporter(arrivals.database.committed, arrivals.sources.c_store),
            incoming=arrivals.folders.incoming,
            max_object_bytes=self._settings.max_file_bytes,
        )

    def open(self) -> None:
        """Begin to listen; returns at once.

        Raises
        ------
        InvalidSourcesError
            If the port cannot be listened on.
        """
        if self._scp is not None:
            self._scp.start()
            _log.info("listener_started", pid=os.getpid(), port=self._scp.port)

    def close(self) -> None:
        """Stop listening and close the connections."""
        if self._scp is not None:
            self._scp.stop()
        self.gateway.close()

    def start_due(self) -> tuple[Job, ...]:
        """Start what is complete now."""
        return self.gateway.arrivals.start_due()

    def end(self) -> None:
        """Make ``run`` return soon."""
        self._ended.set()

    def run(self) -> None:
        """Listen, and start studies, until told to end."""
        interval = self._settings.arrival_interval_seconds
        self.open()
        try:
            with self.gateway.recovery(), RecoveryLoop(self.start_due, interval):
                self._ended.wait()
        finally:
            self.close()


def run_listener(settings: Settings) -> None:
    """Listen in this process until told to stop (SIGINT, SIGTERM)."""
    service = ListenerService(settings)
    when_told_to_stop(service.end)
    service.run()
