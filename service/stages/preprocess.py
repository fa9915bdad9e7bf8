"""Volumes on one grid -> network input, and the way back.

Shared by training and service, so that the network meets in a hospital what it was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from service.domain.errors import GeometryError, InputError
from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.resample import resample_linear, to_image

Float32 = npt.NDArray[np.float32]

# Rows of the canonical frame: slices run inferior to superior, rows anterior to posterior,
# columns from the patient's right to left (the LPS axes in (slice, row, column) order).
CANONICAL_AXES = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], float)
HEAD_SMOOTHING_MM = 2.0
HEAD_MARGIN_MM = 5.0
# What sticks out of the last slice by this share of their distance is rounding of headers, in which
# slices lie a hair off the normal of their planes.
SLACK = 0.01
# Share of the robust maximum under which a voxel counts as air.
AIR_FRACTION = 0.12
# Of the network's grid: more than ten times what a head needs.
MOST_VOXELS = 1 << 26


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What the network sees of one study.

    Attributes
    ----------
    sequences : float32 array (slice, role, row, column)
        z-scored inside the head and clipped; exactly 0 outside the head, beyond the field of
        view, and everywhere for a missing role.
    presence : float32 array (role,)
        1 where the role is there, else 0.
    grid : Geometry
        The network's grid: near-axial, isotropic in plane.
    reference : Geometry
        The reference series' own grid.
    head_centre_lps : (float, float, float)
        Centroid of the head on the reference, LPS mm; its x is taken as the midline.
    blank : tuple of Role
        Sequences that show nothing inside the head; they count as missing.
    """

    sequences: Float32
    presence: Float32
    grid: Geometry
    reference: Geometry
    head_centre_lps: tuple[float, float, float]
    blank: tuple[Role, ...] = ()

    def restore(self, probability: Float32) -> Volume:
        """Bring (slice, row, column) probabilities back to the reference grid; 0 beyond."""
        return resample_linear(Volume(probability, self.grid), self.reference, outside=0.0)


def preprocess(
    aligned: Mapping[Role, Volume], reference_role: Role, spec: InputSpec
) -> NetworkInput:
    """Make the network's input from volumes that share the reference's grid.

    Parameters
    ----------
    aligned : mapping of Role to Volume
        All on one grid; NaN marks voxels that a sequence does not cover.
    reference_role : Role
        The role whose own grid this is; the head is found on it.
    spec : InputSpec
        Spacing, clipping and order of channels.

    Raises
    ------
    InputError
        If no head is found or nothing in it: the reference is empty or constant.
    GeometryError
        If the head is too large to be one.
    """
    reference = aligned[reference_role]
    head = head_mask(reference)
    grid = network_grid(head, spec)
    head_on_grid = resample_linear(head, grid, outside=0.0).voxels >= 0.5
    channels = {
        role: _normalise(resample_linear(aligned[role], grid).voxels, head_on_grid, spec.clip)
        for role in spec.roles
        if role in aligned
    }
    # Zeros after normalisation are a missing sequence to the network: it must be told so.
    blank = tuple(role for role, channel in channels.items() if not channel.any())
    if reference_role in blank:
        raise InputError(f"{reference_role}: the series shows no contrast inside the head")
    missing = np.zeros(grid.shape, np.float32)
    seen = [role in channels and role not in blank for role in spec.roles]
    centre = reference.geometry.to_lps(np.argwhere(head.voxels).mean(axis=0))
    return NetworkInput(
        sequences=np.stack([channels.get(role, missing) for role in spec.roles], axis=1),
        presence=np.array(seen, np.float32),
        grid=grid,
        reference=reference.geometry,
        head_centre_lps=(float(centre[0]), float(centre[1]), float(centre[2])),
        blank=blank,
    )


