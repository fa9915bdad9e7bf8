"""Who an arriving instance is: the first elements of its header, read within a few milliseconds."""

import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from service.adapters.instance_files import MR_IMAGE_CLASSES, PARSE_ERRORS, is_own_output
from service.domain.arrival import ArrivedInstance
from service.domain.errors import InputError, NotDicomError, StorageError

# Elements are in the order of their tags; equipment comes before it.
_LAST = Tag("SeriesInstanceUID")
_PREFIX_END = 132
# Far more than the elements up to the last one need.
_MOST_INFLATED = 8 << 20
# PS3.5 section 9.1.
_LONGEST_UID = 64


def read_identity(path: Path) -> ArrivedInstance:
    """Read who the instance in a DICOM file is; neither pixels nor most of the header is read.

    Raises
    ------
    NotDicomError
        If it is no DICOM file (PS3.10), or a DICOMDIR.
    InputError
        If it lacks what identifies it, or cannot be read so far.
    StorageError
        If the file cannot be opened.
    """
    try:
        with path.open("rb") as stream, disable_value_validation():
            if stream.read(_PREFIX_END)[128:] != b"DICM":
                raise NotDicomError("a file is no DICOM file (PS3.10)")
            stream.seek(0)
            return _identity(_read_start(stream), path.stat().st_size)
    except PARSE_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(f"an arrived file cannot be read: {error.strerror}") from error
        raise InputError(
            f"the header of a DICOM file cannot be read ({type(error).__name__})"
        ) from error


def _read_start(stream: BinaryIO) -> Dataset:
    stream.seek(_PREFIX_END)
    meta = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=_not_meta)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        stream.seek(0)
        return read_partial(stream, _is_behind)
    # The data set is deflated as a whole (PS3.5 A.5). The library would inflate all of it; its
    # beginning is enough.
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(), _MOST_INFLATED)
    return read_dataset(
        BytesIO(inflated), is_implicit_VR=False, is_little_endian=True, stop_when=_is_behind
    )


def _is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag > _LAST


def _not_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _identity(dataset: Dataset, size: int) -> ArrivedInstance:
    sop_class = str(dataset.get("SOPClassUID", ""))
    if sop_class == MediaStorageDirectoryStorage:
        raise NotDicomError("a file is a DICOMDIR, which holds no instance")
    return ArrivedInstance(
        study_instance_uid=_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        sop_class_uid=_uid(dataset, "SOPClassUID"),
        size=size,
        is_input=sop_class in MR_IMAGE_CLASSES,
        is_own_output=is_own_output(dataset),
    )


def _uid(dataset: Dataset, keyword: str) -> str:
    value = str(dataset.get(keyword, "") or "")
    if not value:
        raise InputError(f"an instance has no {keyword}")
    if len(value) > _LONGEST_UID:
        raise InputError(f"the {keyword} of an instance is longer than {_LONGEST_UID} characters")
    return value
