"""Planes of one volume to voxels with a geometry; what is irregular is a named error.

The grid comes from ImagePositionPatient and ImageOrientationPatient alone (PS3.3 C.7.6.2.1.1):
never from SpacingBetweenSlices, which some vendors fill with the gap, and never from
InstanceNumber, which need not follow the slices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from service.domain.errors import GeometryError, InputError
from service.domain.geometry import FloatArray, Geometry
from service.domain.study import PlaneFacts, VolumeFacts
from service.domain.volume import Volume

# Real series stay below 0.1 mm and 1.7 %, both reached by positions rounded to 0.1 mm.
POSITION_TOLERANCE_MM = 0.15
SPACING_TOLERANCE = 0.02
# Cosines of one stack differ by less than 2e-8 in real series.
ORIENTATION_TOLERANCE = 1e-4
UNIT_TOLERANCE = 1e-3
PIXEL_SPACING_TOLERANCE = 1e-4
DUPLICATE_TOLERANCE_MM = 0.01


@dataclass(frozen=True, eq=False)
class Assembled:
    """A volume and where its slices came from.

    Attributes
    ----------
    volume : Volume
        float32 voxels (slice, row, column) after rescale.
    source_planes : tuple of PlaneFacts
        Slice ``i`` of the volume is ``source_planes[i]``.
    """

    volume: Volume
    source_planes: tuple[PlaneFacts, ...]


def assemble_volume(volume: VolumeFacts, datasets: Sequence[Dataset]) -> Assembled:
    """Stack the planes of one volume along their normal.

    Parameters
    ----------
    volume : VolumeFacts
        Planes in any order.
    datasets : sequence of Dataset
        The instances that hold the planes, with pixels; others are ignored.

    Returns
    -------
    Assembled
        float32 voxels after RescaleSlope and RescaleIntercept of each plane, on a grid in LPS
        millimetres whose slice axis is the DICOM normal: row direction cross column direction.

    Raises
    ------
    GeometryError
        If there are fewer than two planes, or a position, orientation or spacing is missing; if
        planes differ in size, orientation or pixel spacing; if two are at the same place; if
        their distances differ (a missing slice); or if they are shifted against each other in
        their plane (a sheared stack).
    InputError
        If pixels cannot be decoded.
    """
    if len(volume.planes) < 2:
        raise GeometryError(f"{len(volume.planes)} slice: a volume needs at least two")
    planes, positions = _sorted_along_normal(volume.planes)
    geometry = _regular_grid(planes, positions)
    by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
    voxels = np.empty(geometry.shape, dtype=np.float32)
    for index, plane in enumerate(planes):
        voxels[index] = _rescaled_pixels(plane, by_uid[plane.sop_instance_uid])
    return Assembled(Volume(voxels, geometry), planes)


def geometric_mean(volumes: Sequence[Volume]) -> Volume:
    """Return the trace image of diffusion-weighted volumes: their voxel-wise geometric mean.

    Parameters
    ----------
    volumes : sequence of Volume
        At least one; one direction each, the same b-value, the same grid.

    Returns
    -------
    Volume
        float32; zero wherever one of the volumes is not positive.

    Raises
    ------
    GeometryError
        If the grids differ.
    """
    grid = volumes[0].geometry
    if not all(grid.same_grid(other.geometry) for other in volumes):
        raise GeometryError("directions of one diffusion series lie on different grids")
    log_sum = np.zeros(grid.shape)
    positive = np.ones(grid.shape, dtype=bool)
    for volume in volumes:
        positive &= volume.voxels > 0
        log_sum += np.log(volume.voxels, where=positive, out=np.zeros(grid.shape))
    mean = np.where(positive, np.exp(log_sum / len(volumes)), 0.0)
    return Volume(mean.astype(np.float32), grid)


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


def _regular_grid(planes: tuple[PlaneFacts, ...], positions: FloatArray) -> Geometry:
    first = planes[0]
    for plane in planes[1:]:
        _check_alike(first, plane)
    along_columns, along_rows = _cosines(first)
    normal = np.cross(along_columns, along_rows)
    slice_mm = _slice_spacing(positions @ normal)
    _check_positions(positions, normal * slice_mm)
    between_rows, between_columns = _pixel_spacing(first)
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


def _rescaled_pixels(plane: PlaneFacts, dataset: Dataset) -> npt.NDArray[np.float64]:
    """Return the pixels of one plane (row, column) after its modality rescale (PS3.3 C.11.1)."""
    pixels = _frame(plane, dataset)
    if plane.tile is not None:
        down, across = divmod(plane.tile, pixels.shape[1] // plane.columns)
        pixels = pixels[down * plane.rows :, across * plane.columns :]
    pixels = pixels[: plane.rows, : plane.columns]
    slope, intercept = _number(plane, "RescaleSlope", 1.0), _number(plane, "RescaleIntercept", 0.0)
    return pixels * slope + intercept


def _frame(plane: PlaneFacts, dataset: Dataset) -> npt.NDArray[np.float64]:
    """Return the stored values of the image or frame that holds the plane."""
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise GeometryError(f"instance {plane.sop_instance_uid} is a colour image")
    frames = _decoded(dataset).reshape(-1, dataset.Rows, dataset.Columns)
    index = (plane.frame_number or 1) - 1
    if index >= len(frames):
        raise GeometryError(f"instance {plane.sop_instance_uid} has no frame {index + 1}")
    return frames[index].astype(np.float64)


def _decoded(dataset: Dataset) -> npt.NDArray[Any]:
    try:
        return dataset.pixel_array
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the pixels of instance {dataset.SOPInstanceUID} cannot be decoded "
            f"(transfer syntax {dataset.file_meta.TransferSyntaxUID})"
        ) from error


def _number(plane: PlaneFacts, keyword: str, default: float) -> float:
    value = plane.attributes.get(keyword, default)
    return float(value) if isinstance(value, int | float) else default
