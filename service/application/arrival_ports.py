"""What arriving studies need from the world, as protocols."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from service.domain.arrival import (
    Arrival,
    ArrivalLimits,
    ArrivedInstance,
    Receipt,
    Source,
    Start,
)
from service.domain.job import Job


class ArrivalStore(Protocol):
    """The truth about what arrived."""

    def holds(self, study_instance_uid: str, sop_instance_uid: str) -> bool:
        """Whether an instance of a study came before."""
        ...

    def record(
        self,
        instance: ArrivedInstance,
        source: Source,
        limits: ArrivalLimits,
        now: datetime,
        kept: Callable[[], bool],
    ) -> Receipt:
        """Note an instance; say what it is to its study. Nothing is noted with an error.

        ``kept`` is asked whether its file is there while nobody can forget the study.

        Raises
        ------
        LimitExceededError
            If the study would be larger than allowed.
        StorageError
            If its file is not there, as the study was forgotten while it came.
        """
        ...

    def record_refusal(self, source: str, code: str) -> None:
        """Count an instance that was refused."""
        ...

    def collecting(self) -> tuple[Arrival, ...]:
        """Return the arrivals that have something new."""
        ...

    def get(self, study_instance_uid: str) -> Arrival | None:
        """Return an arrival, or None if nothing of that study came."""
        ...

    def instances(self, start: Start) -> tuple[str, ...]:
        """Return the SOP Instance UIDs of what a start puts into its job."""
        ...

    def end_round(self, start: Start, job: Job) -> bool:
        """Keep the new job of a start and end the round, all or nothing.

        Returns
        -------
        bool
            False if somebody else ended the round, or if the study is not quiet after all.
        """
        ...

    def studies(self) -> tuple[str, ...]:
        """Return all studies of which anything came."""
        ...

    def recorded(self, study_instance_uid: str) -> tuple[str, ...]:
        """Return the SOP Instance UIDs of all that came of a study, whatever it is."""
        ...

    def standstill(self) -> AbstractContextManager[None]:
        """Return a context in which nothing is recorded: whoever wants to waits for its end."""
        ...

    def idle_since(self, moment: datetime) -> tuple[str, ...]:
        """Return studies of which nothing is new, nor came after a moment, nor has a job."""
        ...

    def forget(self, study_instance_uid: str, moment: datetime, bury: Callable[[], None]) -> bool:
        """Delete all that is known of a study, if it is still idle since a moment; say whether.

        ``bury`` takes its files away while nothing of it can be recorded.
        """
        ...


class Incoming(Protocol):
    """Where several instances come to, piece by piece, before they are received."""

    def begin_file(self) -> None:
        """Begin a file; the one before it is complete."""
        ...

    def write(self, chunk: bytes) -> None:
        """Append to the file that was begun last.

        Raises
        ------
        LimitExceededError
            If more comes than is allowed.
        """
        ...

    def files(self) -> tuple[Path, ...]:
        """Complete the last file and return all."""
        ...


class InstanceShelf(Protocol):
    """Where the files of arrived instances lie."""

    def free_bytes(self) -> int:
        """Return how much room the disk has."""
        ...

    def keep(self, file: Path, instance: ArrivedInstance) -> None:
        """Move a complete file to its place, for good: on disk when this returns.

        Raises
        ------
        StorageError
            If the disk does not take it.
        """
        ...

    def remove(self, instance: ArrivedInstance) -> None:
        """Delete the file of an instance that was kept, if there is one."""
        ...

    def path(self, study_instance_uid: str, sop_instance_uid: str) -> Path:
        """Return where an instance lies."""
        ...

    def folder(self, study_instance_uid: str) -> Path:
        """Return where the instances of a study lie."""
        ...

    def folders(self) -> tuple[Path, ...]:
        """Return the folders of all studies."""
        ...

    def old_files(self, folder: Path, older_than_s: float) -> tuple[Path, ...]:
        """Return the files of a study that were written so long ago."""
        ...

    def discard(self, files: Iterable[Path]) -> None:
        """Delete files, and folders in which nothing is left."""
        ...

    def gather(self, study_instance_uid: str, sop_instance_uids: Sequence[str]) -> Path:
        """Return a new folder with these instances; they are not copied.

        Raises
        ------
        StorageError
            If the disk does not take it.
        """
        ...

    def bury(self, study_instance_uid: str) -> None:
        """Take all instances of a study away, at once."""
        ...

    def discard_buried(self) -> None:
        """Delete what was taken away."""
        ...
