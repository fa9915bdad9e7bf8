"""Axial grids, and moving arrays between them.

Points are LPS millimetres (x to the patient's left, y to the back, z up) and arrays have axes
(slice, row, column) = (z, y, x).
"""

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch

from service.domain.geometry import Geometry
from service.stages.preprocess import CANONICAL_AXES

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# What a head is made of, as fractions of each voxel; what is left of 1 is air.
TISSUE_NAMES = ("grey", "white", "fluid", "bone", "soft", "fat")
# Slices resampled at once.
CHUNK = 8


def axial_grid(
    origin: npt.ArrayLike, spacing: tuple[float, float, float], shape: tuple[int, ...]
) -> Geometry:
    """Return an axial grid from its first voxel (LPS mm) and (slice, row, column) spacing."""
    slices, rows, columns = (int(count) for count in shape)
    return Geometry.from_components(
        origin=origin, axes=CANONICAL_AXES, spacing=spacing, shape=(slices, rows, columns)
    )


def ras_to_lps(points: npt.ArrayLike) -> Float64:
    """Turn (..., 3) right-anterior-superior coordinates into left-posterior-superior ones."""
    return np.asarray(points, float) * np.array([-1.0, -1.0, 1.0])


def ellipsoid(grid: Geometry, centre: Float64, radii: npt.ArrayLike) -> Float32:
    """Fraction (0..1, soft over 1 mm) of each voxel inside an axis-aligned ellipsoid, LPS mm."""
    size = np.asarray(radii, float)
    slice_axis, row_axis, column_axis = (
        (
            (grid.origin[lps] + grid.spacing[axis] * np.arange(grid.shape[axis]) - centre[lps])
            / size[lps]
        ).astype(np.float32)
        for axis, lps in enumerate((2, 1, 0))
    )
    radius = np.sqrt(slice_axis[:, None, None] ** 2 + row_axis[None, :, None] ** 2 + column_axis**2)
    return np.clip((1 - radius) * np.float32(size.min()) + np.float32(0.5), 0, 1)


def resample_axial(voxels: Float32, source: Geometry, grid: Geometry) -> Float32:
    """Sample an axial array (slice, row, column) on another axial grid; see ``resample``."""
    sampled = resample(torch.from_numpy(np.ascontiguousarray(voxels)), source, grid)
    return np.asarray(sampled.numpy())


def resample(voxels: torch.Tensor, source: Geometry, grid: Geometry) -> torch.Tensor:
    """Sample an axial map (slice, row, column) on another axial grid, linearly; 0 beyond."""
    start = source.to_index(grid.origin)
    step = np.array(grid.spacing) / np.array(source.spacing)
    slices, rows, columns = (start[a] + step[a] * np.arange(grid.shape[a]) for a in range(3))
    sampled = torch.empty(grid.shape, device=voxels.device)
    # A few slices at a time stay in the processor's cache; rows last, as they lie together.
    for first in range(0, grid.shape[0], CHUNK):
        part = slice(first, first + CHUNK)
        through = _interpolate(voxels, slices[part], 0)
        sampled[part] = _interpolate(_interpolate(through, columns, 2), rows, 1)
    return sampled


def _interpolate(voxels: torch.Tensor, position: Float64, axis: int) -> torch.Tensor:
    """Linear interpolation at fractional indices along one axis; 0 beyond the ends."""
    last = voxels.shape[axis] - 1
    low = np.clip(np.floor(position).astype(int), 0, max(last - 1, 0))
    inside = (position >= 0) & (position <= last)
    weight = ((position - low) * inside).astype(np.float32)
    rest = ((1 - position + low) * inside).astype(np.float32)
    shape = [1, 1, 1]
    shape[axis] = -1
    lower, upper, share, other = (
        torch.from_numpy(values).to(voxels.device)
        for values in (low, np.minimum(low + 1, last), weight, rest)
    )
    sampled = voxels.index_select(axis, lower).mul_(other.reshape(shape))
    return sampled.addcmul_(voxels.index_select(axis, upper), share.reshape(shape))


def signed_distance(mask: npt.NDArray[np.bool_]) -> Float32:
    """Return the distance in voxels to the border of a mask, negative inside."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False)
    # It is 0 in the outermost voxels of the mask; the border is half a voxel further out.
    return np.asarray(sitk.GetArrayFromImage(distance), np.float32) - np.float32(0.5)
