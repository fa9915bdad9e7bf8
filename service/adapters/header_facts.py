"""DICOM data sets to facts about image planes: one way for classic, enhanced and mosaic images.

Functional groups of enhanced multi-frame objects (PS3.3 C.7.6.16.2) are merged, shared ones
first, so that every plane carries what holds for it. Values that cannot be read are absent.
"""

from collections.abc import Iterable, Mapping

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from service.adapters.csa_header import csa_diffusion_facts
from service.adapters.element_values import UNREADABLE, element_value
from service.adapters.mosaics import is_mosaic, tiles_of
from service.adapters.private_elements import PRIVATE_ELEMENTS, plain_value, private_facts
from service.domain.study import FactValue, PlaneFacts, Vector

# What sequence detection and volume assembly look at; never who the patient is.
_FACT_KEYWORDS = (
    *("SOPClassUID", "Modality", "Manufacturer", "ManufacturerModelName", "SoftwareVersions"),
    *("MagneticFieldStrength", "BodyPartExamined", "FrameOfReferenceUID", "NumberOfFrames"),
    *("ImageType", "FrameType", "ComplexImageComponent", "AcquisitionContrast"),
    *("SeriesDescription", "ProtocolName", "ImageComments", "DerivationDescription"),
    *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "SequenceName"),
    *("PulseSequenceName", "EchoPlanarPulseSequence", "InversionRecovery", "AngioFlag"),
    *("RepetitionTime", "EchoTime", "EffectiveEchoTime", "InversionTime", "InversionTimes"),
    *("FlipAngle", "EchoTrainLength", "EchoNumbers", "ContrastBolusAgent"),
    *("DiffusionBValue", "DiffusionDirectionality", "DiffusionGradientOrientation"),
    *(
        "DiffusionAnisotropyType",
        "ASLContext",
        "ASLTechniqueDescription",
        "VelocityEncodingDirection",
    ),
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "NumberOfTemporalPositions"),
    *("SeriesNumber", "AcquisitionNumber", "AcquisitionDate", "AcquisitionTime"),
    *("AcquisitionDateTime", "FrameAcquisitionDateTime", "SeriesTime", "InstanceNumber"),
    *("StackID", "InStackPositionNumber", "SliceThickness", "SpacingBetweenSlices"),
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("RealWorldValueSlope", "RealWorldValueIntercept", "LossyImageCompression"),
)
_GEOMETRY_KEYWORDS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")

# Functional groups and their parts whose elements count as the plane's own.
_FUNCTIONAL_GROUPS = (
    *("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence"),
    *("FrameContentSequence", "MRImageFrameTypeSequence", "MREchoSequence"),
    *("MRTimingAndRelatedParametersSequence", "MRModifierSequence", "MRDiffusionSequence"),
    *("DiffusionGradientDirectionSequence", "MRArterialSpinLabelingSequence"),
    *("MRVelocityEncodingSequence", "PixelValueTransformationSequence"),
    *("RealWorldValueMappingSequence", "ContrastBolusUsageSequence"),
    *("UnassignedSharedConvertedAttributesSequence",),
    *("UnassignedPerFrameConvertedAttributesSequence",),
)
# Siemens XA keeps its private elements in a sequence of their own.
_SIEMENS_GROUPS = frozenset({Tag(0x0021, 0x10FE), Tag(0x0021, 0x11FE)})
# Philips keeps the header of the corresponding classic image here; it has the true ImageType.
_PHILIPS_TAGS = frozenset({Tag(0x2005, 0x140F), Tag(0x2005, 0x100F)})
PHILIPS_IMAGE_TYPE = "2005,140F"

# What a site override may ask about.
KNOWN_ATTRIBUTES = frozenset({*_FACT_KEYWORDS, *(known.key for known in PRIVATE_ELEMENTS)})

_NUMERIC_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})
_FACT_TAGS = {Tag(keyword): keyword for keyword in _FACT_KEYWORDS}
_GEOMETRY_TAGS = {Tag(keyword): keyword for keyword in _GEOMETRY_KEYWORDS}
_GROUP_TAGS = frozenset(Tag(keyword) for keyword in _FUNCTIONAL_GROUPS) | _SIEMENS_GROUPS
_IMAGE_TYPE_TAGS = {Tag("ImageType"): "ImageType"}


