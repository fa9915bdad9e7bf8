"""Linear resampling of volumes by SimpleITK; the only place that knows its axes.

SimpleITK orders axes (x, y, z) = (column, row, slice) and uses LPS millimetres, as DICOM does.
"""

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from service.domain.geometry import Geometry
from service.domain.volume import Volume

# Of what DICOM headers and rotations hold, nothing that small is meant.
LEAST_COSINE = 1e-12


def to_image(volume: Volume) -> sitk.Image:
    """Return a SimpleITK image of the volume, float32 (booleans become 0 and 1)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels, dtype=np.float32))
    geometry = volume.geometry
    image.SetOrigin(geometry.origin.tolist())
    image.SetSpacing(geometry.spacing[::-1])
    # Rows of `axes` are (slice, row, column); SimpleITK wants columns (x, y, z).
    image.SetDirection(_orthonormal(geometry).flatten().tolist())
    return image


def _orthonormal(geometry: Geometry) -> npt.NDArray[np.float64]:
    """Nearest rotation to the axes: DICOM rounds cosines, SimpleITK refuses rounded ones."""
    left, _, right = np.linalg.svd(geometry.axes[::-1].T)
    rotation = np.asarray(left @ right)
    # ITK inverts by a decomposition that fails on numbers next to nothing.
    return np.where(np.abs(rotation) < LEAST_COSINE, 0.0, rotation)


def resample_linear(
    volume: Volume,
    grid: Geometry,
    *,
    outside: float = np.nan,
    transform: sitk.Transform | None = None,
) -> Volume:
    """Resample onto ``grid`` by linear interpolation.

    Parameters
    ----------
    volume : Volume
        Any numeric type, axes (slice, row, column).
    grid : Geometry
        Target grid in the same patient space.
    outside : float
        Value where the source does not reach.
    transform : sitk.Transform, optional
        Maps points of the target to points of the source, LPS mm; identity if not given.

    Returns
    -------
    Volume
        float32 on ``grid``.
    """
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in grid.shape[::-1]])
    resampler.SetOutputOrigin(grid.origin.tolist())
    resampler.SetOutputSpacing(grid.spacing[::-1])
    resampler.SetOutputDirection(_orthonormal(grid).flatten().tolist())
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetDefaultPixelValue(float(outside))
    if transform is not None:
        resampler.SetTransform(transform)
    return Volume(sitk.GetArrayFromImage(resampler.Execute(to_image(volume))), grid)
