"""Enhanced MR Image Storage (PS3.3 A.36): one multi-frame object a series."""

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage

from training.simulate.dicom.frames import dimension_keywords, frame_type, per_frame, shared
from training.simulate.dicom.modules import STUDY_DATE, Study, item, pixel_data, pixels
from training.simulate.dicom.series import Part, Series
from training.simulate.exported import Image

# Attributes of the MR Pulse Sequence module (PS3.3 C.8.13.4) that depend on the kind of image;
# spin or gradient echo, and whether the readout is echo-planar.
_ECHO: dict[Image, tuple[str, str]] = {
    Image.B0: ("SPIN", "YES"),
    Image.TRACE: ("SPIN", "YES"),
    Image.ADC: ("SPIN", "YES"),
    Image.FLAIR: ("SPIN", "NO"),
}
_GRADIENT_ECHO = ("GRADIENT", "NO")
# Element, functional group and name of what frames of one place can differ in.
_DIMENSIONS = {
    "StackID": ("FrameContentSequence", "Stack ID"),
    "InStackPositionNumber": ("FrameContentSequence", "In-Stack Position Number"),
    "DiffusionBValue": ("MRDiffusionSequence", "Diffusion b-value"),
    "ComplexImageComponent": ("MRImageFrameTypeSequence", "Complex Image Component"),
}


def enhanced_image(study: Study, series: Series) -> Dataset:
    """Return the object of a series: its volumes in turn, each in slice order."""
    dataset = study.header(series, EnhancedMRImageStorage, 1)
    first = series.parts[0]
    attributes = (
        image_attributes(series)
        | pulse_sequence_attributes(first)
        | pixels(first.exported.stored)
        | {"NumberOfFrames": sum(len(part.exported.stored.voxels) for part in series.parts)}
    )
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    _add_dimensions(dataset, study, series)
    dataset.SharedFunctionalGroupsSequence = [shared(first)]
    dataset.PerFrameFunctionalGroupsSequence = per_frame(study, series)
    dataset.PixelData = b"".join(pixel_data(part.exported.stored.voxels) for part in series.parts)
    return dataset


def image_attributes(series: Series) -> dict[str, Any]:
    """Return the Enhanced MR Image module (PS3.3 C.8.13.1): MIXED where frames differ."""
    types = [frame_type(part) for part in series.parts]
    described = {
        keyword: _common([str(each[keyword]) for each in types])
        for keyword in types[0]
        if keyword != "FrameType"
    }
    values = zip(*(each["FrameType"] for each in types), strict=True)
    return described | {
        "ImageType": [_common(list(value)) for value in values],
        "AcquisitionNumber": 1,
        "AcquisitionDateTime": f"{STUDY_DATE}{series.time}",
        "AcquisitionDuration": 120.0,
        "ContentQualification": "RESEARCH",
        "ResonantNucleus": "1H",
        "KSpaceFiltering": "NONE",
        "ApplicableSafetyStandardAgency": "IEC",
        "PresentationLUTShape": "IDENTITY",
        "AcquisitionContextSequence": [],
    }


def _common(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else "MIXED"


def pulse_sequence_attributes(part: Part) -> dict[str, Any]:
    """Return the MR Pulse Sequence module (PS3.3 C.8.13.4); derived images may not have it."""
    if part.row.image_type[0] == "DERIVED":
        return {}
    image, technique = part.exported.image, part.exported.technique
    echo, planar = _ECHO.get(image, _GRADIENT_ECHO)
    attributes = {
        "PulseSequenceName": part.sequence,
        "MRAcquisitionType": "3D" if technique.volumetric else "2D",
        "EchoPulseSequence": echo,
        "MultiPlanarExcitation": "NO",
        "PhaseContrast": "NO",
        "TimeOfFlightContrast": "YES" if image is Image.TOF else "NO",
        "SteadyStatePulseSequence": "NONE",
        "EchoPlanarPulseSequence": planar,
        "SaturationRecovery": "NO",
        "SpectrallySelectedSuppression": "FAT" if image.is_diffusion else "NONE",
        "OversamplingPhase": "NONE",
        "GeometryOfKSpaceTraversal": "RECTILINEAR",
        "SegmentedKSpaceTraversal": "SINGLE" if planar == "YES" else "PARTIAL",
        "RectilinearPhaseEncodeReordering": "LINEAR",
        "NumberOfKSpaceTrajectories": 1,
    }
    if echo == "SPIN":
        attributes["MultipleSpinEcho"] = "NO" if planar == "YES" else "YES"
    if technique.volumetric:
        attributes["CoverageOfKSpace"] = "FULL"
    return attributes


def _add_dimensions(dataset: Dataset, study: Study, series: Series) -> None:
    """Add the Multi-frame Dimension module (PS3.3 C.7.6.17)."""
    uid = study.uid("dimensions", series.number)
    dataset.DimensionOrganizationSequence = [item(DimensionOrganizationUID=uid)]
    dataset.DimensionIndexSequence = [
        item(
            DimensionOrganizationUID=uid,
            DimensionIndexPointer=Tag(keyword),
            FunctionalGroupPointer=Tag(_DIMENSIONS[keyword][0]),
            DimensionDescriptionLabel=_DIMENSIONS[keyword][1],
        )
        for keyword in dimension_keywords(series)
    ]
