"""One DICOM file: whether it is one, whether it is whole, and what its header says."""

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.encaps import parse_fragments
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset as read_dataset_from
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
    MediaStorageDirectoryStorage,
    MRImageStorage,
)

from service.adapters.header_facts import header_facts, planes_of
from service.domain.errors import InputError, LimitExceededError, TruncatedFileError
from service.domain.study import OWN_OUTPUT, FactValue, PlaneFacts

MR_IMAGE_CLASSES = frozenset(
    {
        MRImageStorage,
        EnhancedMRImageStorage,
        EnhancedMRColorImageStorage,
        LegacyConvertedEnhancedMRImageStorage,
    }
)
# Named so in the equipment attributes of everything that this service writes.
_OWN_EQUIPMENT = "THROMBOLENS"
_EQUIPMENT_KEYWORDS = ("Manufacturer", "ManufacturerModelName")
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")

# First bytes of a data set without preamble: group 0002 or 0008, little endian.
_BARE_STARTS = (b"\x02\x00", b"\x08\x00")
# Preamble and prefix.
_PREFIX_END = 132
_INFLATED_PIECE = 1 << 20
# What pydicom raises for bytes that are no data set, end inside one, or are damaged.
PARSE_ERRORS = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(
        NotImplementedError,
        RecursionError,
        ArithmeticError,
        BytesLengthException,
        struct.error,
        zlib.error,
    ),
)


@dataclass(frozen=True)
class InstanceFile:
    """What is kept of one file.

    Attributes
    ----------
    digest : str
        SHA-256 of the file, or of its header where only that was read.
    patient_id : str or None
        None if the file has no such element.
    facts : mapping
        Header facts at the top level.
    planes : tuple of PlaneFacts
        Empty if this is no MR image.
    is_whole : bool
        Whether the file holds what its header promises, as far as that was looked at.
    """

    path: Path
    digest: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient_id: str | None = field(repr=False)
    facts: Mapping[str, FactValue] = field(repr=False)
    planes: tuple[PlaneFacts, ...] = field(repr=False)
    is_whole: bool = True

    @property
    def is_mr_image(self) -> bool:
        """Whether this is an MR image of any kind, colour included."""
        return self.facts.get("SOPClassUID") in MR_IMAGE_CLASSES

    @property
    def is_own_output(self) -> bool:
        """Whether this service wrote it."""
        return OWN_OUTPUT in self.facts


def read_instance(path: Path, *, max_bytes: int, headers_only: bool = False) -> InstanceFile | None:
    """Read the header of one file and check that its pixels are all there.

    Parameters
    ----------
    path : Path
    max_bytes : int
        Largest file that is read; a deflated one counts as it is after inflation.
    headers_only : bool
        Stop before the pixels: faster, and whether they are all there is not known.

    Returns
    -------
    InstanceFile or None
        None if the file holds no DICOM instance; a DICOMDIR holds none.

    Raises
    ------
    TruncatedFileError
        If the file is DICOM but ends before its data do.
    LimitExceededError
        If it is larger than allowed.
    InputError
        If its header is damaged.
    """
    with path.open("rb") as stream:
        start = stream.read(_PREFIX_END)
        has_preamble = start[128:] == b"DICM"
        if not has_preamble and start[:2] not in _BARE_STARTS:
            return None
        _check_size(path.stat().st_size, max_bytes)
        with _source(stream, headers_only) as source, disable_value_validation():
            _check_size(_inflated_size(source, has_preamble, max_bytes), max_bytes)
            dataset = _parse_or_none(source, headers_only)
            if dataset is None:
                if has_preamble:
                    raise TruncatedFileError(_early_end(source))
                return None
            try:
                return _instance(path, source, dataset, headers_only)
            except PARSE_ERRORS as error:
                raise InputError(
                    f"the header of a DICOM file is damaged ({type(error).__name__})"
                ) from error


@contextmanager
def _source(stream: BinaryIO, headers_only: bool) -> Iterator[BinaryIO]:
    """Yield the content of a file: all of it, or mapped, so that only its header is ever read."""
    if not headers_only:
        stream.seek(0)
        yield BytesIO(stream.read())
        return
    with mmap(stream.fileno(), 0, access=ACCESS_READ) as mapped:
        yield cast("BinaryIO", mapped)


def is_whole(path: Path, *, max_bytes: int) -> bool:
    """Whether a file is an instance that can be read to its end, with all of its pixels."""
    try:
        return read_instance(path, max_bytes=max_bytes) is not None
    except (InputError, OSError):
        return False


def read_dataset(path: Path) -> Dataset:
    """Read one file of which `read_instance` has read the header at least, with its pixels.

    Raises
    ------
    TruncatedFileError
        If it cannot be read to its end; pixels may be fewer than promised all the same.
    """
    source = BytesIO(path.read_bytes())
    with disable_value_validation():
        dataset = _parse_or_none(source, headers_only=False)
        if dataset is None:
            raise TruncatedFileError(_early_end(source))
        return dataset


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise LimitExceededError(f"a DICOM file holds more than {max_bytes} bytes")


