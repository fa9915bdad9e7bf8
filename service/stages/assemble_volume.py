"""Planes of one volume to voxels with a geometry; what is irregular is a named error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from service.domain.errors import GeometryError, InputError
from service.domain.study import PlaneFacts, VolumeFacts
from service.domain.volume import Volume
from service.stages.plane_grid import regular_grid


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
        If the planes form no regular grid (see `regular_grid`), or one is not in its instance
        or in colour.
    InputError
        If pixels cannot be decoded.
    """
    planes, geometry = regular_grid(volume.planes)
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


def _rescaled_pixels(plane: PlaneFacts, dataset: Dataset) -> npt.NDArray[np.float64]:
    """Return the pixels of one plane (row, column) after its modality rescale (PS3.3 C.11.1)."""
    pixels = _frame(plane, dataset)
    if plane.tile is not None:
        down, across = divmod(plane.tile, pixels.shape[1] // plane.columns)
        pixels = pixels[down * plane.rows :, across * plane.columns :]
    pixels = pixels[: plane.rows, : plane.columns]
    slope, intercept = _number(plane, "RescaleSlope", 1.0), _number(plane, "RescaleIntercept", 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        values = pixels * slope + intercept
    if not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise InputError(
            f"instance {plane.sop_instance_uid}: slope {slope:g} and intercept {intercept:g} give "
            "values that are no numbers"
        )
    return values


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
