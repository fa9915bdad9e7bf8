"""What takes arriving studies in, whichever process they come to."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from service.adapters.arrival_database import ArrivalDatabase
from service.adapters.arrival_files import ArrivalFolders
from service.adapters.arrived_header import read_identity
from service.adapters.destination_files import read_secret
from service.adapters.fetch_dicomweb import DicomwebArchive
from service.adapters.instance_files import is_whole
from service.adapters.job_database import JobDatabase
from service.adapters.result_files import JobFolders
from service.adapters.source_entries import SourceFile, StowSource, source_of
from service.adapters.source_files import read_sources
from service.adapters.upload_files import IncomingUpload
from service.application.fetch_study import fetch_study
from service.application.ports import Clock, JobQueue
from service.application.receive_instance import InstanceReceiver
from service.application.start_studies import StudyStarter, forget_old_arrivals
from service.application.sweep_arrivals import Ages, discard_unrecorded
from service.bootstrap.local_study import model_name, roles_of_files, upload_limits
from service.domain.arrival import ArrivalLimits, Source
from service.domain.errors import (
    BusyError,
    InvalidDestinationsError,
    InvalidSourcesError,
    UnknownSourceError,
)
from service.domain.job import Job
from service.domain.override import SiteOverride
from service.settings import Settings


@dataclass(frozen=True)
class StowSender:
    """Who may send by STOW-RS, and the secret that must be said, if there is one."""

    source: Source
    bearer: str | None = field(repr=False)


class Arrivals:
    """Everything about arriving studies that is the same for every door.

    Raises
    ------
    InvalidSourcesError
        If the file of sources cannot be understood.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        jobs: JobDatabase,
        folders: JobFolders,
        queue: JobQueue,
        clock: Clock,
        overrides: Sequence[SiteOverride],
    ) -> None:
        self.sources = SourceFile(version=1, sources=[])
        if settings.sources is not None:
            self.sources = read_sources(settings.sources)
        self.database = ArrivalDatabase(jobs.engine)
        self.folders = ArrivalFolders(settings.arrivals_dir, folders.uploads)
        self._settings = settings
        self._uploads = folders.uploads
        self._clock = clock
        limits = ArrivalLimits(
            settings.max_files, settings.max_upload_bytes, settings.arrival_reserve_bytes
        )
        self.receiver = InstanceReceiver(
            store=self.database,
            shelf=self.folders,
            identify=read_identity,
            is_whole=partial(is_whole, max_bytes=settings.max_file_bytes),
            limits=limits,
            clock=clock,
        )
        self._starter = StudyStarter(
            arrivals=self.database,
            jobs=jobs,
            instances=self.folders,
            uploads=folders,
            queue=queue,
            clock=clock,
            model=lambda: model_name(settings),
            roles_of=lambda paths: roles_of_files(settings, paths, overrides),
        )
        # Secrets are read here, so that a missing one is told when the process starts.
        self.stow = None if self.sources.stow is None else _stow_sender(self.sources.stow)
        self._archives = {entry.name: DicomwebArchive(entry) for entry in self.sources.dicomweb}
        self._fetches = threading.BoundedSemaphore(settings.max_fetches)

    def start_due(self) -> tuple[Job, ...]:
        """Start what is complete; see ``StudyStarter.start_due``."""
        return self._starter.start_due()

    def forget_old(self, days: float) -> None:
        """Delete what arrived of old studies; see ``forget_old_arrivals``."""
        forget_old_arrivals(self.database, self.folders, self._clock, days)

    def sweep(self, unfinished_s: float, unknown_s: float | None) -> None:
        """Delete what was left half, or never recorded, so long ago.

        Parameters
        ----------
        unknown_s : float or None
            The same where nothing at all of the study is known; None keeps that.
        """
        self.folders.sweep(unfinished_s)
        discard_unrecorded(self.database, self.folders, Ages(unfinished_s, unknown_s))

    @contextmanager
    def incoming(self) -> Iterator[IncomingUpload]:
        """Yield a place where several instances may arrive before they are received."""
        with IncomingUpload(self._uploads, upload_limits(self._settings)) as incoming:
            yield incoming

    def fetch(self, source: str, study_instance_uid: str) -> Job:
        """Fetch a study from an archive and start it; see ``fetch_study``.

        Raises
        ------
        UnknownSourceError
            If there is no source of kind dicomweb of this name.
        BusyError
            If as many studies are being fetched as may be at a time.
        """
        archive = self._archives.get(source)
        if archive is None:
            raise UnknownSourceError(f"there is no source {source!r} of kind dicomweb")
        with self._turn_to_fetch():
            return fetch_study(
                study_instance_uid,
                archive=archive,
                incoming=self.incoming,
                store=self.database,
                receiver=self.receiver,
                starter=self._starter,
            )

    @contextmanager
    def _turn_to_fetch(self) -> Iterator[None]:
        """Let only so many fetch at a time: each has a thread of the API for minutes."""
        if not self._fetches.acquire(blocking=False):
            most = self._settings.max_fetches
            raise BusyError(f"{most} studies are being fetched, no more may be at a time")
        try:
            yield
        finally:
            self._fetches.release()


def _stow_sender(entry: StowSource) -> StowSender:
    try:
        bearer = None if entry.bearer_file is None else read_secret(entry.bearer_file)
    except InvalidDestinationsError as exc:
        raise InvalidSourcesError(f"source {entry.name}: {exc}") from exc
    return StowSender(source_of(entry), bearer)
