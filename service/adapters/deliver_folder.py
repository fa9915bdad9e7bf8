"""Results into a folder: ``StudyInstanceUID/SOPInstanceUID.dcm`` and ``.json``."""

import os
import re
import tempfile
from pathlib import Path

from service.adapters.durable_files import sync
from service.application.ports import Parcel, ResultObject
from service.domain.delivery import Answer, ObjectState
from service.domain.destination import ObjectKind
from service.domain.errors import DestinationUnreachableError

# UIDs of a source may be illegal, and anything may stand in them; a file name must be neither a
# path nor a name.
_FILE_SAFE_UID = re.compile(r"[0-9.]{1,64}")


class FolderSender:
    """Writes each object whole, by one rename; implements ``ResultSender``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, parcel: Parcel) -> tuple[Answer, ...]:
        """Write objects; one that is there already is replaced by its equal."""
        if not self._path.is_dir():
            # Not made here: an empty mount point would swallow the results of a share that is down.
            raise DestinationUnreachableError(f"the folder {self._path} is not there")
        return tuple(self._write(each) for each in parcel.objects)

    def _write(self, each: ResultObject) -> Answer:
        suffix = "json" if each.kind is ObjectKind.REPORT else "dcm"
        study, name = each.study_instance_uid, each.sop_instance_uid
        if not _is_file_safe(study) or not _is_file_safe(name):
            return Answer(each.kind, ObjectState.REFUSED, "its UID is no file name")
        try:
            folder = self._path / study
            folder.mkdir(exist_ok=True)
            _write_whole(folder / f"{name}.{suffix}", each.content)
        except OSError as exc:
            return Answer(each.kind, ObjectState.REFUSED, f"not written: {exc.strerror}")
        return Answer(each.kind, ObjectState.ACCEPTED, "written")


def _is_file_safe(uid: str) -> bool:
    return bool(_FILE_SAFE_UID.fullmatch(uid)) and uid.strip(".") != ""


def _write_whole(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".unfinished-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    # The new name must last, as the content does.
    sync(path.parent)
