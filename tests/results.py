"""Findings, a model, an identity and source planes, for tests of what is written."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from service.domain.finding import Finding, Side, StudyResult
from service.domain.geometry import Geometry
from service.domain.identity import ResultIdentity
from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.report import (
    DetectionReport,
    ReportedExpectation,
    ReportedModel,
    ReportWarning,
)
from service.domain.segmentation_form import SegmentationForm
from service.domain.sequence import Role
from service.domain.study import PlaneFacts
from service.domain.volume import Volume
from service.stages.write_segmentation import write_segmentation
from service.stages.write_structured_report import Evidence, write_structured_report
from tests.strategies import dicom_axes, rotation, uid

MODEL = ModelSpec(
    name="test-model",
    version="1.2.3",
    sha256="ab" * 32,
    input=InputSpec(),
    state_channels=4,
    threshold=0.4,
    peak=0.5,
    min_volume_mm3=5.0,
    intended_use="Tests only.",
    training_data="None.",
    expected_performance={"dice": 0.5},
)
# Oblique, with three different spacings.
GRID = Geometry.from_components(
    origin=(-80.0, -95.0, -40.0),
    axes=dicom_axes(rotation((0.95, 0.1, 0.15, -0.05))),
    spacing=(4.4, 0.6, 0.9),
    shape=(8, 20, 24),
    frame_of_reference_uid=uid("frame of reference"),
)
IMAGE = Volume(np.arange(np.prod(GRID.shape)).reshape(GRID.shape) % 3000, GRID)
# What a report says where the input did not suffice.
INSUFFICIENT: dict[str, Any] = {
    "result": StudyResult.INSUFFICIENT_INPUT,
    "insufficiency": "There is no series that can be the reference. Missing roles: SUSC, DWI.",
    "reference_role": None,
    "reference_series_uid": None,
}
IDENTITY = ResultIdentity(analysis_digest="cd" * 32, software_version="0.1.0")


def finding(number: int = 1, **values: object) -> Finding:
    """Return a finding with plausible measurements; keywords replace some."""
    plausible: dict[str, object] = {
        "number": number,
        "probability": 0.93,
        "mean_probability": 0.71,
        "volume_mm3": 152.4,
        "voxel_count": 37,
        "centroid_lps": (31.0, -12.5, 4.0),
        "bounding_box_lps": ((25.0, -15.0, 2.0), (38.0, -10.0, 6.0)),
        "length_mm": 13.2,
        "width_mm": 4.1,
        "side": Side.LEFT,
        "slice_range": (1, 2),
    }
    return Finding(**{**plausible, **values})  # type: ignore[arg-type] # values are checked by use


def findings_of(mask: Volume) -> tuple[Finding, ...]:
    """Return one finding for each number in the mask."""
    sides = (Side.LEFT, Side.RIGHT, Side.MIDLINE)
    numbers = sorted(set(np.unique(mask.voxels).tolist()) - {0})
    return tuple(finding(number, side=sides[number % 3]) for number in numbers)


def labels(geometry: Geometry, count: int = 2) -> Volume:
    """Return a mask with ``count`` small findings in different places of the grid."""
    voxels: npt.NDArray[np.uint16] = np.zeros(geometry.shape, np.uint16)
    slices, rows, columns = geometry.shape
    for number in range(1, count + 1):
        middle = (slices * number // (count + 1), rows * number // (count + 1))
        voxels[middle[0] : middle[0] + 2, middle[1], columns // 4 : columns // 2] = number
    return Volume(voxels, geometry)


def planes_of(instances: Sequence[Dataset]) -> tuple[PlaneFacts, ...]:
    """Return the planes of classic instances, or of the frames of enhanced ones, in order."""
    return tuple(plane for instance in instances for plane in _planes(instance))


def _planes(instance: Dataset) -> list[PlaneFacts]:
    if "PerFrameFunctionalGroupsSequence" not in instance:
        return [_plane(instance, None, [instance])]
    shared = instance.SharedFunctionalGroupsSequence[0]
    return [
        _plane(instance, number, _groups(frame, shared))
        for number, frame in enumerate(instance.PerFrameFunctionalGroupsSequence, start=1)
    ]


def _groups(frame: Dataset, shared: Dataset) -> list[Dataset]:
    return [group.value[0] for holder in (frame, shared) for group in holder if group.value]


def _plane(instance: Dataset, frame: int | None, holders: Sequence[Dataset]) -> PlaneFacts:
    found = {
        keyword: next(holder[keyword].value for holder in holders if keyword in holder)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    }
    thickness = next((h.SliceThickness for h in holders if h.get("SliceThickness")), None)
    x, y, z = (float(value) for value in found["ImagePositionPatient"])
    row_mm, column_mm = (float(value) for value in found["PixelSpacing"])
    return PlaneFacts(
        sop_instance_uid=str(instance.SOPInstanceUID),
        frame_number=frame,
        rows=int(instance.Rows),
        columns=int(instance.Columns),
        position=(x, y, z),
        orientation=tuple(float(value) for value in found["ImageOrientationPatient"]),
        pixel_spacing=(row_mm, column_mm),
        attributes={} if thickness is None else {"SliceThickness": float(thickness)},
    )


def segmentation_of(
    mask: Volume,
    instances: Sequence[Dataset],
    form: SegmentationForm = SegmentationForm.BINARY,
) -> Dataset:
    """Write a segmentation of the mask over instances whose planes are its slices, in order."""
    return write_segmentation(
        mask, findings_of(mask), instances, planes_of(instances), MODEL, IDENTITY, form=form
    )


def report_of(
    mask: Volume | None, instances: Sequence[Dataset], **values: object
) -> DetectionReport:
    """Return a report on these instances with the findings of the mask; keywords replace some."""
    found = () if mask is None else findings_of(mask)
    result = StudyResult.THROMBUS_FOUND if found else StudyResult.NO_THROMBUS_FOUND
    plausible: dict[str, object] = {
        "study_instance_uid": str(instances[0].StudyInstanceUID),
        "result": result,
        "findings": found,
        "structured_report_sop_instance_uid": IDENTITY.structured_report_uid,
        "reference_role": Role.SUSC,
        "reference_series_uid": str(instances[0].SeriesInstanceUID),
        "missing_roles": (Role.PHASE, Role.TOF),
        "volumes": (),
        "registrations": (),
        "model": reported_model(),
        "warnings": (ReportWarning("COARSE_SLICES", "slices are 7 mm apart"),),
        "timings_s": {},
        "input_digest": "ab" * 32,
        "analysis_digest": IDENTITY.analysis_digest,
        "software_version": IDENTITY.software_version,
    }
    return DetectionReport(**{**plausible, **values})  # type: ignore[arg-type] # checked by use


def reported_model() -> ReportedModel:
    """Return ``MODEL`` as reports tell it."""
    return ReportedModel(
        name=MODEL.name,
        version=MODEL.version,
        sha256=MODEL.sha256,
        execution_provider="CPUExecutionProvider",
        threshold=MODEL.threshold,
        min_volume_mm3=MODEL.min_volume_mm3,
        peak=MODEL.peak,
        intended_use=MODEL.intended_use,
        training_data=MODEL.training_data,
        expected_performance={},
        expected_for_study=ReportedExpectation((Role.SUSC,), False, "Nothing is known.", None),
    )


def evidence_of(instances: Sequence[Dataset]) -> list[Evidence]:
    """Return the instances as what was looked at."""
    return [
        Evidence(str(i.SeriesInstanceUID), str(i.SOPClassUID), str(i.SOPInstanceUID))
        for i in instances
    ]


def structured_report_of(
    mask: Volume | None, instances: Sequence[Dataset], **values: object
) -> Dataset:
    """Write the structured report of ``report_of``, with the segmentation of the mask."""
    segmentation = None if mask is None else segmentation_of(mask, instances)
    report = report_of(mask, instances, **values)
    evidence = evidence_of(instances)
    return write_structured_report(report, segmentation, instances, evidence, IDENTITY)
