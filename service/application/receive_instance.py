"""An instance arrives: it is looked at, kept on disk, then recorded, and only then acknowledged."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

from service.application.arrival_ports import ArrivalStore, InstanceShelf
from service.application.ports import Clock
from service.domain.arrival import ArrivalLimits, ArrivedInstance, Receipt, Source
from service.domain.errors import (
    InputError,
    InstanceMismatchError,
    JobDatabaseError,
    LimitExceededError,
    OwnOutputError,
    StorageError,
    ThrombolensError,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class InstanceReceiver:
    """Takes instances from whoever may send; whoever acknowledges does so when this returns.

    Parameters
    ----------
    identify : callable
        Reads who the instance in a file is.
    is_whole : callable
        Whether a file holds all that its header promises; reads all of it.
    """

    store: ArrivalStore
    shelf: InstanceShelf
    identify: Callable[[Path], ArrivedInstance]
    is_whole: Callable[[Path], bool]
    limits: ArrivalLimits
    clock: Clock

    def receive(self, file: Path, source: Source, named: tuple[str, str] | None = None) -> Receipt:
        """Keep an instance, unless it came before.

        Parameters
        ----------
        file : Path
            A complete DICOM file on the file system of the shelf; it is moved, or left where it
            is if it is not needed.
        source : Source
            Who sent it.
        named : tuple of str, optional
            SOP Class UID and SOP Instance UID of the command it came with.

        Raises
        ------
        InstanceMismatchError
            If the command names another SOP class or instance (PS3.4 B.2.3).
        OwnOutputError
            If this service wrote it.
        LimitExceededError
            If its study would be larger than allowed.
        InputError
            If it is no DICOM file, or lacks what identifies it.
        StorageError
            If the disk does not take it, or has too little room left.
        JobDatabaseError
            If it cannot be recorded; it counts as not received then.
        """
        try:
            return self._receive(file, source, named)
        except ThrombolensError as exc:
            self._note_refusal(exc, source)
            raise

    def refuse(self, error: ThrombolensError, source: Source) -> NoReturn:
        """Raise this about an instance that did not arrive as a whole; it is counted as refused."""
        self._note_refusal(error, source)
        raise error

    def has_room(self) -> bool:
        """Whether the disk has more room than its reserve; asked while an instance arrives."""
        try:
            return self.shelf.free_bytes() > self.limits.reserve_bytes
        except StorageError:
            return False

    def _receive(self, file: Path, source: Source, named: tuple[str, str] | None) -> Receipt:
        instance = self.identify(file)
        if named not in (None, (instance.sop_class_uid, instance.sop_instance_uid)):
            raise InstanceMismatchError("the data set is not what its command says")
        if instance.is_own_output:
            raise OwnOutputError("results of this service are no input")
        place = self.shelf.path(instance.study_instance_uid, instance.sop_instance_uid)
        known = self.store.holds(instance.study_instance_uid, instance.sop_instance_uid)
        # The study may be forgotten at any moment: its files first, or its rows.
        if not known or not place.exists():
            self._keep(file, instance)
        elif self._is_better(file, instance, place):
            self._keep(file, instance)
            _log.warning("instance_replaced", source=source.name, reason="its file was damaged")
        try:
            return self.store.record(instance, source, self.limits, self.clock(), place.exists)
        except LimitExceededError:
            self.shelf.remove(instance)
            raise

    def _is_better(self, file: Path, instance: ArrivedInstance, place: Path) -> bool:
        """Whether the file that is kept is damaged, and another copy is not."""
        try:
            # The same header and as many bytes: the same file, which is not read as a whole.
            if self.identify(place) == instance:
                return False
        except (InputError, StorageError):
            return self.is_whole(file)
        return not self.is_whole(place) and self.is_whole(file)

    def _keep(self, file: Path, instance: ArrivedInstance) -> None:
        if self.shelf.free_bytes() < self.limits.reserve_bytes + instance.size:
            raise StorageError("the disk has no room beyond its reserve")
        self.shelf.keep(file, instance)

    def _note_refusal(self, error: ThrombolensError, source: Source) -> None:
        _log.warning("instance_refused", source=source.name, code=error.code)
        try:
            self.store.record_refusal(source.name, error.code)
        except JobDatabaseError as exc:
            _log.warning("refusal_not_counted", source=source.name, code=exc.code)
