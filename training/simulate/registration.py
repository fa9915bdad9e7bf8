"""The way from the atlas into another head: an affine map, then a smooth deformation.

Both run on a coarse grid, single-threaded and without random samples, so that every process
finds the same map.
"""

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from service.domain.geometry import Geometry
from service.domain.volume import Volume
from service.stages.resample import resample_linear, to_image
from training.simulate.anatomy import Place, load_mni
from training.simulate.grids import Float32, Float64, axial_grid

STEP_MM = 3.0
AFFINE_SMOOTHING = (3.0, 1.0)  # voxels of the coarse grid, first rough then fine
AFFINE_ITERATIONS = 200
# Degrees by which a head may be nodded at first.
START_PITCH = (-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0)
DEMONS_ITERATIONS = (60, 40)
DEMONS_SMOOTHING = (2.0, 1.3)
# Grey matter between fluid and white matter, as on a T1 image.
GREY_LEVEL = 0.6
BRAIN_SHARE = 0.5
MARGIN_MM = 12.0


def register(grey: Float32, white: Float32, geometry: Geometry) -> Place:
    """Find where points of the atlas lie in a head.

    Parameters
    ----------
    grey, white : float32 array (slice, row, column)
        Fractions of the head's brain.
    geometry : Geometry
        Their grid.

    Returns
    -------
    callable
        Turns (..., 3) LPS points of the atlas into LPS points of the head, mm.
    """
    atlas = load_mni()
    fixed = _coarse(atlas.tissues["grey"], atlas.tissues["white"], atlas.geometry)
    moving = _coarse(grey, white, geometry)
    matrix = _affine(fixed, moving)
    displacement = _deformation(fixed, moving, matrix)

    def from_mni(points: npt.ArrayLike) -> Float64:
        lps = np.asarray(points, float)
        index = fixed.geometry.to_index(lps).reshape(-1, 3).T
        moved = np.stack(
            [
                ndimage.map_coordinates(part, index, order=1, mode="nearest")
                for part in displacement
            ],
            axis=-1,
        )
        return (lps + moved.reshape(lps.shape)) @ matrix[:3, :3].T + matrix[:3, 3]

    return from_mni


def _coarse(grey: Float32, white: Float32, geometry: Geometry) -> Volume:
    """Return an image like a T1 of the brain, on a coarse grid around it."""
    image = ndimage.gaussian_filter(GREY_LEVEL * grey + white, STEP_MM / 2.5, truncate=3.0)
    (window,) = ndimage.find_objects(grey + white > BRAIN_SHARE, max_label=1)
    low, high = (np.array([getattr(s, end) for s in window]) for end in ("start", "stop"))
    counts = np.ceil((high - low + 2 * MARGIN_MM) / STEP_MM)
    grid = axial_grid(geometry.to_lps(low - MARGIN_MM), (STEP_MM,) * 3, tuple(counts))
    return resample_linear(Volume(image, geometry), grid, outside=0.0)


def _affine(fixed: Volume, moving: Volume) -> Float64:
    """Return the (4, 4) matrix that takes LPS points of ``fixed`` to points of ``moving``."""
    rough, *_ = AFFINE_SMOOTHING
    images = _smooth(fixed, rough), _smooth(moving, rough)
    starts = [_start(_centre(fixed), _centre(moving), pitch) for pitch in START_PITCH]
    transform = min(starts, key=lambda start: _method(start).MetricEvaluate(*images))
    for smoothing in AFFINE_SMOOTHING:
        _method(transform).Execute(_smooth(fixed, smoothing), _smooth(moving, smoothing))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return np.round(matrix, 6)


def _start(centre: Float64, target: Float64, pitch: float) -> sitk.AffineTransform:
    """Turn by ``pitch`` degrees about the ear-to-ear axis, and shift one centre to the other."""
    transform = sitk.AffineTransform(3)
    transform.SetCenter(centre.tolist())
    transform.SetTranslation((target - centre).tolist())
    transform.Rotate(1, 2, np.radians(pitch))
    return transform


def _method(transform: sitk.AffineTransform) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=AFFINE_ITERATIONS
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.SetNumberOfThreads(1)
    return method


def _centre(volume: Volume) -> Float64:
    return volume.geometry.to_lps(np.array(ndimage.center_of_mass(volume.voxels)))


def _smooth(volume: Volume, sigma: float) -> sitk.Image:
    return to_image(Volume(ndimage.gaussian_filter(volume.voxels, sigma), volume.geometry))


def _deformation(fixed: Volume, moving: Volume, matrix: Float64) -> Float64:
    """Return the displacement (x, y, z) in mm of points of ``fixed`` before the affine map."""
    transform = sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    near = to_image(resample_linear(moving, fixed.geometry, outside=0.0, transform=transform))
    target = to_image(fixed)
    field = sitk.Image(target.GetSize(), sitk.sitkVectorFloat64)
    field.CopyInformation(target)
    for iterations, smoothing in zip(DEMONS_ITERATIONS, DEMONS_SMOOTHING, strict=True):
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfThreads(1)
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(smoothing)
        field = demons.Execute(target, near, field)
    return np.moveaxis(sitk.GetArrayFromImage(field), -1, 0).round(4)
