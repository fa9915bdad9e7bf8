"""Findings -> one DICOM-SEG on the reference series' own grid (PS3.3 A.51), binary unless asked.

The same mask, findings, source and identity give the same bytes: every UID is derived, every
time is the source's. See docs/adr/0005-segmentation-objects.md and
docs/adr/0006-deterministic-identifiers.md.
"""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from service.domain.codes import BRAIN, LATERALITY, THROMBUS, ClinicalCode
from service.domain.errors import SelfCheckError
from service.domain.finding import Finding
from service.domain.identity import ResultIdentity, derive_uid
from service.domain.model_spec import ModelSpec
from service.domain.segmentation_form import SegmentationForm
from service.domain.study import PlaneFacts
from service.domain.volume import Volume
from service.stages.finding_colours import colour_of
from service.stages.result_object import ResultSeries, coded, copy_names, forget_clock, plain
from service.stages.source_headers import plane_uid, source_headers

__all__ = ["ResultIdentity", "derive_uid", "write_segmentation"]

SERIES = ResultSeries("segmentation", 9001, "seg", "Thrombus segmentation")
_TYPES = {
    SegmentationForm.BINARY: SegmentationTypeValues.BINARY,
    SegmentationForm.BINARY_PER_FRAME: SegmentationTypeValues.BINARY,
    SegmentationForm.LABELMAP: SegmentationTypeValues.LABELMAP,
}
CONTENT_LABEL = "THROMBUS"
CONTENT_DESCRIPTION = "Probable thrombus - RESEARCH USE ONLY - not for diagnosis"


def write_segmentation(  # noqa: PLR0913 - one parameter an input
    mask: Volume,
    findings: Sequence[Finding],
    source_datasets: Sequence[Dataset],
    source_planes: Sequence[PlaneFacts],
    model: ModelSpec,
    identity: ResultIdentity,
    *,
    form: SegmentationForm = SegmentationForm.BINARY,
) -> Dataset:
    """Write one segment per finding on the grid of the source images.

    Parameters
    ----------
    mask : Volume
        Unsigned integers, axes (slice, row, column), on the reference series' own grid: 0 or the
        number of a finding.
    findings : sequence of Finding
        Numbered from 1 without gaps.
    source_datasets : sequence of Dataset
        Instances of the reference series, classic or multi-frame; they are not changed.
    source_planes : sequence of PlaneFacts
        Which instance, and which of its frames, each slice came from; in slice order.
    model : ModelSpec
        Named as the algorithm, with the digest of its weights and its parameters.
    identity : ResultIdentity
        What the UIDs derive from, and the equipment.
    form : SegmentationForm

    Returns
    -------
    Dataset
        Segmentation Storage, or Label Map Segmentation Storage, Explicit VR Little Endian, ready to
        be saved.

    Raises
    ------
    GeometryError
        If the source lacks its study, series or frame of reference UID.
    SelfCheckError
        If mask, findings and planes do not belong together.
    """
    _check_labels(mask, findings)
    # Identifiers are named as the source states them, legal or not; all else was checked.
    with disable_value_validation():
        headers = source_headers(mask.geometry, source_datasets, source_planes)
        segmentation = Segmentation(
            source_images=headers,
            pixel_array=mask.voxels,
            segmentation_type=_TYPES[form],
            segment_descriptions=[_segment(finding, model, identity) for finding in findings],
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=True,
            content_label=CONTENT_LABEL,
            content_description=CONTENT_DESCRIPTION,
            content_creator_name=f"{identity.product}^AI",
            **SERIES.attributes(identity, source_datasets),
        )
        copy_names(segmentation, source_datasets[0])
        _refer_to_source(segmentation, source_datasets, source_planes)
        _remove_chance(segmentation, identity)
        if form is SegmentationForm.BINARY_PER_FRAME:
            _identify_in_every_frame(segmentation)
        if form is not SegmentationForm.LABELMAP:
            _pad_with_null(segmentation)
    return plain(segmentation)


def _check_labels(mask: Volume, findings: Sequence[Finding]) -> None:
    numbers = [finding.number for finding in findings]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        raise SelfCheckError(f"findings must be numbered from 1 without gaps, got {numbers}")
    labels = np.unique(mask.voxels)
    if mask.voxels.dtype.kind != "u" or set(labels.tolist()) - {0} != set(numbers):
        raise SelfCheckError(f"the mask holds {labels.tolist()} for findings {numbers}")


