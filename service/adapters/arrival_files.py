"""Arrived instances on disk, one file each: implements ``InstanceShelf``.

A UID never becomes a path: folders and files are named after digests. Jobs get hard links, so that
a study that is analysed again is not stored again.
"""

import errno
import hashlib
import math
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from service.adapters.durable_files import sync
from service.domain.arrival import ArrivedInstance
from service.domain.errors import StorageError

# A file system that has no hard links, or not that many.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
# The beginning of names of folders that were taken away.
_BURIED = ".buried-"


class ArrivalFolders:
    """The folder of all arrivals, one folder a study.

    Parameters
    ----------
    root : Path
        Made if needed.
    uploads : Path
        Where folders for jobs are gathered, hidden until a job has them.

    Raises
    ------
    StorageError
        From every method, if the disk does not take it.
    """

    def __init__(self, root: Path, uploads: Path) -> None:
        self._root = root
        self._uploads = uploads
        with _storage():
            self.incoming.mkdir(parents=True, exist_ok=True)

    @property
    def incoming(self) -> Path:
        """Where files lie while they arrive; on the same file system, to be moved in one step."""
        return self._root / ".incoming"

    def free_bytes(self) -> int:
        """Return how much room the disk has."""
        with _storage():
            return shutil.disk_usage(self._root).free

    def keep(self, file: Path, instance: ArrivedInstance) -> None:
        """Move a complete file to its place; on disk when this returns."""
        target = self.path(instance.study_instance_uid, instance.sop_instance_uid)
        with _storage():
            sync(file)
            if not target.parent.exists():
                target.parent.mkdir(exist_ok=True)
                sync(self._root)
            file.replace(target)
            target.chmod(0o640)
            sync(target.parent)

    def remove(self, instance: ArrivedInstance) -> None:
        """Delete the file of an instance, if there is one."""
        with _storage():
            self.path(instance.study_instance_uid, instance.sop_instance_uid).unlink(
                missing_ok=True
            )

    def folder(self, study_instance_uid: str) -> Path:
        """Return where the instances of a study lie."""
        return self._root / _digest(study_instance_uid)

    def path(self, study_instance_uid: str, sop_instance_uid: str) -> Path:
        """Return where an instance lies."""
        return self.folder(study_instance_uid) / f"{_digest(sop_instance_uid)}.dcm"

    def gather(self, study_instance_uid: str, sop_instance_uids: Sequence[str]) -> Path:
        """Return a new folder with links to these instances, in their order."""
        with _storage():
            folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self._uploads))
            try:
                for number, uid in enumerate(sop_instance_uids, 1):
                    _link(self.path(study_instance_uid, uid), folder / f"{number:06d}")
                sync(folder)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return folder

    def bury(self, study_instance_uid: str) -> None:
        """Take all instances of a study away by one rename."""
        with _storage(), suppress(FileNotFoundError):
            self.folder(study_instance_uid).rename(self._root / f"{_BURIED}{uuid.uuid4().hex}")

    def discard_buried(self) -> None:
        """Delete what was taken away, also by a process that did not come to it."""
        with _storage():
            for tomb in self._root.glob(f"{_BURIED}*"):
                shutil.rmtree(tomb, ignore_errors=True)

    def folders(self) -> tuple[Path, ...]:
        """Return the folders of all studies."""
        with _storage():
            return tuple(each for each in self._root.iterdir() if not each.name.startswith("."))

    def old_files(self, folder: Path, older_than_s: float) -> tuple[Path, ...]:
        """Return the files of a study that were written so long ago."""
        limit = time.time() - older_than_s
        with _storage():
            return tuple(each for each in folder.glob("*.dcm") if _written_at(each) < limit)

    def discard(self, files: Iterable[Path]) -> None:
        """Delete files, and folders in which nothing is left."""
        gone = tuple(files)
        with _storage():
            for file in gone:
                file.unlink(missing_ok=True)
        for folder in {file.parent for file in gone}:
            # Of those in which something is left this is an error.
            with suppress(OSError):
                folder.rmdir()

    def sweep(self, older_than_s: float) -> None:
        """Delete what associations that broke left half, if nothing was written to it so long.

        They leave files only; a folder is somebody else's and stays.
        """
        limit = time.time() - older_than_s
        for path in self.incoming.iterdir():
            with suppress(FileNotFoundError):
                if path.is_file() and path.stat().st_mtime < limit:
                    path.unlink()


def _digest(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:40]


def _written_at(file: Path) -> float:
    """Return when a file was written; never, as it were, if it has just gone."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError(f"the disk did not take what arrived: {exc.strerror}") from exc
