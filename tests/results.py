"""Findings, a model, an identity and source planes, for tests of what is written."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from service.domain.finding import Finding, Side
from service.domain.geometry import Geometry
from service.domain.identity import ResultIdentity
from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.study import PlaneFacts
from service.domain.volume import Volume
from service.stages.write_segmentation import write_segmentation

MODEL = ModelSpec(
    name="test-model",
    version="1.2.3",
    sha256="ab" * 32,
    input=InputSpec(),
    state_channels=4,
    threshold=0.4,
    min_volume_mm3=5.0,
    intended_use="Tests only.",
    training_data="None.",
    expected_performance={"dice": 0.5},
)
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


def segmentation_of(mask: Volume, instances: Sequence[Dataset]) -> Dataset:
    """Write a segmentation of the mask over instances whose planes are its slices, in order."""
    return write_segmentation(
        mask, findings_of(mask), instances, planes_of(instances), MODEL, IDENTITY
    )
