"""Headers of the source images, fit to be named as the source of a derived object.

Real headers break writers: missing type 2 attributes, a birth date of zeros, cosines that differ
in the last digit from slice to slice, pixel measures that enhanced images keep per frame, slice
spacings that hold the gap. The source data sets themselves are never changed: each plane gets a
small header of its own, its geometry taken from the assembled volume. Identities are copied as
they stand, and where one is missing nothing is invented.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime

from highdicom.enum import SpecificCharacterSetValues
from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import MRImageStorage
from pydicom.valuerep import DA, DT, TM, DSfloat, validate_value

from service.domain.errors import GeometryError, SelfCheckError
from service.domain.geometry import Geometry
from service.domain.identity import derive_uid
from service.domain.study import PlaneFacts

# Groups that hold what patient, study, equipment and lossy compression modules need.
_COPIED_GROUPS = frozenset({0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040})
_LOSSY_KEYWORDS = frozenset(
    {"LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"}
)
# Type 2 attributes of the Patient and General Study modules: present, perhaps empty.
_TYPE_2_KEYWORDS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
)
_REQUIRED_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
# Copied as they stand, legal or not: a result that names another patient or order is worse.
_IDENTIFYING_KEYWORDS = frozenset({*_REQUIRED_UIDS, "PatientID", "AccessionNumber", "StudyID"})
# Attributes of the copied modules that allow nothing but these values.
_ENUMERATED: Mapping[str, frozenset[object]] = {
    "PatientSex": frozenset({"M", "F", "O"}),
    "PatientSexNeutered": frozenset({"ALTERED", "UNALTERED"}),
    "PregnancyStatus": frozenset({1, 2, 3, 4}),
    "SmokingStatus": frozenset({"YES", "NO", "UNKNOWN"}),
}
_CHARACTER_SETS = frozenset(each.value for each in SpecificCharacterSetValues)
DEFAULT_REPERTOIRE, UNICODE = "ISO 2022 IR 6", "ISO_IR 192"
# Scanners round positions; a volume is the regular grid through them.
_POSITION_TOLERANCE_MM = 0.2
# From the narrowest to the widest statement about when the pixels came to be.
_TIME_KEYWORDS = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)


def source_headers(
    geometry: Geometry, datasets: Sequence[Dataset], planes: Sequence[PlaneFacts]
) -> list[Dataset]:
    """Make one classic MR header per plane, whatever the source object is.

    Parameters
    ----------
    geometry : Geometry
        Grid of the volume that the planes form.
    datasets : sequence of Dataset
        Instances of the source series, in any order; more than the planes need is fine.
    planes : sequence of PlaneFacts
        Source of each slice, in slice order.

    Returns
    -------
    list of Dataset
        New data sets in slice order, without pixels.

    Raises
    ------
    GeometryError
        If the source has no study, series or frame of reference UID.
    SelfCheckError
        If the planes are not the slices of the geometry, or their instances are not given.
    """
    _check_planes(geometry, planes)
    instances = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
    absent = [plane for plane in planes if plane.sop_instance_uid not in instances]
    if absent:
        raise SelfCheckError(f"{len(absent)} source planes have no data set")
    common = _common_header(instances[planes[0].sop_instance_uid])
    common.update(_shared_geometry(geometry, planes[0], instances[planes[0].sop_instance_uid]))
    return [_plane_header(common, plane, index) for index, plane in enumerate(planes)]


def _check_planes(geometry: Geometry, planes: Sequence[PlaneFacts]) -> None:
    if len(planes) != geometry.shape[0]:
        raise SelfCheckError(f"{len(planes)} source planes for {geometry.shape[0]} slices")
    for index, plane in enumerate(planes):
        if (plane.rows, plane.columns) != geometry.shape[1:]:
            raise SelfCheckError(f"source plane {index} is {plane.rows} x {plane.columns} pixels")
        if plane.position is None or plane.orientation is None or plane.pixel_spacing is None:
            raise SelfCheckError(f"source plane {index} has no position, orientation or spacing")
        distance = float(abs(geometry.to_lps((index, 0, 0)) - plane.position).max())
        if distance > _POSITION_TOLERANCE_MM:
            raise SelfCheckError(f"source plane {index} lies {distance:.3f} mm off its slice")


def study_header(source: Dataset) -> Dataset:
    """Return what one image says of patient, study and equipment, legal and complete.

    Raises
    ------
    GeometryError
        If it has no study UID.
    """
    header = Dataset()
    for element in _copyable(source):
        # Assigning to an attribute changes the element, which must not be the source's own.
        header.add(deepcopy(element))
    for keyword in _TYPE_2_KEYWORDS:
        if keyword not in header:
            setattr(header, keyword, None)
    # The writer would quote an unusual name in a warning; it is given back afterwards.
    header.PatientName = None
    if "SpecificCharacterSet" in header:
        header.SpecificCharacterSet = _written_characters(header.SpecificCharacterSet)
    _require_uids(header, ("StudyInstanceUID",))
    return header


def _written_characters(stated: str | MultiValue[str] | None) -> str | list[str] | None:
    """Return the character sets of a source as the writer takes them (PS3.3 C.12.1.1.2).

    An empty first one stands for the default repertoire with extensions. Text is decoded when it is
    read, so sets that the writer does not know become Unicode.
    """
    if not stated:
        return None
    if isinstance(stated, str):
        return stated if stated in _CHARACTER_SETS else UNICODE
    sets = [stated[0] or DEFAULT_REPERTOIRE, *stated[1:]]
    return sets if _CHARACTER_SETS.issuperset(sets) else UNICODE


def _common_header(source: Dataset) -> Dataset:
    header = study_header(source)
    _require_uids(header, _REQUIRED_UIDS)
    return header


def _require_uids(header: Dataset, keywords: Sequence[str]) -> None:
    for keyword in keywords:
        if not header.get(keyword):
            raise GeometryError(f"the reference series has no {keyword}")


def _copyable(source: Dataset) -> Iterator[DataElement]:
    for tag in source.keys():  # noqa: SIM118 - iterating a Dataset would parse the pixel data
        if tag.is_private or (tag.group not in _COPIED_GROUPS and tag.group != 0x0028):
            continue
        element = source[tag]
        if tag.group == 0x0028 and element.keyword not in _LOSSY_KEYWORDS:
            continue
        if element.keyword in _IDENTIFYING_KEYWORDS or is_valid(element):
            yield element


def is_valid(element: DataElement) -> bool:
    """Tell whether a value obeys its value representation (PS3.5 6.2) and enumeration.

    A sequence is valid if it holds something, and all of it is valid.
    """
    if element.VR == "SQ":
        nested = [inner for item in element.value for inner in item]
        return bool(nested) and all(is_valid(inner) for inner in nested)
    if element.VR == "UN":
        return False
    values = element.value if element.VM > 1 else [element.value]
    allowed = _ENUMERATED.get(element.keyword)
    if allowed is not None and not allowed.issuperset(values):
        return False
    try:
        for value in values:
            _check_value(element.VR, value)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _check_value(representation: str, value: object) -> None:
    """Raise ValueError if pydicom or its date types refuse the value."""
    if value is None or value == "":
        return
    parser = {"DA": DA, "TM": TM, "DT": DT}.get(representation)
    if parser is None:
        validate_value(representation, value, RAISE)
    else:
        parser(str(value))


def _shared_geometry(geometry: Geometry, first: PlaneFacts, source: Dataset) -> Dataset:
    header = Dataset()
    header.Rows, header.Columns = geometry.shape[1:]
    # Of the grid, whose axes have length 1: scanners round cosines.
    header.ImageOrientationPatient = _decimals([*geometry.axes[2], *geometry.axes[1]])
    header.PixelSpacing = _decimals(first.pixel_spacing or ())
    header.SpacingBetweenSlices = _decimals(geometry.spacing[:1])[0]
    stated = slice_thickness(source, first)
    # Readers refuse pixel measures without it; the report warns that it is the spacing.
    header.SliceThickness = header.SpacingBetweenSlices if stated is None else stated
    return header


def slice_thickness(source: Dataset, plane: PlaneFacts) -> DSfloat | None:
    """Return SliceThickness in mm from wherever this object keeps it; None if nowhere."""
    holders: list[Mapping[str, object] | Dataset] = [source, plane.attributes]
    for holder in holders:
        value = holder.get("SliceThickness")
        if isinstance(value, int | float | DSfloat) and value > 0:
            return DSfloat(float(value), auto_format=True)
    return None


def _decimals(values: Sequence[float]) -> list[DSfloat]:
    return [DSfloat(float(value), auto_format=True) for value in values]


def _plane_header(common: Dataset, plane: PlaneFacts, index: int) -> Dataset:
    header = Dataset()
    # Written as a classic image so that any mixture of instances and frames takes one path.
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = plane_uid(plane, index)
    header.ImagePositionPatient = _decimals(plane.position or ())
    for tag in common.keys() - header.keys():
        header.add(common[tag])
    return header


def plane_uid(plane: PlaneFacts, index: int) -> str:
    """Return a UID that stands for one slice until the object that names it is done.

    Frames, and tiles of a mosaic, share the UID of their instance, which the writer would take
    for duplicates.
    """
    return derive_uid(plane.sop_instance_uid, "slice", str(index))


def latest_acquisition(datasets: Sequence[Dataset]) -> datetime | None:
    """Return when the last of these images came to be, in the scanner's own time zone.

    Acquisition, content, series and study times are asked in this order; None if no image
    states any of them.
    """
    times = [stated for dataset in datasets if (stated := _stated_time(dataset)) is not None]
    return max(times, default=None)


def _stated_time(dataset: Dataset) -> datetime | None:
    statements = [str(dataset.get("AcquisitionDateTime") or "")]
    statements += [
        f"{dataset.get(date) or ''}{dataset.get(time) or ''}" if dataset.get(date) else ""
        for date, time in _TIME_KEYWORDS
    ]
    for statement in filter(None, statements):
        try:
            parsed = DT(statement)
        except ValueError:
            continue
        if parsed is not None:
            return parsed.replace(tzinfo=None)
    return None