def _inflated_size(source: BinaryIO, has_preamble: bool, enough: int) -> int:
    """Return the size of the data set of a deflated file, counted no further than just past enough.

    Zero for a file that is not deflated. The data set begins where the parser will look for it:
    behind the last element of group 0002, whatever the group length says. Source: DICOM PS3.5,
    section A.5; the file meta information before it is never deflated.
    """
    source.seek(_PREFIX_END if has_preamble else 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta = read_dataset_from(source, False, True, stop_when=_behind_meta)
            # Elements are decoded when they are asked for, and may be damaged.
            syntax = meta.get("TransferSyntaxUID")
    except PARSE_ERRORS:
        return 0
    if syntax != DeflatedExplicitVRLittleEndian:
        return 0
    inflater, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, source.read()
    try:
        while rest and not inflater.eof and size <= enough:
            size += len(inflater.decompress(rest, _INFLATED_PIECE))
            rest = inflater.unconsumed_tail
    except zlib.error:
        # The parser will meet the same damage, no later than here.
        return size
    return size


def _behind_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _parse(source: BinaryIO, headers_only: bool = False) -> Dataset:
    source.seek(0)
    with warnings.catch_warnings():
        # pydicom warns of what is checked by name afterwards, such as an early end.
        warnings.simplefilter("ignore")
        dataset = dcmread(source, force=True, stop_before_pixels=headers_only)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _parse_or_none(source: BinaryIO, headers_only: bool) -> Dataset | None:
    """Return the data set, None if it cannot be read or lacks what identifies it."""
    try:
        dataset = _parse(source, headers_only)
        identified = all(dataset.get(keyword) for keyword in _IDENTIFIERS)
        return dataset if identified or _is_directory(dataset) else None
    except PARSE_ERRORS:
        return None


def _early_end(source: BinaryIO) -> str:
    """Say where a file ends that cannot be read as a whole, and whose it is if that is known."""
    header = _parse_or_none(source, headers_only=True)
    if header is None or _is_directory(header):
        return "a DICOM file ends inside its header"
    return f"instance {header.SOPInstanceUID} ends inside its data"


def _is_directory(dataset: Dataset) -> bool:
    return dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage


def _check_pixels(dataset: Dataset) -> None:
    """Raise `TruncatedFileError` if an MR image has fewer pixels than its header promises."""
    if dataset.SOPClassUID not in MR_IMAGE_CLASSES:
        return
    uid = dataset.SOPInstanceUID
    pixels = dataset.get("PixelData")
    if pixels is None or not dataset.get("Rows") or not dataset.get("Columns"):
        raise TruncatedFileError(f"instance {uid} has no pixels: its file ends early")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated:
        present, promised = parse_fragments(pixels)[0], frames
    else:
        samples = int(dataset.get("SamplesPerPixel") or 1) * int(dataset.BitsAllocated) // 8
        present = len(pixels)
        promised = int(dataset.Rows) * int(dataset.Columns) * samples * frames
    if present < promised:
        raise TruncatedFileError(
            f"instance {uid} holds {present} of {promised} bytes or fragments of its pixels"
        )


def _instance(
    path: Path, source: BinaryIO, dataset: Dataset, headers_only: bool
) -> InstanceFile | None:
    if _is_directory(dataset):
        return None
    if not headers_only:
        _check_pixels(dataset)
    facts = header_facts(dataset)
    if is_own_output(dataset):
        facts[OWN_OUTPUT] = "YES"
    is_image = dataset.SOPClassUID in MR_IMAGE_CLASSES
    return InstanceFile(
        path=path,
        digest=_digest(source, headers_only),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        patient_id=str(dataset.PatientID).strip() if dataset.get("PatientID") else None,
        facts=facts,
        planes=planes_of(dataset, facts) if is_image else (),
    )


def _digest(source: BinaryIO, headers_only: bool) -> str:
    """Return the digest of what was read: all of it, or up to where the parser has stopped."""
    end = source.tell()
    source.seek(0)
    read = source.read(end) if headers_only else source.read()
    return hashlib.sha256(read).hexdigest()


def is_own_output(dataset: Dataset) -> bool:
    """Whether our name is in the equipment of an object that is no MR image (we write none)."""
    if dataset.SOPClassUID in MR_IMAGE_CLASSES:
        return False
    equipment = [dataset, *(dataset.get("ContributingEquipmentSequence") or ())]
    names = [str(item.get(keyword, "")) for item in equipment for keyword in _EQUIPMENT_KEYWORDS]
    return any(_OWN_EQUIPMENT in name.upper() for name in names)
