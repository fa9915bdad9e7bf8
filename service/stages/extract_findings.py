"""Probabilities -> connected components, measurements, findings. Shared with training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from service.domain.finding import Finding, Side, Vector
from service.domain.geometry import Geometry
from service.domain.model_spec import ModelSpec
from service.domain.volume import Volume

# Voxels that touch by a face, an edge or a corner belong together.
TOUCHING = np.ones((3, 3, 3), bool)
# A centroid this close to the middle of the head is on neither side.
MIDLINE_MM = 5.0
HALF_STEPS = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1).T

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Extraction:
    """Findings and where they are.

    Attributes
    ----------
    findings : tuple of Finding
        By falling probability.
    mask : Volume
        uint16 on the grid of the probabilities: 0, or the number of the finding.
    """

    findings: tuple[Finding, ...]
    mask: Volume


@dataclass(frozen=True, eq=False)
class _Component:
    """Voxels of one component: indices (n, 3) as (slice, row, column), and their probability."""

    indices: npt.NDArray[np.int64]
    probability: FloatArray


def extract_findings(probability: Volume, spec: ModelSpec, *, midline_x: float) -> Extraction:
    """Find connected components of probable thrombus and measure them in the patient.

    Parameters
    ----------
    probability : Volume
        0..1 on the reference grid, axes (slice, row, column).
    spec : ModelSpec
        Its threshold says which voxels belong together; its smallest volume and its peak, which of
        these components are findings (thresholding with hysteresis, Canny 1986).
    midline_x : float
        LPS x in mm of the middle of the head; smaller x is the patient's right.
    """
    labels, count = ndimage.label(probability.voxels >= spec.threshold, TOUCHING)
    boxes = ndimage.find_objects(labels, count)
    components = [
        _component(probability.voxels, labels, number, box) for number, box in enumerate(boxes, 1)
    ]
    voxel_volume = probability.geometry.voxel_volume
    kept = [
        part
        for part in components
        if len(part.indices) * voxel_volume >= spec.min_volume_mm3
        and part.probability.max() >= spec.peak
    ]
    kept.sort(key=lambda part: (-part.probability.max(), -len(part.indices), *part.indices[0]))
    mask = np.zeros(probability.geometry.shape, np.uint16)
    for number, part in enumerate(kept, 1):
        mask[tuple(part.indices.T)] = number
    return Extraction(
        findings=tuple(
            _measure(part, number, probability.geometry, midline_x)
            for number, part in enumerate(kept, 1)
        ),
        mask=Volume(mask, probability.geometry),
    )


def _component(
    probability: npt.NDArray[np.float32],
    labels: npt.NDArray[np.signedinteger[Any]],
    number: int,
    box: tuple[slice, ...],
) -> _Component:
    inside = np.argwhere(labels[box] == number) + [edge.start for edge in box]
    return _Component(inside, probability[tuple(inside.T)].astype(np.float64))


def _measure(part: _Component, number: int, geometry: Geometry, midline_x: float) -> Finding:
    corners = _corners(part.indices, geometry)
    length, width = _length_and_width(corners, geometry)
    centroid = _vector(geometry.to_lps(part.indices).mean(axis=0))
    return Finding(
        number=number,
        probability=float(part.probability.max()),
        mean_probability=float(part.probability.mean()),
        volume_mm3=len(part.indices) * geometry.voxel_volume,
        voxel_count=len(part.indices),
        centroid_lps=centroid,
        bounding_box_lps=(_vector(corners.min(axis=0)), _vector(corners.max(axis=0))),
        length_mm=length,
        width_mm=width,
        side=_side(centroid[0] - midline_x),
        slice_range=(int(part.indices[:, 0].min()), int(part.indices[:, 0].max())),
    )


def _corners(indices: npt.NDArray[np.int64], geometry: Geometry) -> FloatArray:
    """LPS mm of all corners of the voxels: (n, 3)."""
    corners = np.unique((indices[:, None, :] + HALF_STEPS).reshape(-1, 3), axis=0)
    return geometry.to_lps(corners)


def _length_and_width(corners: FloatArray, geometry: Geometry) -> tuple[float, float]:
    """Maximal Feret diameter, and the largest extent of a cross-section orthogonal to it, mm."""
    hull = corners[ConvexHull(corners).vertices]
    distances = cdist(hull, hull)
    start, end = np.unravel_index(np.argmax(distances), distances.shape)
    length = float(distances[start, end])
    along = (hull[end] - hull[start]) / length
    # A slab as thick as one voxel reaches along the length holds a whole cross-section.
    thickness = float(np.abs(geometry.axes @ along) @ np.asarray(geometry.spacing))
    return length, max(_widest_slab(corners, along, thickness, shift) for shift in (0.0, 0.5))


def _widest_slab(corners: FloatArray, along: FloatArray, thickness: float, shift: float) -> float:
    """Largest extent across ``along`` inside any of the slabs that cut the component up."""
    position = corners @ along
    slab = np.floor((position - position.min()) / thickness + shift).astype(int)
    order = np.argsort(slab, kind="stable")
    starts = np.flatnonzero(np.diff(slab[order], prepend=-1))
    across = corners[order] @ _directions_across(along)
    extents = np.maximum.reduceat(across, starts) - np.minimum.reduceat(across, starts)
    return float(extents.max())


def _directions_across(along: FloatArray) -> FloatArray:
    """Return unit vectors every two degrees in the plane orthogonal to ``along``: (3, 90)."""
    first = np.linalg.svd(along[None, :])[2][1]
    second = np.cross(along, first)
    angles = np.radians(np.arange(0, 180, 2))
    return np.outer(first, np.cos(angles)) + np.outer(second, np.sin(angles))


def _side(offset_mm: float) -> Side:
    if abs(offset_mm) <= MIDLINE_MM:
        return Side.MIDLINE
    return Side.LEFT if offset_mm > 0 else Side.RIGHT


def _vector(values: FloatArray) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
