"""The grid on which planes lie, from what their headers say; what is irregular is an error.

It comes from ImagePositionPatient and ImageOrientationPatient alone (PS3.3 C.7.6.2.1.1): never
from SpacingBetweenSlices, which some vendors fill with the gap, and never from InstanceNumber,
which need not follow the slices.
"""

from collections.abc import Sequence

import numpy as np

from service.domain.errors import GeometryError
from service.domain.geometry import FloatArray, Geometry
from service.domain.study import PlaneFacts

# Real series stay below 0.1 mm and 1.7 %, both reached by positions rounded to 0.1 mm.
POSITION_TOLERANCE_MM = 0.15
SPACING_TOLERANCE = 0.02
# Cosines of one stack differ by less than 2e-8 in real series.
ORIENTATION_TOLERANCE = 1e-4
UNIT_TOLERANCE = 1e-3
PIXEL_SPACING_TOLERANCE = 1e-4
DUPLICATE_TOLERANCE_MM = 0.01
# No MR image of a patient has finer pixels or a larger field of view.
LEAST_SPACING_MM = 0.03
LARGEST_EXTENT_MM = 2000.0


def regular_grid(planes: Sequence[PlaneFacts]) -> tuple[tuple[PlaneFacts, ...], Geometry]:
    """Return the planes sorted along their normal, and their grid.

    Parameters
    ----------
    planes : sequence of PlaneFacts
        In any order.

    Returns
    -------
    tuple of PlaneFacts
        Plane ``i`` is slice ``i`` of the grid.
    Geometry
        Axes (slice, row, column) in LPS mm; the slice axis is the DICOM normal, which is the
        direction of increasing column index cross that of increasing row index.

    Raises
    ------
    GeometryError
        If there are fewer than two planes, or a position, orientation or spacing is missing; if
        planes differ in size, orientation or pixel spacing; if two are at the same place; if
        their distances differ (a missing slice); if they are shifted against each other in their
        plane (a sheared stack); or if pixels or field of view have an impossible size.
    """
    if len(planes) < 2:
        raise GeometryError(f"{len(planes)} slice: a volume needs at least two")
    ordered, positions = _sorted_along_normal(planes)
    return ordered, _grid(ordered, positions)


def _sorted_along_normal(
    planes: Sequence[PlaneFacts],
) -> tuple[tuple[PlaneFacts, ...], FloatArray]:
    """Sort the planes along their normal; return them and their positions (plane, xyz) in mm."""
    normal = np.cross(*_cosines(planes[0]))
    positions = np.array([_position(plane) for plane in planes])
    order = np.argsort(positions @ normal, kind="stable")
    return tuple(planes[index] for index in order), positions[order]


def _position(plane: PlaneFacts) -> tuple[float, float, float]:
    if plane.position is None:
        raise GeometryError(f"instance {plane.sop_instance_uid} has no ImagePositionPatient")
    return plane.position


def _cosines(plane: PlaneFacts) -> tuple[FloatArray, FloatArray]:
    """Return the directions of increasing column index and of increasing row index."""
    if plane.orientation is None:
        raise GeometryError(f"instance {plane.sop_instance_uid} has no ImageOrientationPatient")
    cosines = np.reshape(plane.orientation, (2, 3))
    lengths = np.linalg.norm(cosines, axis=1)
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE:
        raise GeometryError(f"direction cosines have lengths {lengths.tolist()}, not 1")
    return cosines[0] / lengths[0], cosines[1] / lengths[1]


def _pixel_spacing(plane: PlaneFacts) -> tuple[float, float]:
    if plane.pixel_spacing is None:
        raise GeometryError(f"instance {plane.sop_instance_uid} has no PixelSpacing")
    return plane.pixel_spacing


def _grid(planes: tuple[PlaneFacts, ...], positions: FloatArray) -> Geometry:
    first = planes[0]
    for plane in planes[1:]:
        _check_alike(first, plane)
    along_columns, along_rows = _cosines(first)
    normal = np.cross(along_columns, along_rows)
    slice_mm = _slice_spacing(positions @ normal)
    _check_positions(positions, normal * slice_mm)
    between_rows, between_columns = _pixel_spacing(first)
    _check_plausible(first.rows, between_rows)
    _check_plausible(first.columns, between_columns)
    _check_plausible(len(planes), slice_mm)
    return Geometry.from_components(
        origin=positions[0],
        axes=[normal, along_rows, along_columns],
        spacing=[slice_mm, between_rows, between_columns],
        shape=(len(planes), first.rows, first.columns),
        frame_of_reference_uid=str(first.attributes.get("FrameOfReferenceUID", "")),
    )


def _check_alike(first: PlaneFacts, plane: PlaneFacts) -> None:
    if (plane.rows, plane.columns) != (first.rows, first.columns):
        raise GeometryError(
            f"slices of {first.rows} x {first.columns} and {plane.rows} x {plane.columns} pixels"
        )
    turn = np.abs(np.subtract(_cosines(plane), _cosines(first))).max()
    if turn > ORIENTATION_TOLERANCE:
        raise GeometryError(f"slices are not parallel: direction cosines differ by {turn:.5f}")
    spacings = _pixel_spacing(first), _pixel_spacing(plane)
    if np.abs(np.subtract(*spacings)).max() > PIXEL_SPACING_TOLERANCE:
        raise GeometryError(f"slices of pixel spacing {spacings[0]} and {spacings[1]} mm")


def _slice_spacing(heights: FloatArray) -> float:
    """Return the common distance of slices at sorted heights along the normal, in mm."""
    gaps = np.diff(heights)
    middle = float(np.median(gaps))
    if gaps.min() < DUPLICATE_TOLERANCE_MM:
        raise GeometryError(f"two slices at the same position, {heights[gaps.argmin()]:.2f} mm")
    worst = gaps[np.abs(gaps - middle).argmax()]
    if abs(worst - middle) > SPACING_TOLERANCE * middle:
        raise GeometryError(
            f"slices are not equally spaced: {worst:.3f} mm among gaps of {middle:.3f} mm"
        )
    return float(heights[-1] - heights[0]) / len(gaps)


def _check_positions(positions: FloatArray, step: FloatArray) -> None:
    """Raise if a slice is not where a grid of this step (xyz, mm) from the first one has it."""
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    worst = float(np.linalg.norm(positions - expected, axis=1).max())
    if worst > POSITION_TOLERANCE_MM:
        raise GeometryError(
            f"a slice lies {worst:.3f} mm off the grid: the stack is sheared or irregular"
        )


def _check_plausible(count: int, spacing_mm: float) -> None:
    if not (spacing_mm >= LEAST_SPACING_MM and count * spacing_mm <= LARGEST_EXTENT_MM):
        raise GeometryError(f"{count} samples {spacing_mm:g} mm apart are no MR image of a patient")