def header_facts(dataset: Dataset) -> dict[str, FactValue]:
    """Return the known public and private elements at the top level of a data set."""
    return _known_values(dataset, _FACT_TAGS) | private_facts(dataset)


def planes_of(dataset: Dataset, facts: Mapping[str, FactValue]) -> tuple[PlaneFacts, ...]:
    """Return the planes of one image instance in stored order.

    Parameters
    ----------
    dataset : Dataset
        An MR image: classic, enhanced multi-frame, or a vendor's mosaic. Pixels are not read.
    facts : mapping
        Its `header_facts`.

    Returns
    -------
    tuple of PlaneFacts
        One for a classic image, one a frame of an enhanced one, one a tile of a mosaic. A mosaic
        whose layout cannot be read is one plane without a position.
    """
    top = {**facts, **_known_values(dataset, _GEOMETRY_TAGS)}
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return tuple(_frames(dataset, top))
    top |= csa_diffusion_facts(dataset, top)
    if is_mosaic(top):
        return tiles_of(dataset, top)
    return (_plane(dataset, top, None),)


def _frames(dataset: Dataset, top: Mapping[str, FactValue]) -> Iterable[PlaneFacts]:
    shared = dict(top)
    for item in dataset.get("SharedFunctionalGroupsSequence") or ():
        shared |= _group_facts(item)
    for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        yield _plane(dataset, shared | _group_facts(item), number)


def _group_facts(item: Dataset) -> dict[str, FactValue]:
    """Return all known values of one item of functional groups, nested groups included."""
    facts: dict[str, FactValue] = {}
    for tag in item.keys() & _GROUP_TAGS:
        for group in _items(item, tag):
            facts |= header_facts(group) | _known_values(group, _GEOMETRY_TAGS)
            facts |= _group_facts(group)
    for tag in item.keys() & _PHILIPS_TAGS:
        for group in _items(item, tag):
            image_type = _known_values(group, _IMAGE_TYPE_TAGS).get("ImageType", ())
            facts[PHILIPS_IMAGE_TYPE] = image_type
    return facts


def _items(item: Dataset, tag: BaseTag) -> list[Dataset]:
    element = item[tag]
    return list(element.value) if element.VR == "SQ" and element.value else []


def _known_values(dataset: Dataset, keywords: Mapping[BaseTag, str]) -> dict[str, FactValue]:
    facts = {}
    for tag in dataset.keys() & keywords.keys():
        value = _read(dataset, tag)
        if value is not None:
            facts[keywords[tag]] = value
    return facts


def _read(dataset: Dataset, tag: BaseTag) -> FactValue | None:
    """Return a value, None if the bytes are not what its value representation promises."""
    try:
        vr, content = element_value(dataset, tag)
        value = plain_value(content)
    except UNREADABLE:
        return None
    items = value if isinstance(value, tuple) else (value,)
    is_text = any(isinstance(item, str) for item in items)
    return None if is_text and vr in _NUMERIC_VRS else value


def _plane(dataset: Dataset, facts: dict[str, FactValue], frame_number: int | None) -> PlaneFacts:
    return PlaneFacts(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        frame_number=frame_number,
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        position=_vector(facts.pop("ImagePositionPatient", None)),
        orientation=_numbers(facts.pop("ImageOrientationPatient", None), 6),
        pixel_spacing=_pair(facts.pop("PixelSpacing", None)),
        attributes=facts,
    )


def _numbers(value: FactValue | None, count: int) -> tuple[float, ...] | None:
    if not isinstance(value, tuple) or len(value) != count:
        return None
    numbers = tuple(item for item in value if not isinstance(item, str))
    return numbers if len(numbers) == count else None


def _vector(value: FactValue | None) -> Vector | None:
    numbers = _numbers(value, 3)
    return None if numbers is None else (numbers[0], numbers[1], numbers[2])


def _pair(value: FactValue | None) -> tuple[float, float] | None:
    numbers = _numbers(value, 2)
    return None if numbers is None else (numbers[0], numbers[1])
