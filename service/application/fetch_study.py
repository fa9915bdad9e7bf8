"""Fetch a study that somebody asked for from an archive, and start it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from service.application.arrival_ports import ArrivalStore, Incoming
from service.application.receive_instance import InstanceReceiver
from service.application.start_studies import StudyStarter
from service.domain.arrival import Source
from service.domain.errors import SourceError, StudyNotFoundError
from service.domain.job import Job


class StudyArchive(Protocol):
    """Knows how to fetch from one archive; every call ends."""

    @property
    def source(self) -> Source:
        """The archive as a source."""
        ...

    def series(self, study_instance_uid: str) -> Mapping[str, frozenset[str]]:
        """Return the SOP Instance UIDs of every MR series; nothing if there is no such study.

        Raises
        ------
        SourceError
            If the archive does not answer as it should.
        """
        ...

    def fetch(self, study_instance_uid: str, series_instance_uid: str, incoming: Incoming) -> None:
        """Write the instances of a series into a place.

        Raises
        ------
        SourceError
            If the archive does not answer as it should.
        """
        ...


def fetch_study(
    study_instance_uid: str,
    *,
    archive: StudyArchive,
    incoming: Callable[[], AbstractContextManager[Incoming]],
    store: ArrivalStore,
    receiver: InstanceReceiver,
    starter: StudyStarter,
) -> Job:
    """Fetch what did not come before, series by series; return the job of the study.

    What came of a fetch that breaks off stays received.

    Parameters
    ----------
    incoming : callable
        Makes a place for the instances of one series.

    Raises
    ------
    StudyNotFoundError
        If the archive has no MR series of this study.
    SourceError
        If the archive does not answer as it should, or gives less than it lists.
    ThrombolensError
        As ``InstanceReceiver.receive`` and ``StudyStarter.start_fetched`` raise them.
    """
    listed = archive.series(study_instance_uid)
    if not any(listed.values()):
        raise StudyNotFoundError(f"{archive.source.name} has no MR series of this study")

    def missing(uids: frozenset[str]) -> int:
        return sum(not store.holds(study_instance_uid, uid) for uid in uids)

    for series, uids in listed.items():
        if missing(uids):
            with incoming() as place:
                archive.fetch(study_instance_uid, series, place)
                for file in place.files():
                    receiver.receive(file, archive.source)
    lacking = sum(missing(uids) for uids in listed.values())
    if lacking:
        raise SourceError(f"{archive.source.name} did not give {lacking} instances that it lists")
    return starter.start_fetched(study_instance_uid)