def head_mask(reference: Volume) -> Volume:
    """Find the head: the largest smooth bright body, its holes filled slice by slice.

    Returns
    -------
    Volume
        Boolean voxels on the reference's grid.

    Raises
    ------
    InputError
        If nothing rises above the background.
    """
    voxels = np.nan_to_num(np.abs(reference.voxels.astype(np.float32)))
    top = float(np.percentile(voxels, 99)) if voxels.size else 0.0
    if top <= 0:
        raise InputError("no head found: the reference series is empty or constant")
    image = to_image(Volume(voxels, reference.geometry))
    smooth = (
        sitk.SmoothingRecursiveGaussian(image, HEAD_SMOOTHING_MM) if _smoothable(image) else image
    )
    body = sitk.BinaryThreshold(smooth, AIR_FRACTION * top, float("inf"), 1, 0)
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(body), sortByObjectSize=True)
    largest = sitk.GetArrayFromImage(parts == 1)
    if not largest.any():
        raise InputError("no head found: nothing in the reference series is bright enough")
    filled = [_fill_holes(plane) for plane in largest]
    return Volume(np.stack(filled).astype(bool), reference.geometry)


def _smoothable(image: sitk.Image) -> bool:
    # The recursive filter needs four samples along each axis.
    return min(image.GetSize()) >= 4


def _fill_holes(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    filled: npt.NDArray[np.uint8] = sitk.GetArrayFromImage(
        sitk.BinaryFillhole(sitk.GetImageFromArray(plane.astype(np.uint8)))
    )
    return filled


def network_grid(head: Volume, spec: InputSpec) -> Geometry:
    """Return the near-axial grid around the head.

    The reference's axes are permuted and flipped to the canonical frame (never rotated), the
    plane gets the network's spacing, and rows and columns become multiples of the divisor.
    """
    source = head.geometry
    order, signs = _canonical_order(source)
    axes = source.axes[order] * signs[:, None]
    spacing = np.array(source.spacing)[order]
    spacing[0] = max(spacing[0], spec.slice_spacing_mm[0])
    spacing[1:] = spec.in_plane_spacing_mm
    low, high = _extent_along(head, axes)
    margin = np.array([0.0, HEAD_MARGIN_MM, HEAD_MARGIN_MM])
    counts = np.ceil((high - low + 2 * margin) / spacing - SLACK).astype(int) + 1
    counts[1:] = -(-counts[1:] // spec.divisor) * spec.divisor
    if counts.prod() > MOST_VOXELS:
        raise GeometryError(f"a head of {high - low} mm needs more than {MOST_VOXELS} voxels")
    centre = (low + high) / 2
    start = centre - (counts - 1) * spacing / 2
    # Slices keep the reference's own positions: only their order may change.
    start[0] = low[0]
    return Geometry.from_components(
        origin=axes.T @ start,
        axes=axes,
        spacing=spacing,
        shape=(int(counts[0]), int(counts[1]), int(counts[2])),
        frame_of_reference_uid=source.frame_of_reference_uid,
    )


def _canonical_order(source: Geometry) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Which source axis is nearest to each canonical axis, and whether it runs backwards."""
    projections = CANONICAL_AXES @ source.axes.T
    order = np.zeros(3, np.int64)
    signs = np.ones(3)
    remaining = np.abs(projections)
    for _ in range(3):
        wanted, axis = np.unravel_index(np.argmax(remaining), (3, 3))
        order[wanted], signs[wanted] = axis, np.sign(projections[wanted, axis])
        remaining[wanted, :] = -1
        remaining[:, axis] = -1
    return order, signs


def _extent_along(
    head: Volume, axes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lowest and highest position (mm) of head voxels along each of three orthogonal axes."""
    occupied = [
        np.flatnonzero(head.voxels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)
    ]
    corners = np.array(np.meshgrid(*[(found[0], found[-1]) for found in occupied]))
    positions = head.geometry.to_lps(corners.reshape(3, -1).T) @ axes.T
    return positions.min(axis=0), positions.max(axis=0)


def _normalise(
    voxels: npt.NDArray[np.float32], head: npt.NDArray[np.bool_], clip: float
) -> npt.NDArray[np.float32]:
    """z-score by the mean and deviation between the 0.5th and 99.5th percentile in the head."""
    inside = voxels[head & np.isfinite(voxels)]
    if inside.size == 0:
        return np.zeros_like(voxels)
    low, high = np.percentile(inside, [0.5, 99.5])
    typical = inside[(inside >= low) & (inside <= high)]
    deviation = float(typical.std())
    if deviation == 0:
        return np.zeros_like(voxels)
    scored = np.clip((voxels - float(typical.mean())) / deviation, -clip, clip)
    return np.where(head & np.isfinite(scored), scored, 0).astype(np.float32)
