"""Bring every role onto the grid of the reference series.

Series that share the reference's frame of reference are only resampled. Another frame of
reference means that the patient may have moved: those series are registered rigidly, one
transform for all series of that frame, and the report says so.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from service.domain.errors import InputError
from service.domain.geometry import Geometry
from service.domain.report import ReportedRegistration
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.resample import resample_linear, to_image

# The susceptibility series shows the clot itself; without it the diffusion series is the best.
REFERENCE_ORDER = (Role.SUSC, Role.DWI)
# Which series of a frame of reference to register by. A phase image has no usable contrast.
REGISTRATION_ORDER = (Role.SUSC, Role.DWI, Role.FLAIR, Role.TOF, Role.ADC)
HISTOGRAM_BINS = 48
SAMPLED_SHARE = 0.2
# Regular samples are jittered; without a seed they would differ from run to run.
SAMPLING_SEED = 20


@dataclass(frozen=True, eq=False)
class Alignment:
    """All usable roles on one grid.

    Attributes
    ----------
    volumes : mapping of Role to Volume
        float32 on the reference's grid; NaN where a sequence does not reach.
    reference_role : Role
    registrations : tuple of ReportedRegistration
        How every other role came onto the grid.
    dropped : tuple of Role
        Roles that could not be brought onto the grid: nothing in their frame of reference could
        be registered, such as a phase image alone or a series that does not overlap.
    """

    volumes: Mapping[Role, Volume]
    reference_role: Role
    registrations: tuple[ReportedRegistration, ...]
    dropped: tuple[Role, ...]


def align_volumes(volumes: Mapping[Role, Volume]) -> Alignment:
    """Resample or register all roles onto the susceptibility grid, or else the diffusion grid.

    Raises
    ------
    InputError
        If there is neither a susceptibility nor a diffusion series.
    """
    reference_role = choose_reference(volumes)
    reference = volumes[reference_role]
    frames = {volume.geometry.frame_of_reference_uid for volume in volumes.values()}
    transforms = {frame: _transform_of(frame, volumes, reference) for frame in sorted(frames)}
    aligned: dict[Role, Volume] = {}
    registrations = []
    for role, volume in volumes.items():
        transform = transforms[volume.geometry.frame_of_reference_uid]
        if transform is None:
            continue
        aligned[role] = _onto(volume, reference.geometry, transform)
        if role is not reference_role:
            registrations.append(_describe(role, transform))
    return Alignment(
        volumes=aligned,
        reference_role=reference_role,
        registrations=tuple(registrations),
        dropped=tuple(role for role in volumes if role not in aligned),
    )


def choose_reference(volumes: Mapping[Role, Volume]) -> Role:
    """Return the role whose grid all others are brought to."""
    for role in REFERENCE_ORDER:
        if role in volumes:
            return role
    present = ", ".join(volumes) or "none"
    raise InputError(f"neither a susceptibility nor a diffusion series among the roles: {present}")


def _transform_of(
    frame: str, volumes: Mapping[Role, Volume], reference: Volume
) -> sitk.Euler3DTransform | None:
    """Map reference points to points of the frame: identity, or rigid; None if it cannot be."""
    if frame == reference.geometry.frame_of_reference_uid:
        return sitk.Euler3DTransform()
    for role in REGISTRATION_ORDER:
        if role in volumes and volumes[role].geometry.frame_of_reference_uid == frame:
            return _register(reference, volumes[role])
    return None


def _register(reference: Volume, moving: Volume) -> sitk.Euler3DTransform | None:
    """Rigid transform by mutual information, from the better of two starting points.

    None if the series has no contrast or does not overlap with the reference from either start.
    """
    fixed, other = _registration_image(reference), _registration_image(moving)
    method = _registration_method()
    try:
        starts = [_centred(fixed, sitk.Euler3DTransform()), _on_centres_of_mass(fixed, other)]
        start = min(starts, key=lambda candidate: _metric(method, candidate, fixed, other))
        method.SetInitialTransform(start, inPlace=True)
        method.Execute(fixed, other)
    except RuntimeError:
        return None
    # Sums differ in the last digits from run to run; a nanometre does not matter, equality does.
    start.SetParameters([round(value, 6) for value in start.GetParameters()])
    return start


def _on_centres_of_mass(fixed: sitk.Image, other: sitk.Image) -> sitk.Euler3DTransform:
    initializer = sitk.CenteredTransformInitializerFilter.MOMENTS
    return sitk.Euler3DTransform(
        sitk.CenteredTransformInitializer(fixed, other, sitk.Euler3DTransform(), initializer)
    )


def _registration_image(volume: Volume) -> sitk.Image:
    return to_image(Volume(np.nan_to_num(volume.voxels), volume.geometry))


def _centred(fixed: sitk.Image, transform: sitk.Euler3DTransform) -> sitk.Euler3DTransform:
    """Rotate about the middle of the image, so that rotation and translation do not mix."""
    middle = [(size - 1) / 2 for size in fixed.GetSize()]
    transform.SetCenter(fixed.TransformContinuousIndexToPhysicalPoint(middle))
    return transform


def _registration_method() -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(SAMPLED_SHARE, seed=SAMPLING_SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-3, numberOfIterations=120, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2, 1])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    # The order of a parallel sum is not fixed; the same study must give the same result.
    method.SetNumberOfThreads(1)
    return method


def _metric(
    method: sitk.ImageRegistrationMethod,
    candidate: sitk.Euler3DTransform,
    fixed: sitk.Image,
    other: sitk.Image,
) -> float:
    """Evaluate a start; infinite where the images do not overlap, SimpleITK's RuntimeError."""
    method.SetInitialTransform(candidate)
    try:
        return float(method.MetricEvaluate(fixed, other))
    except RuntimeError:
        return math.inf


def _onto(volume: Volume, grid: Geometry, transform: sitk.Euler3DTransform) -> Volume:
    if _is_identity(transform) and volume.geometry.same_grid(grid):
        return Volume(volume.voxels.astype(np.float32), grid)
    return resample_linear(volume, grid, transform=transform)


def _is_identity(transform: sitk.Euler3DTransform) -> bool:
    return not any(transform.GetParameters())


def _describe(role: Role, transform: sitk.Euler3DTransform) -> ReportedRegistration:
    x, y, z, *_ = transform.GetParameters()
    # The displacement of the origin would depend on the centre; report that of the centre.
    shift = transform.GetTranslation()
    return ReportedRegistration(
        role=role,
        method="identity" if _is_identity(transform) else "rigid",
        rotation_deg=(float(np.degrees(x)), float(np.degrees(y)), float(np.degrees(z))),
        translation_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
    )
