"""Files of instances that were never recorded, and so never acknowledged."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from service.application.arrival_ports import ArrivalStore, InstanceShelf

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Ages:
    """How long files that were never recorded are kept.

    Attributes
    ----------
    seconds : float
        Longer than anything arrives.
    unknown_study_seconds : float or None
        If nothing of the study was recorded; None keeps them. Where another database was connected
        to an old folder, all of it looks like this.
    """

    seconds: float
    unknown_study_seconds: float | None


def discard_unrecorded(store: ArrivalStore, shelf: InstanceShelf, ages: Ages) -> None:
    """Delete files that no row stands for: recording failed, or a process died before it.

    Raises
    ------
    JobDatabaseError
        If the database cannot be reached.
    StorageError
        If the disk does not answer.
    """
    found = _unrecorded(store, shelf, shelf.folders(), ages)
    if not found:
        return
    # Nobody can record now; one that came since the look has a young file, and stays.
    with store.standstill():
        discarded = _unrecorded(store, shelf, {file.parent for file in found}, ages)
        shelf.discard(discarded)
    _log.warning("unrecorded_discarded", instances=len(discarded))


def _unrecorded(
    store: ArrivalStore, shelf: InstanceShelf, folders: Iterable[Path], ages: Ages
) -> list[Path]:
    studies = {shelf.folder(study): study for study in store.studies()}
    found: list[Path] = []
    for folder in folders:
        study = studies.get(folder)
        if study is not None:
            recorded = {shelf.path(study, uid) for uid in store.recorded(study)}
            found.extend(f for f in shelf.old_files(folder, ages.seconds) if f not in recorded)
        elif ages.unknown_study_seconds is not None:
            found.extend(shelf.old_files(folder, ages.unknown_study_seconds))
    return found
