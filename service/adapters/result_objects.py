"""Results of a job as objects to send, read from where its worker left them."""

import json
import struct
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.errors import BytesLengthException, InvalidDicomError

from service.application.ports import ResultObject
from service.domain.destination import ObjectKind
from service.domain.errors import StorageError

_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
# What readers of DICOM and JSON raise about files that are damaged.
_DAMAGED = (
    BytesLengthException,
    InvalidDicomError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    struct.error,
)


def read_objects(folder: Path, kinds: Iterable[ObjectKind]) -> tuple[ResultObject, ...]:
    """Read results as objects, in the order of ``kinds``.

    Raises
    ------
    StorageError
        If a file is missing or is not what its name says.
    """
    return tuple(_read(folder / kind.file, kind) for kind in kinds)


def _read(path: Path, kind: ObjectKind) -> ResultObject:
    try:
        content = path.read_bytes()
        if kind is ObjectKind.REPORT:
            return _report(content)
        return _dicom(content, kind)
    except OSError as exc:
        raise StorageError(f"the result {path.name} cannot be read: {exc.strerror}") from exc
    except _DAMAGED as exc:
        raise StorageError(
            f"the result {path.name} is not what was written: {type(exc).__name__}"
        ) from exc


def _dicom(content: bytes, kind: ObjectKind) -> ResultObject:
    # Identifiers of a source are copied as they stand, legal or not.
    with disable_value_validation():
        header = dcmread(BytesIO(content), specific_tags=list(_UIDS), stop_before_pixels=True)
        return ResultObject(
            kind=kind,
            content=content,
            sop_class_uid=str(header.SOPClassUID),
            sop_instance_uid=str(header.SOPInstanceUID),
            series_instance_uid=str(header.SeriesInstanceUID),
            study_instance_uid=str(header.StudyInstanceUID),
        )


def _report(content: bytes) -> ResultObject:
    report = json.loads(content)
    return ResultObject(
        kind=ObjectKind.REPORT,
        content=content,
        sop_class_uid=None,
        sop_instance_uid=report["structured_report_sop_instance_uid"],
        series_instance_uid=None,
        study_instance_uid=report["study_instance_uid"],
    )