def _segment(finding: Finding, model: ModelSpec, identity: ResultIdentity) -> SegmentDescription:
    segment = SegmentDescription(
        segment_number=finding.number,
        segment_label=f"Thrombus {finding.number}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=coded(THROMBUS),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=_algorithm(model, identity),
        tracking_uid=identity.tracking_uid(finding.number),
        tracking_id=f"Thrombus {finding.number}",
        anatomic_regions=[coded(BRAIN)],
        display_color=CIELabColor.from_rgb(*colour_of(finding.number)),
    )
    side = LATERALITY.get(finding.side)
    if side is not None:
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [_item(side)]
    return segment


def _item(code: ClinicalCode) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _algorithm(model: ModelSpec, identity: ResultIdentity) -> AlgorithmIdentificationSequence:
    return AlgorithmIdentificationSequence(
        name=model.name,
        family=codes.DCM.ArtificialIntelligence,
        version=model.version,
        source=identity.manufacturer,
        parameters={
            "weights_sha256": model.sha256,
            "threshold": f"{model.threshold:g}",
            "min_volume_mm3": f"{model.min_volume_mm3:g}",
            "peak": f"{model.peak:g}",
            "analysis_digest": identity.analysis_digest,
        },
    )


def _refer_to_source(
    segmentation: Dataset,
    source_datasets: Sequence[Dataset],
    source_planes: Sequence[PlaneFacts],
) -> None:
    """Name the true instances, and their frames where they have several, each image once."""
    instances = {str(source.SOPInstanceUID): source for source in source_datasets}
    plane_of = {plane_uid(plane, index): plane for index, plane in enumerate(source_planes)}
    # Frames of several segments at one place share the item; so look all up, then change.
    named = [
        (image, plane_of[str(image.ReferencedSOPInstanceUID)])
        for image in frame_sources(segmentation)
    ]
    for image, plane in named:
        image.update(_reference(instances[plane.sop_instance_uid]))
        if plane.frame_number is not None:
            image.ReferencedFrameNumber = plane.frame_number
        if plane.tile is not None:
            # The pixels of a tile are not where its mosaic has them.
            image.SpatialLocationsPreserved = "NO"
    unique = dict.fromkeys(plane.sop_instance_uid for plane in source_planes)
    segmentation.SourceImageSequence = [_reference(instances[uid]) for uid in unique]
    segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [
        _reference(instances[uid]) for uid in unique
    ]


def frame_sources(segmentation: Dataset) -> Iterator[Dataset]:
    """Yield the one source image that every frame names, in the order of the frames.

    Raises
    ------
    SelfCheckError
        If a frame names no source image, or several.
    """
    for number, frame in enumerate(segmentation.PerFrameFunctionalGroupsSequence, start=1):
        images = [
            image
            for derivation in frame.get("DerivationImageSequence", [])
            for image in derivation.get("SourceImageSequence", [])
        ]
        if len(images) != 1:
            raise SelfCheckError(f"frame {number} names {len(images)} source images")
        yield images[0]


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return item


def _identify_in_every_frame(segmentation: Dataset) -> None:
    """Move the item that names the segment to every frame, where several segments have it anyway.

    A functional group is either shared or of every frame, never both (PS3.3 C.7.6.16.1.1).
    """
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" not in shared:
        return
    (item,) = shared.SegmentIdentificationSequence
    del shared.SegmentIdentificationSequence
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence = [copy.deepcopy(item)]


def _pad_with_null(segmentation: Dataset) -> None:
    """End odd pixel data with 00H (PS3.5 8.1.1), where the writer puts the digit zero."""
    bits = segmentation.Rows * segmentation.Columns * int(segmentation.NumberOfFrames)
    used = -(-bits // 8)
    segmentation.PixelData = segmentation.PixelData[:used] + b"\0" * (used % 2)


def _remove_chance(segmentation: Dataset, identity: ResultIdentity) -> None:
    """Replace what the writer drew at random or read from the clock."""
    organization_uid = identity.uid("segmentation", "dimensions")
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization_uid
    for index in segmentation.DimensionIndexSequence:
        index.DimensionOrganizationUID = organization_uid
    forget_clock(segmentation)
