"""Uploads and results of jobs on disk; whole or not at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from service.domain.errors import StorageError


def write_folder(
    folder: Path, contents: Mapping[str, bytes], *, outdated: Collection[str] = ()
) -> None:
    """Write files into a folder so that a reader meets either all of them or none.

    A folder that is there already keeps its other files, and then each file appears whole.

    Parameters
    ----------
    contents : mapping
        Names without any folder, and what the files hold.
    outdated : collection of str
        Files of earlier results; deleted where ``contents`` has none of that name.

    Raises
    ------
    StorageError
        If the disk does not take them.
    """
    try:
        with _neighbour(folder) as temporary:
            for name, content in contents.items():
                _write_synced(temporary / name, content)
            _publish(temporary, folder, contents, set(outdated) - set(contents))
    except OSError as exc:
        raise StorageError(f"the disk did not take the results: {exc.strerror}") from exc


def _publish(temporary: Path, folder: Path, names: Iterable[str], outdated: Iterable[str]) -> None:
    if not folder.exists():
        temporary.replace(folder)
        return
    for name in outdated:
        (folder / name).unlink(missing_ok=True)
    for name in names:
        (temporary / name).replace(folder / name)


@contextmanager
def _neighbour(folder: Path) -> Iterator[Path]:
    """Yield a new folder on the same file system, deleted if it still exists at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


class JobFolders:
    """Folders of uploads and results; implements ``JobFiles``, ``UploadShelf`` and ``JobShelf``."""

    def __init__(self, uploads: Path, results: Path) -> None:
        self._uploads = uploads
        self._results = results
        try:
            uploads.mkdir(parents=True, exist_ok=True)
            results.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StorageError(f"the data folder cannot be made: {exc.strerror}") from exc

    @property
    def uploads(self) -> Path:
        """Where uploads lie; those that still arrive are in hidden folders here."""
        return self._uploads

    def accept(self, upload: Path, job_id: str) -> None:
        """Move a complete upload to its job, in one step."""
        upload.replace(self.upload(job_id))

    def upload(self, job_id: str) -> Path:
        """Return the folder of a job's upload."""
        return self._uploads / job_id

    def results(self, job_id: str, lease: str) -> Path:
        """Return the folder of the results written under one lease."""
        return self._results / job_id / lease

    def discard_results(self, job_id: str, lease: str) -> None:
        """Delete the results written under one lease, if there are any."""
        _delete(self.results(job_id, lease))

    def discard(self, job_id: str) -> None:
        """Delete upload and results of a job."""
        _delete(self.upload(job_id))
        _delete(self._results / job_id)

    def sweep(self, older_than_s: float) -> None:
        """Delete what processes that crashed left unfinished so long ago."""
        unfinished = (*self._uploads.glob(".incoming-*"), *self._results.glob("*/.unfinished-*"))
        for folder in _older(unfinished, older_than_s):
            _delete(folder)

    def job_ids(self, older_than_s: float) -> tuple[str, ...]:
        """Return the jobs whose folders were last changed so long ago."""
        found = (*self._uploads.glob("[!.]*/"), *self._results.glob("[!.]*/"))
        return tuple(sorted({path.name for path in _older(found, older_than_s)}))

    def keep_only_results(self, job_id: str, lease: str | None) -> None:
        """Delete the results of a job that were written under any other lease."""
        for folder in (self._results / job_id).glob("*"):
            if folder.name != lease:
                _delete(folder)


def _older(folders: Iterable[Path], than_s: float) -> Iterator[Path]:
    """Yield what was last changed so long ago; another process may delete any of it meanwhile."""
    limit = time.time() - than_s
    for folder in folders:
        try:
            changed = folder.stat().st_mtime
        except FileNotFoundError:
            continue
        if changed < limit:
            yield folder


def _delete(folder: Path) -> None:
    """Delete a folder that may be gone, or be going at the hands of another process."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
